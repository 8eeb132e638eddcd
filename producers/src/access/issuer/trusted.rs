//! Which issuer is trusted, and for what.

use std::net::IpAddr;

use axum::http::{Uri, uri::Scheme};
use serde_json::{Map, Value};

use crate::access::Role;

/// An issuer that is trusted, as the settings name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedIssuer {
    pub(super) url: String,
    pub(super) audience: String,
    roles_claim: String,
    /// Where its description lies.
    pub(super) discovery: Uri,
}

/// An issuer that cannot be trusted, as it is named.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UntrustedIssuer {
    /// Whoever is in between could put in keys of their own.
    #[error(
        "the issuer {0} must be an https:// URL without query or fragment (http:// only on this machine)"
    )]
    Url(String),
    /// Then a token for anybody would be one for us.
    #[error(
        "the audience of the issuer {0} is missing: name what `aud` of its tokens says when they are for us"
    )]
    NoAudience(String),
}

impl TrustedIssuer {
    /// One whose tokens have this `iss`, to the letter, and name this audience. Roles stand in this claim of theirs: its name,
    /// or a JSON pointer (RFC 6901) that begins with `/`.
    ///
    /// # Errors
    /// When the URL is not one that can be trusted, or no audience is named.
    pub fn new(url: &str, audience: &str, roles_claim: &str) -> Result<Self, UntrustedIssuer> {
        let refused = || UntrustedIssuer::Url(url.to_owned());
        // OpenID Connect Discovery 1.0, section 4.
        let discovery = format!("{}/.well-known/openid-configuration", url.trim_end_matches('/'));
        let discovery: Uri = discovery.parse().map_err(|_| refused())?;
        let is_plain = !url.contains(['?', '#', '@']);
        let is_private = discovery.scheme() == Some(&Scheme::HTTPS)
            || (discovery.scheme() == Some(&Scheme::HTTP) && is_local(&discovery));
        if !is_private || !is_plain {
            return Err(refused());
        }
        if audience.is_empty() {
            return Err(UntrustedIssuer::NoAudience(url.to_owned()));
        }
        let (url, audience, roles_claim) = (url.to_owned(), audience.to_owned(), roles_claim.to_owned());
        Ok(Self { url, audience, roles_claim, discovery })
    }

    /// The roles that these claims give: those that we know, of a list or of a text with spaces between.
    pub(super) fn roles(&self, claims: &Map<String, Value>) -> Vec<Role> {
        let said = match self.roles_claim.strip_prefix('/') {
            None => claims.get(&self.roles_claim),
            Some(pointer) => {
                let (claim, rest) = pointer.split_once('/').map_or((pointer, None), |(c, r)| (c, Some(r)));
                let claim = claims.get(&claim.replace("~1", "/").replace("~0", "~"));
                claim.and_then(|value| rest.map_or(Some(value), |rest| value.pointer(&format!("/{rest}"))))
            }
        };
        match said {
            Some(Value::String(names)) => names.split(' ').filter_map(|name| name.parse().ok()).collect(),
            Some(Value::Array(names)) => {
                names.iter().filter_map(|name| name.as_str()?.parse().ok()).collect()
            }
            _ => Vec::new(),
        }
    }
}

fn is_local(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const URL: &str = "https://id.example.org/realms/shop";

    #[test]
    fn only_an_issuer_that_nobody_can_imitate_is_trusted() {
        for good in [
            URL,
            "https://id.example.org/",
            "http://127.0.0.1:9000",
            "http://localhost:9000/x",
            "http://[::1]:1",
        ] {
            assert!(TrustedIssuer::new(good, "factfold", "roles").is_ok(), "{good}");
        }
        let bad = [
            "",
            "id.example.org",
            "http://id.example.org",
            "http://localhost.example.org",
            "file:///etc/issuer",
            "https://user:password@id.example.org",
            "https://id.example.org/?tenant=1",
            "https://id.example.org#x",
        ];
        for bad in bad {
            let refused = TrustedIssuer::new(bad, "factfold", "roles");
            assert_eq!(refused, Err(UntrustedIssuer::Url(bad.to_owned())));
        }
        let no_audience = TrustedIssuer::new(URL, "", "roles");
        assert_eq!(no_audience, Err(UntrustedIssuer::NoAudience(URL.to_owned())));
    }

    #[test]
    fn roles_are_found_where_the_settings_say() {
        let claims = json!({
            "roles": ["merchant", "baker", 7], "scope": "openid customer",
            "realm_access": { "roles": ["admin"] }, "https://example.org/roles": ["auditor"], "n": 1,
        });
        let claims = claims.as_object().expect("claims");
        let roles = |claim| TrustedIssuer::new(URL, "factfold", claim).expect("an issuer").roles(claims);
        assert_eq!(roles("roles"), [Role::Merchant]);
        assert_eq!(roles("scope"), [Role::Customer]);
        assert_eq!(roles("/realm_access/roles"), [Role::Admin]);
        assert_eq!(roles("https://example.org/roles"), [Role::Auditor]);
        assert_eq!(roles("/https:~1~1example.org~1roles"), [Role::Auditor]);
        for nothing in ["", "/", "groups", "n", "/realm_access", "/realm_access/groups"] {
            assert_eq!(roles(nothing), [], "{nothing}");
        }
    }
}
