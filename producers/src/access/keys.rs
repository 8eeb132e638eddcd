//! The keys that sign and check access tokens: Ed25519, in one PEM file that only its owner may read. The first private
//! key of the file signs; every other key in it, private or public, still checks. So a key is rotated by putting a new one
//! in front, and dropped when the last token of the old one has expired.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{
    SigningKey, VerifyingKey,
    pkcs8::{DecodePrivateKey, EncodePrivateKey, spki::DecodePublicKey, spki::der::pem::LineEnding},
};
use factfold_schemas::{
    ids::{SessionId, UserId},
    users::{ShownSession, User},
};
use factfold_vault::secret_file::{self, SecretFileError};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode,
    errors::ErrorKind, get_current_timestamp,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{ACCESS_TIME, Caller, Role};

/// `iss` and `aud` of every token.
const US: &str = "factfold";

/// A key file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// It cannot be read or made, or others could sign tokens with it.
    #[error(transparent)]
    File(#[from] SecretFileError),
    /// It holds something else.
    #[error("the key file {path} holds no Ed25519 private key in PKCS#8 PEM")]
    NoKey {
        /// Which file.
        path: PathBuf,
    },
    /// A token could not be signed.
    #[error("a token could not be signed: {0}")]
    Signing(#[from] jsonwebtoken::errors::Error),
}

/// Why a token is refused, as far as its bearer may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// Its time is over.
    #[error("the access token has expired: get a new one")]
    Expired,
    /// Its user may do less since, has another password, or has ended the session.
    #[error("the access token is good no more: get a new one with the refresh token, or log in again")]
    Revoked,
    /// Signed by nobody we know, for somebody else, or no token at all.
    #[error("the access token is not valid here")]
    Invalid,
    /// Its issuer has not told its keys, so nobody can say.
    #[error("the issuer of the access token cannot be asked for its keys now")]
    Unknown,
}

/// `aud` of every refresh token.
const SESSIONS: &str = "factfold/sessions";
/// `aud` of every ticket: it is no token, and a token is no ticket.
const TICKETS: &str = "factfold/tickets";
/// How long a ticket is good.
pub(crate) const TICKET_TIME: Duration = Duration::from_secs(30);

/// The claims of a token.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: UserId,
    iat: u64,
    exp: u64,
    roles: Vec<String>,
    /// The session that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sid: Option<SessionId>,
    /// The version of its user when it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ver: Option<u64>,
}

/// The claims of a refresh token.
#[derive(Debug, Serialize, Deserialize)]
struct SessionClaims {
    iss: String,
    aud: String,
    sub: UserId,
    exp: u64,
    sid: SessionId,
    /// How often the session was refreshed before.
    num: u32,
}

/// What a refresh token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refresh {
    pub(crate) user: UserId,
    pub(crate) session: SessionId,
    pub(crate) number: u32,
}

/// The claims of a ticket: those of the token it was got with, for a moment.
#[derive(Debug, Serialize, Deserialize)]
struct TicketClaims {
    iss: String,
    aud: String,
    sub: UserId,
    jti: Uuid,
    exp: u64,
    /// When the token ends: until then may go on what was begun with the ticket.
    until: u64,
    roles: Vec<Role>,
    sid: Option<SessionId>,
    ver: u64,
}

/// A ticket that is good, unless it was used before.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) id: Uuid,
    pub(super) expires: u64,
    pub(super) caller: Caller,
}

/// A signing key, and all keys that check.
pub struct Keys {
    kid: String,
    signing: EncodingKey,
    checking: Vec<Checking>,
    validation: Validation,
    session_validation: Validation,
    ticket_validation: Validation,
}

struct Checking {
    kid: String,
    public: [u8; 32],
    key: DecodingKey,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl Keys {
    /// The keys of this file; a file that is not there is made, with one new key.
    pub fn load_or_create(path: &Path) -> Result<Self, KeysError> {
        let pem = secret_file::read_or_create(path, fresh)?;
        Self::parse(&pem).ok_or_else(|| KeysError::NoKey { path: path.to_owned() })
    }

    /// `None` when a block cannot be read, or no private key is among them.
    fn parse(pem: &str) -> Option<Self> {
        let mut signing = None;
        let mut checking = Vec::new();
        for block in pem.split_inclusive("-----END").collect::<Vec<_>>().windows(2).map(|w| (w[0], w[1])) {
            // `split_inclusive` leaves the label of the END line at the head of the next piece.
            let (head, tail) = block;
            let begin = head.find("-----BEGIN")?;
            let end = tail.lines().next()?;
            let block = format!("{}{end}\n", &head[begin..]);
            let public = match SigningKey::from_pkcs8_pem(&block) {
                Ok(private) => {
                    let public = private.verifying_key();
                    signing.get_or_insert(private);
                    public
                }
                Err(_) => VerifyingKey::from_public_key_pem(&block).ok()?,
            };
            checking.push(Checking::new(public));
        }
        let signing = signing?;
        let kid = thumbprint(&signing.verifying_key());
        let signing = EncodingKey::from_ed_der(signing.to_pkcs8_der().ok()?.as_bytes());
        Some(Self {
            kid,
            signing,
            checking,
            validation: validation(US),
            session_validation: validation(SESSIONS),
            ticket_validation: validation(TICKETS),
        })
    }

    /// A token for this user, with these roles, for so long.
    pub fn issue(&self, subject: UserId, roles: &[Role], ttl: Duration) -> Result<String, KeysError> {
        let now = get_current_timestamp();
        let claims = Claims {
            iss: US.to_owned(),
            aud: US.to_owned(),
            sub: subject,
            iat: now,
            exp: now.saturating_add(ttl.as_secs()),
            roles: roles.iter().map(ToString::to_string).collect(),
            sid: None,
            ver: None,
        };
        self.sign(&claims)
    }

    /// The tokens of a session of this user, as it is now: one that is good for a short time, and one that gets the next.
    pub(crate) fn open(&self, user: &User, session: &ShownSession) -> Result<(String, String), KeysError> {
        let now = get_current_timestamp();
        let access = self.sign(&Claims {
            iss: US.to_owned(),
            aud: US.to_owned(),
            sub: user.id,
            iat: now,
            exp: now.saturating_add(ACCESS_TIME.as_secs()),
            roles: user.roles.iter().map(ToString::to_string).collect(),
            sid: Some(session.id),
            ver: Some(user.version),
        })?;
        let refresh = self.sign(&SessionClaims {
            iss: US.to_owned(),
            aud: SESSIONS.to_owned(),
            sub: user.id,
            exp: session.expires_at.as_second().unsigned_abs(),
            sid: session.id,
            num: session.refreshed,
        })?;
        Ok((access, refresh))
    }

    /// What a refresh token says.
    pub(crate) fn verify_refresh(&self, token: &str) -> Result<Refresh, InvalidToken> {
        let claims: SessionClaims = self.check(token, &self.session_validation)?;
        in_time(claims.exp)?;
        Ok(Refresh { user: claims.sub, session: claims.sid, number: claims.num })
    }

    /// A ticket in the name of this caller.
    pub(super) fn ticket(&self, caller: &Caller) -> Result<String, KeysError> {
        self.sign(&TicketClaims {
            iss: US.to_owned(),
            aud: TICKETS.to_owned(),
            sub: caller.user,
            jti: Uuid::new_v4(),
            exp: get_current_timestamp().saturating_add(TICKET_TIME.as_secs()).min(caller.expires),
            until: caller.expires,
            roles: caller.roles.clone(),
            sid: caller.session,
            ver: caller.version,
        })
    }

    fn sign(&self, claims: &impl Serialize) -> Result<String, KeysError> {
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(Algorithm::EdDSA) };
        Ok(encode(&header, claims, &self.signing)?)
    }

    /// The caller that this token speaks for.
    pub(super) fn verify(&self, token: &str) -> Result<Caller, InvalidToken> {
        let claims: Claims = self.check(token, &self.validation)?;
        in_time(claims.exp)?;
        // A role that only a newer version knows gives nothing here.
        let roles = claims.roles.iter().filter_map(|role| role.parse().ok()).collect();
        let (session, version) = (claims.sid, claims.ver.unwrap_or(0));
        Ok(Caller { user: claims.sub, roles, expires: claims.exp, session, version })
    }

    /// The ticket that this is, if we signed it and its time is not over.
    pub(super) fn verify_ticket(&self, ticket: &str) -> Result<Ticket, InvalidToken> {
        let claims: TicketClaims = self.check(ticket, &self.ticket_validation)?;
        in_time(claims.exp)?;
        let TicketClaims { sub: user, roles, until: expires, sid: session, ver: version, .. } = claims;
        let caller = Caller { user, roles, expires, session, version };
        Ok(Ticket { id: claims.jti, expires: claims.exp, caller })
    }

    fn check<C: DeserializeOwned>(&self, token: &str, validation: &Validation) -> Result<C, InvalidToken> {
        let kid = decode_header(token).ok().and_then(|header| header.kid).ok_or(InvalidToken::Invalid)?;
        let checking = self.checking.iter().find(|c| c.kid == kid).ok_or(InvalidToken::Invalid)?;
        Ok(decode::<C>(token, &checking.key, validation).map_err(|error| refusal(&error))?.claims)
    }

    /// The public keys, as a JSON Web Key Set (RFC 7517, RFC 8037).
    pub(super) fn jwks(&self) -> Value {
        let key = |c: &Checking| {
            let x = URL_SAFE_NO_PAD.encode(c.public);
            json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": c.kid, "x": x })
        };
        json!({ "keys": self.checking.iter().map(key).collect::<Vec<_>>() })
    }
}

impl Checking {
    fn new(public: VerifyingKey) -> Self {
        let key = DecodingKey::from_ed_der(public.as_bytes());
        Self { kid: thumbprint(&public), public: public.to_bytes(), key }
    }
}

fn validation(audience: &str) -> Validation {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_issuer(&[US]);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation.leeway = 0;
    validation.validate_nbf = true;
    validation
}

/// What the bearer may know of it.
pub(super) fn refusal(error: &jsonwebtoken::errors::Error) -> InvalidToken {
    match error.kind() {
        ErrorKind::ExpiredSignature => InvalidToken::Expired,
        _ => InvalidToken::Invalid,
    }
}

/// RFC 7519: not accepted on or after that second. The library still takes the second itself.
pub(super) fn in_time(expires: u64) -> Result<(), InvalidToken> {
    if expires > get_current_timestamp() { Ok(()) } else { Err(InvalidToken::Expired) }
}

/// The PEM of a new key.
fn fresh() -> io::Result<String> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| io::Error::other(error.to_string()))?;
    let pem = SigningKey::from_bytes(&seed).to_pkcs8_pem(LineEnding::LF).map_err(io::Error::other)?;
    Ok(pem.to_string())
}

/// RFC 7638: the name of a key that everybody can compute from it.
fn thumbprint(public: &VerifyingKey) -> String {
    let x = URL_SAFE_NO_PAD.encode(public.as_bytes());
    URL_SAFE_NO_PAD.encode(Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use factfold_schemas::users::Status;
    use jiff::Timestamp;

    use super::*;

    struct Files(tempfile::TempDir);

    impl Files {
        fn new() -> Self {
            Self(tempfile::tempdir().expect("a folder"))
        }
        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }
        fn keys(&self, name: &str) -> Keys {
            Keys::load_or_create(&self.path(name)).expect("keys")
        }
    }

    const HOUR: Duration = Duration::from_secs(3600);

    fn token(keys: &Keys) -> String {
        keys.issue(UserId::generate(), &[Role::Customer], HOUR).expect("a token")
    }

    /// A token with this header and these claims, rightly signed where the key can.
    fn forged(header: &Header, claims: &Value, key: &EncodingKey) -> String {
        encode(header, claims, key).expect("a token")
    }

    fn claims() -> Value {
        json!({"iss": US, "aud": US, "sub": UserId::generate(), "iat": 0, "exp": get_current_timestamp() + 60,
               "roles": ["customer"]})
    }

    #[test]
    fn the_key_is_the_same_after_a_restart() {
        let files = Files::new();
        let first = files.keys("key.pem");
        assert!(files.keys("key.pem").verify(&token(&first)).is_ok());
    }

    /// Whoever has one of them has not the other, though we signed both.
    #[test]
    fn a_token_that_refreshes_gives_no_access_and_the_other_way_round() {
        let keys = Files::new().keys("key.pem");
        let session =
            ShownSession { id: SessionId::generate(), refreshed: 3, expires_at: Timestamp::now() + HOUR };
        let user = User {
            id: UserId::generate(),
            version: 7,
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
            status: Status::Active,
            email: None,
            name: None,
            roles: vec![Role::Customer],
            sessions: Vec::new(),
        };
        let (access, refresh) = keys.open(&user, &session).expect("tokens");
        let caller = keys.verify(&access).expect("a caller");
        assert_eq!((caller.user, caller.session, caller.version), (user.id, Some(session.id), 7));
        let expected = Refresh { user: user.id, session: session.id, number: 3 };
        assert_eq!(keys.verify_refresh(&refresh), Ok(expected));
        assert_eq!(keys.verify(&refresh), Err(InvalidToken::Invalid));
        assert_eq!(keys.verify_refresh(&access), Err(InvalidToken::Invalid));
        let over = ShownSession { expires_at: Timestamp::UNIX_EPOCH, ..session };
        let (_, refresh) = keys.open(&user, &over).expect("tokens");
        assert_eq!(keys.verify_refresh(&refresh), Err(InvalidToken::Expired));
    }

    #[test]
    fn a_file_without_a_private_key_is_refused() {
        let files = Files::new();
        fs::write(files.path("key.pem"), "not a key").expect("written");
        fs::set_permissions(files.path("key.pem"), fs::Permissions::from_mode(0o600)).expect("chmod");
        assert!(matches!(Keys::load_or_create(&files.path("key.pem")), Err(KeysError::NoKey { .. })));
    }

    #[test]
    fn a_rotated_key_still_checks_its_tokens() {
        let files = Files::new();
        let (old, new) = (files.keys("old.pem"), files.keys("new.pem"));
        let both = ["new.pem", "old.pem"].map(|f| fs::read_to_string(files.path(f)).expect("PEM")).concat();
        let rotated = Keys::parse(&both).expect("keys");
        assert!(rotated.verify(&token(&old)).is_ok());
        assert!(new.verify(&token(&rotated)).is_ok(), "the first key signs");
        assert_eq!(rotated.jwks()["keys"].as_array().expect("keys").len(), 2);
    }

    #[test]
    fn what_is_not_rightly_signed_for_us_is_refused() {
        let files = Files::new();
        let keys = files.keys("key.pem");
        let header = Header { kid: Some(keys.kid.clone()), ..Header::new(Algorithm::EdDSA) };
        let signed = |claims: &Value| forged(&header, claims, &keys.signing);
        let verify = |token: &str| keys.verify(token);
        assert!(verify(&signed(&claims())).is_ok());

        for (name, value) in [
            ("aud", json!("others")),
            ("iss", json!("others")),
            ("sub", json!("root")),
            ("roles", Value::Null),
        ] {
            let mut wrong = claims();
            wrong[name] = value;
            assert_eq!(verify(&signed(&wrong)), Err(InvalidToken::Invalid), "{name}");
            wrong.as_object_mut().expect("claims").remove(name);
            assert_eq!(verify(&signed(&wrong)), Err(InvalidToken::Invalid), "without {name}");
        }
        let mut past = claims();
        past["exp"] = json!(get_current_timestamp());
        assert_eq!(verify(&signed(&past)), Err(InvalidToken::Expired));
        past.as_object_mut().expect("claims").remove("exp");
        assert_eq!(verify(&signed(&past)), Err(InvalidToken::Invalid), "without exp");

        let unknown = Header { kid: Some("other".to_owned()), ..Header::new(Algorithm::EdDSA) };
        assert_eq!(verify(&forged(&unknown, &claims(), &keys.signing)), Err(InvalidToken::Invalid));
        let stranger = files.keys("stranger.pem");
        assert_eq!(verify(&forged(&header, &claims(), &stranger.signing)), Err(InvalidToken::Invalid));
        let unnamed = Header::new(Algorithm::EdDSA);
        assert_eq!(verify(&forged(&unnamed, &claims(), &keys.signing)), Err(InvalidToken::Invalid));
    }

    #[test]
    fn the_algorithm_is_not_for_the_token_to_choose() {
        let files = Files::new();
        let keys = files.keys("key.pem");
        // The public key as an HMAC secret: the classic confusion.
        let confused = Header { kid: Some(keys.kid.clone()), ..Header::new(Algorithm::HS256) };
        let secret = EncodingKey::from_secret(&keys.checking[0].public);
        assert_eq!(keys.verify(&forged(&confused, &claims(), &secret)), Err(InvalidToken::Invalid));

        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let none = json!({"alg": "none", "typ": "JWT", "kid": keys.kid});
        assert_eq!(keys.verify(&format!("{}.{}.", part(&none), part(&claims()))), Err(InvalidToken::Invalid));
    }

    #[test]
    fn a_tampered_token_is_refused() {
        let files = Files::new();
        let keys = files.keys("key.pem");
        let good = token(&keys);
        let parts: Vec<&str> = good.split('.').collect();
        let mut other = claims();
        other["roles"] = json!(["admin"]);
        let tampered = format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(other.to_string()), parts[2]);
        assert_eq!(keys.verify(&tampered), Err(InvalidToken::Invalid));
        for wrong in ["", ".", "a.b.c", &good[..good.len() - 2], &format!("{good}.x")] {
            assert_eq!(keys.verify(wrong), Err(InvalidToken::Invalid), "{wrong}");
        }
    }
}
