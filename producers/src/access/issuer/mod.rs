//! Another issuer whose access tokens are good here beside our own: OpenID Connect Discovery says where its keys are. Its
//! people have no account here; whoever a token speaks for is, to us, a pseudonym that only this installation can make.
//!
//! It must never take a key from anywhere but the issuer, and never wait for the issuer where the keys at hand will do.

mod discovery;
mod trusted;

use std::{
    error::Error as StdError,
    io,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use factfold_vault::Vault;
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, Validation,
    dangerous::insecure_decode_claims,
    decode, decode_header,
    jwk::{Jwk, KeyAlgorithm, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use self::discovery::{Discovery, Unanswered};
pub use self::trusted::{TrustedIssuer, UntrustedIssuer};
use super::{
    Caller,
    keys::{InvalidToken, in_time, refusal},
};

/// How long to leave the issuer in peace, whatever keys tokens name.
const REST: Duration = Duration::from_secs(5);
/// How old keys may become before the issuer is asked again: so soon a key is no more that it has taken back.
pub(super) const KEYS_TIME: Duration = Duration::from_secs(300);
/// How far its clock may be ahead of ours, in seconds.
const CLOCK_LEEWAY: u64 = 30;

/// Whose a token says it is.
#[derive(Deserialize)]
struct Named {
    iss: String,
}

/// The claims of a token of another issuer.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    /// Seconds since 1970; RFC 7519 allows parts of one.
    exp: f64,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// A trusted issuer, and the keys that it had when it was asked last.
pub(super) struct Issuer {
    trusted: TrustedIssuer,
    vault: Arc<Vault>,
    discovery: Discovery,
    keys: RwLock<Arc<Keys>>,
    asked: Mutex<Option<Asked>>,
}

#[derive(Default)]
struct Keys {
    keys: Vec<Key>,
    since: Option<Instant>,
}

struct Key {
    kid: Option<String>,
    key: DecodingKey,
    validation: Validation,
}

#[derive(Clone, Copy)]
struct Asked {
    at: Instant,
    was_answered: bool,
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer").field("trusted", &self.trusted).finish_non_exhaustive()
    }
}

impl Issuer {
    /// The issuer, not yet asked for anything.
    ///
    /// # Errors
    /// When the machine has no certificate authorities that an issuer's certificate could be checked with.
    pub(super) fn new(trusted: TrustedIssuer, vault: Arc<Vault>) -> io::Result<Self> {
        let discovery = Discovery::of(&trusted)?;
        Ok(Self { trusted, vault, discovery, keys: RwLock::default(), asked: Mutex::default() })
    }

    /// The caller that this token of the issuer's speaks for.
    pub(super) async fn verify(self: &Arc<Self>, token: &str) -> Result<Caller, InvalidToken> {
        // Nothing is believed of this; but nobody is asked about what is not the issuer's.
        let named: Named = insecure_decode_claims(token).map_err(|_| InvalidToken::Invalid)?;
        let header = decode_header(token).map_err(|_| InvalidToken::Invalid)?;
        if named.iss != self.trusted.url || !is_access_token(header.typ.as_deref()) {
            return Err(InvalidToken::Invalid);
        }
        let keys = self.keys_with(header.kid.as_deref()).await?;
        let key = keys.find(header.kid.as_deref()).ok_or(InvalidToken::Invalid)?;
        let claims =
            decode::<Claims>(token, &key.key, &key.validation).map_err(|error| refusal(&error))?.claims;
        let expires = claims.exp as u64;
        in_time(expires)?;
        Ok(Caller {
            roles: self.trusted.roles(&claims.others),
            expires,
            ..Caller::proven(self.vault.foreign_user(&self.trusted.url, &claims.sub))
        })
    }

    /// The keys, with this one among them if the issuer has it.
    async fn keys_with(self: &Arc<Self>, kid: Option<&str>) -> Result<Arc<Keys>, InvalidToken> {
        let keys = self.keys();
        if keys.find(kid).is_some() {
            if keys.since.is_none_or(|since| since.elapsed() > KEYS_TIME) && self.may_ask() {
                let issuer = self.clone();
                tokio::spawn(async move { issuer.ask().await });
            }
            return Ok(keys);
        }
        let was_answered = self.ask().await;
        let keys = self.keys();
        if keys.find(kid).is_none() && !was_answered { Err(InvalidToken::Unknown) } else { Ok(keys) }
    }

    /// Whether nobody asks, or has just asked.
    fn may_ask(&self) -> bool {
        self.asked.try_lock().is_ok_and(|asked| asked.is_none_or(|last| last.at.elapsed() >= REST))
    }

    fn keys(&self) -> Arc<Keys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks the issuer for its keys, if that was not just done; whether it answered. One asks, the others wait for it.
    pub(super) async fn ask(&self) -> bool {
        let mut asked = self.asked.lock().await;
        if let Some(last) = asked.filter(|last| last.at.elapsed() < REST) {
            return last.was_answered;
        }
        let fetched = fetch(&self.discovery, &self.trusted).await;
        let was_answered = fetched.is_ok();
        metrics::counter!("factfold_issuer_asked_total", "answered" => was_answered.to_string()).increment(1);
        match fetched {
            Ok(keys) => {
                let keys = Keys { keys, since: Some(Instant::now()) };
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
            }
            // The keys that were there stay: an issuer that is away takes nothing back.
            Err(error) => {
                let cause = StdError::source(&error).and_then(StdError::source).map(ToString::to_string);
                tracing::warn!(issuer = self.trusted.url, %error, cause, "no keys of the issuer");
            }
        }
        *asked = Some(Asked { at: Instant::now(), was_answered });
        was_answered
    }
}

impl TrustedIssuer {
    /// Asks the issuer for its keys once, to see whether that works.
    ///
    /// # Errors
    /// What does not.
    pub async fn examine(&self) -> Result<(), Box<dyn StdError + Send + Sync>> {
        fetch(&Discovery::of(self)?, self).await?;
        Ok(())
    }
}

/// The issuer's keys that check signatures.
async fn fetch(discovery: &Discovery, trusted: &TrustedIssuer) -> Result<Vec<Key>, Unanswered> {
    let keys = discovery.keys(trusted).await?;
    let keys: Vec<_> = keys.into_iter().filter_map(|key| Key::new(key, trusted)).collect();
    if keys.is_empty() { Err(Unanswered::NoKey) } else { Ok(keys) }
}

impl Keys {
    /// The key of this name. A token that names none is checked with the only one there is.
    fn find(&self, kid: Option<&str>) -> Option<&Key> {
        match (kid, self.keys.as_slice()) {
            (None, [only]) => Some(only),
            (None, _) => None,
            (kid, keys) => keys.iter().find(|key| key.kid.as_deref() == kid),
        }
    }
}

impl Key {
    /// `None` for what is no public key that signs: a secret would let everybody sign who can read it.
    fn new(key: Value, trusted: &TrustedIssuer) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(key).ok()?;
        let signs = jwk.common.public_key_use.as_ref().is_none_or(|it| *it == PublicKeyUse::Signature);
        let key =
            DecodingKey::from_jwk(&jwk).ok().filter(|key| signs && key.family() != AlgorithmFamily::Hmac)?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.algorithms = key.family().algorithms().to_vec();
        if let Some(only) = jwk.common.key_algorithm {
            validation.algorithms.retain(|algorithm| KeyAlgorithm::from(*algorithm) == only);
        }
        validation.set_issuer(&[&trusted.url]);
        validation.set_audience(&[&trusted.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.leeway = CLOCK_LEEWAY;
        validation.validate_nbf = true;
        Some(Self { kid: jwk.common.key_id, key, validation })
    }
}

/// RFC 8725, 3.11: what an issuer signs for another purpose (a logout, a security event) is no access.
fn is_access_token(typ: Option<&str>) -> bool {
    let typ = typ.unwrap_or("JWT").to_ascii_lowercase();
    matches!(typ.strip_prefix("application/").unwrap_or(&typ), "jwt" | "at+jwt")
}

#[cfg(test)]
mod tests {
    use axum::{Json, Router, routing::get};
    use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
    use serde_json::json;
    use tokio::{net::TcpListener, time::timeout};

    use super::*;

    /// A small issuer with the keys of its state, and what it is trusted as.
    async fn serve(keys: Arc<RwLock<Value>>) -> TrustedIssuer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let description = json!({ "issuer": url, "jwks_uri": format!("{url}/keys") });
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(async move || Json(description)))
            .route("/keys", get(async move || Json(keys.read().expect("keys").clone())));
        tokio::spawn(async move { axum::serve(listener, router).await });
        TrustedIssuer::new(&url, "shop", "roles").expect("an issuer")
    }

    /// However often it is seen: what the issuer has taken back is good for [`KEYS_TIME`], and a moment.
    #[tokio::test]
    async fn a_key_that_was_taken_back_is_no_more() {
        let key = |kid: &str| {
            let pair = rcgen::KeyPair::generate().expect("a key");
            let private = EncodingKey::from_ec_der(pair.serialized_der());
            let mut jwk = Jwk::from_encoding_key(&private, Algorithm::ES256).expect("a key");
            jwk.common.key_id = Some(kid.to_owned());
            (private, json!({ "keys": [jwk] }))
        };
        let ((private, first), (_, second)) = (key("first"), key("second"));
        let keys = Arc::new(RwLock::new(first));
        let trusted = serve(keys.clone()).await;
        let now = get_current_timestamp();
        let claims = json!({ "iss": trusted.url, "aud": "shop", "sub": "anna", "exp": now + 3600 });
        let header = Header { kid: Some("first".to_owned()), ..Header::new(Algorithm::ES256) };
        let token = encode(&header, &claims, &private).expect("a token");
        let issuer =
            Arc::new(Issuer::new(trusted, Arc::new(Vault::in_memory().expect("a vault"))).expect("roots"));
        let caller = issuer.verify(&token).await.expect("a good token");

        *keys.write().expect("keys") = second;
        assert_eq!(issuer.verify(&token).await, Ok(caller), "nobody has asked again yet");
        let since = Instant::now().checked_sub(KEYS_TIME + Duration::from_secs(1));
        let old =
            Arc::into_inner(std::mem::take(&mut *issuer.keys.write().expect("keys"))).expect("nobody else's");
        *issuer.keys.write().expect("keys") = Arc::new(Keys { since, ..old });
        *issuer.asked.lock().await = None;
        let taken_back = async {
            while issuer.verify(&token).await != Err(InvalidToken::Invalid) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(10), taken_back).await.expect("it is asked again, beside");
    }

    #[test]
    fn what_is_signed_for_something_else_is_no_access() {
        for access in [None, Some("JWT"), Some("at+jwt"), Some("application/at+JWT")] {
            assert!(is_access_token(access), "{access:?}");
        }
        for other in ["logout+jwt", "secevent+jwt", ""] {
            assert!(!is_access_token(Some(other)), "{other}");
        }
    }
}
