//! The installation's own secrets, in one file: the master keys, of which the first wraps and the others still unwrap, and
//! the secret under which pseudonyms are made, which never changes.

use std::{io, path::Path, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use factfold_schemas::{
    email::NormalEmail,
    ids::{EmailId, UserId},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    place,
    sealing::{SubjectKey, decrypt, encrypt},
    secret_file::{self, SecretFileError},
};

/// A file of secrets that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// It cannot be read or made.
    #[error(transparent)]
    File(#[from] SecretFileError),
    /// It holds something else.
    #[error(
        "the key file {0} is not the JSON {{\"masters\": [\"<base64 of 32 bytes>\", …], \"pseudonyms\": \"<the same>\"}}"
    )]
    Content(std::path::PathBuf),
}

/// The secrets. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Secrets(Arc<Held>);

#[derive(Debug)]
struct Held {
    masters: Vec<SubjectKey>,
    pseudonyms: SubjectKey,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    masters: Vec<String>,
    pseudonyms: String,
}

impl Secrets {
    /// The secrets of this file; a file that is not there is made.
    ///
    /// # Errors
    /// When it cannot be read or made, others may read it, or it holds something else.
    pub fn load_or_create(path: &Path) -> Result<Self, SecretsError> {
        let text = secret_file::read_or_create(path, || {
            let random = || SubjectKey::generate().map(|key| STANDARD.encode(key.bytes()));
            let fresh = || Ok(Written { masters: vec![random()?], pseudonyms: random()? });
            let fresh = fresh().map_err(|error: getrandom::Error| io::Error::other(error.to_string()))?;
            Ok(serde_json::to_string_pretty(&fresh)? + "\n")
        })?;
        Self::parse(&text).ok_or_else(|| SecretsError::Content(path.to_owned()))
    }

    pub(crate) fn generate() -> Result<Self, getrandom::Error> {
        let (master, pseudonyms) = (SubjectKey::generate()?, SubjectKey::generate()?);
        Ok(Self(Arc::new(Held { masters: vec![master], pseudonyms })))
    }

    fn parse(text: &str) -> Option<Self> {
        let written: Written = serde_json::from_str(text).ok()?;
        let key = |text: &String| STANDARD.decode(text).ok()?.try_into().ok().map(SubjectKey::new);
        let masters: Vec<SubjectKey> = written.masters.iter().map(key).collect::<Option<_>>()?;
        let pseudonyms = key(&written.pseudonyms)?;
        (!masters.is_empty()).then(|| Self(Arc::new(Held { masters, pseudonyms })))
    }

    /// See [`crate::Vault::email_id`].
    pub(crate) fn pseudonym(&self, email: &NormalEmail) -> EmailId {
        let mac = self.0.pseudonyms.mac("email", email.as_str().as_bytes());
        EmailId::new(Uuid::new_v8(first_half(&mac)))
    }

    /// See [`crate::Vault::foreign_user`].
    pub(crate) fn foreign_user(&self, issuer: &str, subject: &str) -> UserId {
        // No URL has a line break in it: no two pairs look the same.
        let mac = self.0.pseudonyms.mac("user", format!("{issuer}\n{subject}").as_bytes());
        UserId::new(Uuid::new_v8(first_half(&mac)))
    }

    /// Under whose key the secrets of functions are sealed: nobody's, so they outlive whoever deployed them.
    pub(crate) fn keeper(&self) -> UserId {
        UserId::new(Uuid::new_v8(first_half(&self.0.pseudonyms.mac("functions", b""))))
    }

    /// See [`crate::Vault::salt`].
    pub(crate) fn salt(&self, name: &str) -> [u8; 16] {
        first_half(&self.0.pseudonyms.mac("salt", name.as_bytes()))
    }

    /// The key of a subject, for the topic.
    pub(crate) fn wrap(&self, subject: UserId, key: &SubjectKey) -> Vec<u8> {
        encrypt(&self.0.masters[0], &place(subject, "key"), key.bytes())
    }

    /// The key of a subject, from the topic, and whether the master key that wrapped it is the one of today.
    pub(crate) fn unwrap(&self, subject: UserId, wrapped: &[u8]) -> Option<(SubjectKey, bool)> {
        let place = place(subject, "key");
        self.0.masters.iter().enumerate().find_map(|(age, master)| {
            let key = decrypt(master, &place, wrapped)?.try_into().ok()?;
            Some((SubjectKey::new(key), age == 0))
        })
    }
}

fn first_half(mac: &[u8; 32]) -> [u8; 16] {
    mac[..16].try_into().expect("16 of 32")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotated_master_key_still_unwraps() {
        let written = |masters: &[[u8; 32]]| {
            let masters: Vec<_> = masters.iter().map(|key| STANDARD.encode(key)).collect();
            let file = Written { masters, pseudonyms: STANDARD.encode([9; 32]) };
            Secrets::parse(&serde_json::to_string(&file).expect("JSON")).expect("secrets")
        };
        let (subject, key) = (UserId::new(Uuid::nil()), SubjectKey::new([5; 32]));
        let wrapped = written(&[[1; 32]]).wrap(subject, &key);
        let rotated = written(&[[2; 32], [1; 32]]);
        assert_eq!(rotated.unwrap(subject, &wrapped), Some((key.clone(), false)));
        assert_eq!(rotated.unwrap(subject, &rotated.wrap(subject, &key)), Some((key, true)));
        assert_eq!(rotated.unwrap(UserId::new(Uuid::max()), &wrapped), None, "another's key");
        assert_eq!(written(&[[2; 32]]).unwrap(subject, &wrapped), None, "the master key is gone");
    }

    #[test]
    fn a_file_with_something_else_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("sealing.json");
        let made = Secrets::load_or_create(&path).expect("made");
        let again = Secrets::load_or_create(&path).expect("read");
        assert_eq!(made.salt("x"), again.salt("x"));
        for wrong in
            ["", "{}", r#"{"masters":[],"pseudonyms":""}"#, r#"{"masters":["AAAA"],"pseudonyms":"AAAA"}"#]
        {
            std::fs::write(&path, wrong).expect("written");
            assert!(matches!(Secrets::load_or_create(&path), Err(SecretsError::Content(_))), "{wrong}");
        }
    }
}
