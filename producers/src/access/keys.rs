//! The keys that sign and check access tokens: Ed25519, in one PEM file that only its owner may read. The first private
//! key of the file signs; every other key in it, private or public, still checks. So a key is rotated by putting a new one
//! in front, and dropped when the last token of the old one has expired.

use std::{
    fs, io,
    io::{Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{
    SigningKey, VerifyingKey,
    pkcs8::{DecodePrivateKey, EncodePrivateKey, spki::DecodePublicKey, spki::der::pem::LineEnding},
};
use factfold_schemas::ids::UserId;
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode,
    errors::ErrorKind, get_current_timestamp,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Caller, Role};

/// `iss` and `aud` of every token.
const US: &str = "factfold";

/// A key file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// It cannot be read or made.
    #[error("the key file {path}: {error}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// Others could sign tokens with it.
    #[error(
        "the key file {path} can be read by others (mode {mode:o}): chmod 600 {path}, and think about a new key"
    )]
    ReadableByOthers {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It holds something else.
    #[error("the key file {path} holds no Ed25519 private key in PKCS#8 PEM")]
    NoKey {
        /// Which file.
        path: PathBuf,
    },
    /// The system gives no randomness.
    #[error("no random numbers for a new key: {0}")]
    Random(getrandom::Error),
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
    /// Signed by nobody we know, for somebody else, or no token at all.
    #[error("the access token is not valid here")]
    Invalid,
}

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
        match Self::load(path) {
            Err(KeysError::File { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                create(path)?;
                Self::load(path)
            }
            loaded => loaded,
        }
    }

    fn load(path: &Path) -> Result<Self, KeysError> {
        let failed = |error| KeysError::File { path: path.to_owned(), error };
        let mut file = fs::File::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeysError::ReadableByOthers { path: path.to_owned(), mode });
        }
        let mut pem = String::new();
        file.read_to_string(&mut pem).map_err(failed)?;
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
        let (validation, ticket_validation) = (validation(US), validation(TICKETS));
        Some(Self { kid, signing, checking, validation, ticket_validation })
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
        };
        self.sign(&claims)
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
        Ok(Caller { user: claims.sub, roles, expires: claims.exp })
    }

    /// The ticket that this is, if we signed it and its time is not over.
    pub(super) fn verify_ticket(&self, ticket: &str) -> Result<Ticket, InvalidToken> {
        let claims: TicketClaims = self.check(ticket, &self.ticket_validation)?;
        in_time(claims.exp)?;
        let caller = Caller { user: claims.sub, roles: claims.roles, expires: claims.until };
        Ok(Ticket { id: claims.jti, expires: claims.exp, caller })
    }

    fn check<C: DeserializeOwned>(&self, token: &str, validation: &Validation) -> Result<C, InvalidToken> {
        let kid = decode_header(token).ok().and_then(|header| header.kid).ok_or(InvalidToken::Invalid)?;
        let checking = self.checking.iter().find(|c| c.kid == kid).ok_or(InvalidToken::Invalid)?;
        let decoded = decode::<C>(token, &checking.key, validation).map_err(|error| match error.kind() {
            ErrorKind::ExpiredSignature => InvalidToken::Expired,
            _ => InvalidToken::Invalid,
        })?;
        Ok(decoded.claims)
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

/// RFC 7519: not accepted on or after that second. The library still takes the second itself.
fn in_time(expires: u64) -> Result<(), InvalidToken> {
    if expires > get_current_timestamp() { Ok(()) } else { Err(InvalidToken::Expired) }
}

/// Makes the file in one step: two gateways that start at once agree on one key, and nobody ever sees half a file.
fn create(path: &Path) -> Result<(), KeysError> {
    let failed = |error| KeysError::File { path: path.to_owned(), error };
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(KeysError::Random)?;
    let pem = SigningKey::from_bytes(&seed)
        .to_pkcs8_pem(LineEnding::LF)
        .map_err(|error| failed(io::Error::other(error)))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(failed)?;
    let draft = folder.join(format!(".{}.new", Uuid::new_v4().simple()));
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(pem.as_bytes())?;
        file.sync_all()?;
        match fs::hard_link(&draft, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        }
    };
    let written = write();
    // Whether or not it was written, the draft has served.
    let removed = fs::remove_file(&draft);
    written.and(removed).map_err(failed)
}

/// RFC 7638: the name of a key that everybody can compute from it.
fn thumbprint(public: &VerifyingKey) -> String {
    let x = URL_SAFE_NO_PAD.encode(public.as_bytes());
    URL_SAFE_NO_PAD.encode(Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)))
}

#[cfg(test)]
mod tests {
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
    fn the_file_is_made_once_and_for_its_owner_only() {
        let files = Files::new();
        let first = files.keys("key.pem");
        let mode = fs::metadata(files.path("key.pem")).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(files.keys("key.pem").verify(&token(&first)).is_ok(), "the same key after a restart");

        fs::set_permissions(files.path("key.pem"), fs::Permissions::from_mode(0o640)).expect("chmod");
        let refused = Keys::load_or_create(&files.path("key.pem"));
        assert!(matches!(refused, Err(KeysError::ReadableByOthers { mode: 0o640, .. })));
        assert_eq!(fs::read_dir(files.0.path()).expect("a folder").count(), 1, "no draft stays");
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
