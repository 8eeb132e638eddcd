//! Asking an issuer for its keys, as OpenID Connect Discovery says: its description names the place where they lie.

use std::{error::Error as StdError, io, time::Duration};

use axum::http::{StatusCode, Uri, uri::Scheme};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::time::timeout;
use tokio_rustls::rustls::crypto::ring;

use super::TrustedIssuer;

/// How long the issuer may take for each of its two answers.
const ANSWER_TIME: Duration = Duration::from_secs(5);
/// The largest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Why the issuer's keys are not to be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    #[error("it cannot be reached at {0}: {1}")]
    Unreachable(Uri, #[source] Box<legacy::Error>),
    #[error("it says nothing at {0} within {ANSWER_TIME:?}")]
    Silent(Uri),
    #[error("it answers {1} at {0}")]
    Status(Uri, StatusCode),
    #[error("its answer broke off, or has more than {ANSWER_BYTES_MAX} bytes: {0}")]
    Body(#[source] Box<dyn StdError + Send + Sync>),
    #[error("its answer is not what OpenID Connect Discovery has there: {0}")]
    Content(#[from] serde_json::Error),
    #[error("it calls itself {0}: name it so in the settings, to the letter")]
    OtherName(String),
    #[error("its keys lie at {0}, which is no URL")]
    NoPlace(String),
    #[error("it names no key that could check a signature")]
    NoKey,
}

/// What an issuer says about itself, as far as we ask.
#[derive(Deserialize)]
struct Description {
    issuer: String,
    jwks_uri: String,
}

/// RFC 7517. A key of a kind that we do not know must not hide the others.
#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

/// What asks an issuer.
#[derive(Debug)]
pub(super) struct Discovery {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
}

impl Discovery {
    /// What asks this issuer: over HTTPS alone where it is named so.
    ///
    /// # Errors
    /// When the machine has no certificate authorities that an issuer's certificate could be checked with.
    pub(super) fn of(trusted: &TrustedIssuer) -> io::Result<Self> {
        let connector =
            HttpsConnectorBuilder::new().with_provider_and_native_roots(ring::default_provider())?;
        let connector = match trusted.discovery.scheme() == Some(&Scheme::HTTPS) {
            true => connector.https_only(),
            false => connector.https_or_http(),
        };
        // It follows no redirection: the issuer is where it says it is.
        let client = Client::builder(TokioExecutor::new()).build(connector.enable_http1().build());
        Ok(Self { client })
    }

    /// The issuer's keys (RFC 7517), whatever they are good for.
    pub(super) async fn keys(&self, trusted: &TrustedIssuer) -> Result<Vec<Value>, Unanswered> {
        let description: Description = self.get(trusted.discovery.clone()).await?;
        if description.issuer != trusted.url {
            return Err(Unanswered::OtherName(description.issuer));
        }
        let place = description.jwks_uri.parse().map_err(|_| Unanswered::NoPlace(description.jwks_uri))?;
        let set: KeySet = self.get(place).await?;
        Ok(set.keys)
    }

    async fn get<T: DeserializeOwned>(&self, place: Uri) -> Result<T, Unanswered> {
        let asked = async {
            let answer = self.client.get(place.clone()).await;
            let answer = answer.map_err(|error| Unanswered::Unreachable(place.clone(), error.into()))?;
            if answer.status() != StatusCode::OK {
                return Err(Unanswered::Status(place.clone(), answer.status()));
            }
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
            Ok(serde_json::from_slice(&body.map_err(Unanswered::Body)?.to_bytes())?)
        };
        timeout(ANSWER_TIME, asked).await.unwrap_or_else(|_elapsed| Err(Unanswered::Silent(place.clone())))
    }
}
