//! The vault: seals what is stored about people, opens it again, and forgets how when a person asks for that.
//!
//! Each person (a *subject*, by the id of the account) has one key. Keys lie on the topic `subject-keys`, wrapped by the
//! installation's master key ([`secrets`]), outside the event log: [`ring`] follows it. [`sealing`] is the cipher.
//!
//! A destroyed key stays destroyed: the last word on a subject is a marker that no key outlives, whatever order they are
//! read in. The vault must never log a key or a text, and never write a key that is not wrapped.

mod protect;
mod ring;
mod sealing;
pub mod secret_file;
mod secrets;

use std::time::Duration;

use factfold_schemas::{
    email::NormalEmail,
    ids::{EmailId, UserId},
    kafka::Cluster,
    personal::{ERASED, Personal},
};
use rdkafka::error::KafkaError;
use serde_json::Value;

pub use crate::{
    protect::Unprotected,
    ring::erasure,
    secrets::{Secrets, SecretsError},
};
use crate::{
    ring::{Known, Ring},
    sealing::SubjectKey,
};

/// How long a new key may take to be stored and read back.
const KEY_TIME: Duration = Duration::from_secs(10);

/// Why a text cannot be sealed.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// Kafka cannot be reached, or has not got the topic.
    #[error("the keys of personal data: {0}")]
    Kafka(#[from] KafkaError),
    /// A new key was not stored in time.
    #[error("no key for {0} within {KEY_TIME:?}: is Kafka there, and the topic subject-keys?")]
    Late(UserId),
    /// The key is destroyed: nothing can be said about this person any more.
    #[error("the personal data of {0} is erased")]
    Erased(UserId),
    /// The system gives no randomness.
    #[error("no random numbers for a new key: {0}")]
    Random(getrandom::Error),
}

/// What a sealed text says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// This.
    Text(String),
    /// Nobody knows any more.
    Erased,
    /// It was sealed elsewhere, or moved from where it was sealed.
    Unreadable,
}

/// Seals and opens. Cheap to share, not to make.
#[derive(Debug)]
pub struct Vault {
    secrets: Secrets,
    ring: Ring,
}

impl Vault {
    /// Reads all keys, and follows what becomes of them. Blocks until they are read.
    ///
    /// # Errors
    /// When the topic `subject-keys` cannot be read.
    pub fn open(cluster: &Cluster, secrets: Secrets) -> Result<Self, VaultError> {
        let ring = Ring::follow(cluster, secrets.clone())?;
        Ok(Self { secrets, ring })
    }

    /// One whose keys live as long as it does: for tests, and where nothing is to be kept.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn in_memory() -> Result<Self, VaultError> {
        let secrets = Secrets::generate().map_err(VaultError::Random)?;
        Ok(Self { ring: Ring::in_memory(), secrets })
    }

    /// The pseudonym of an address, the same in every spelling. Without the installation's secret nobody can tell which
    /// address it is, or try some out.
    pub fn email_id(&self, email: &NormalEmail) -> EmailId {
        self.secrets.pseudonym(email)
    }

    /// The pseudonym of whoever another issuer calls so: always the same, and that of no account here.
    pub fn foreign_user(&self, issuer: &str, subject: &str) -> UserId {
        self.secrets.foreign_user(issuer, subject)
    }

    /// 16 bytes that nobody else can know, the same for the same name: a password's salt.
    pub fn salt(&self, name: &str) -> [u8; 16] {
        self.secrets.salt(name)
    }

    /// Seals a text about this person: the same text under the same name always gives the same. Blocks until the person has
    /// a key, for the first one.
    ///
    /// # Errors
    /// When there is no key, and none can be made.
    pub fn seal(&self, subject: UserId, field: &str, text: &Personal) -> Result<Personal, VaultError> {
        let key = match self.ring.known(subject) {
            Known::Key(key) => key,
            Known::Erased => return Err(VaultError::Erased(subject)),
            Known::Nothing => self.ring.make(subject, &self.secrets, KEY_TIME)?,
        };
        Ok(key.seal(subject, field, text.as_str()))
    }

    /// Whether this person has, or had, a key.
    pub fn knows(&self, subject: UserId) -> bool {
        !matches!(self.ring.known(subject), Known::Nothing)
    }

    /// Whether anybody has made a key for this person, also elsewhere and a moment ago. Blocks until that is known, for so long at
    /// most.
    pub fn look_up(&self, subject: UserId, time: Duration) -> bool {
        self.ring.look_up(subject, time)
    }

    /// What a sealed text says. One that is not sealed says what it says.
    pub fn open_text(&self, subject: UserId, field: &str, text: &Personal) -> Opened {
        if !text.is_sealed() {
            return Opened::Text(text.as_str().to_owned());
        }
        match self.ring.known(subject) {
            Known::Erased => Opened::Erased,
            Known::Nothing => Opened::Unreadable,
            Known::Key(key) => key.open(subject, field, text).map_or(Opened::Unreadable, Opened::Text),
        }
    }

    /// Opens every sealed text in this JSON about the person, for somebody who may see it. What is erased is shown so; what
    /// cannot be read stays as it is.
    pub fn reveal(&self, subject: UserId, value: &mut Value) {
        let Value::Object(fields) = value else { return };
        for (field, value) in fields {
            match value {
                Value::String(text) => {
                    let sealed = Personal::new(text.as_str());
                    if sealed.is_sealed() {
                        match self.open_text(subject, field, &sealed) {
                            Opened::Text(plain) => *text = plain,
                            Opened::Erased => ERASED.clone_into(text),
                            Opened::Unreadable => {}
                        }
                    }
                }
                nested => self.reveal(subject, nested),
            }
        }
    }

    /// Whether this person is forgotten here.
    pub fn has_erased(&self, subject: UserId) -> bool {
        matches!(self.ring.known(subject), Known::Erased)
    }

    /// Waits until this person is forgotten here; whether that came in time. Blocks.
    pub fn wait_until_erased(&self, subject: UserId, time: Duration) -> bool {
        self.ring.wait(subject, time, |known| matches!(known, Known::Erased))
    }

    /// Forgets a person, in memory only: elsewhere a record does that ([`erasure`]).
    #[cfg(test)]
    pub(crate) fn forget(&self, subject: UserId) {
        self.ring.forget(subject);
    }
}

impl SubjectKey {
    fn seal(&self, subject: UserId, field: &str, text: &str) -> Personal {
        sealing::seal(self, &place(subject, field), text)
    }

    fn open(&self, subject: UserId, field: &str, text: &Personal) -> Option<String> {
        sealing::open(self, &place(subject, field), text)
    }
}

/// Where a text belongs: moved to another place, it cannot be opened.
fn place(subject: UserId, field: &str) -> String {
    format!("{}/{field}", subject.stream())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ANNA: UserId = UserId::new(uuid::Uuid::from_u128(1));
    const BERT: UserId = UserId::new(uuid::Uuid::from_u128(2));

    fn name(vault: &Vault, subject: UserId, text: &str) -> Personal {
        vault.seal(subject, "name", &Personal::new(text)).expect("sealed")
    }

    #[test]
    fn what_is_sealed_is_opened_in_its_place_only() {
        let vault = Vault::in_memory().expect("a vault");
        let sealed = name(&vault, ANNA, "Anna");
        assert!(sealed.is_sealed() && !sealed.as_str().contains("Anna"));
        assert_eq!(vault.open_text(ANNA, "name", &sealed), Opened::Text("Anna".to_owned()));
        assert_eq!(vault.open_text(ANNA, "email", &sealed), Opened::Unreadable);
        name(&vault, BERT, "Bert");
        assert_eq!(vault.open_text(BERT, "name", &sealed), Opened::Unreadable);
        assert_eq!(Vault::in_memory().expect("another").open_text(ANNA, "name", &sealed), Opened::Unreadable);
    }

    /// A command that is repeated must be the same, to the byte.
    #[test]
    fn the_same_text_is_sealed_the_same() {
        let vault = Vault::in_memory().expect("a vault");
        assert_eq!(name(&vault, ANNA, "Anna"), name(&vault, ANNA, "Anna"));
        assert_ne!(name(&vault, ANNA, "Anna"), name(&vault, ANNA, "Anne"));
        assert_ne!(name(&vault, ANNA, "Anna"), name(&vault, BERT, "Anna"));
    }

    #[test]
    fn whoever_is_forgotten_stays_so() {
        let vault = Vault::in_memory().expect("a vault");
        let sealed = name(&vault, ANNA, "Anna");
        vault.forget(ANNA);
        let is_erased = |subject| vault.wait_until_erased(subject, Duration::ZERO);
        assert!(is_erased(ANNA) && !is_erased(BERT));
        assert_eq!(vault.open_text(ANNA, "name", &sealed), Opened::Erased);
        let again = vault.seal(ANNA, "name", &Personal::new("Anna"));
        assert!(matches!(again, Err(VaultError::Erased(ANNA))));

        let mut shown = json!({ "data": { "name": sealed, "note": "x" } });
        vault.reveal(ANNA, &mut shown);
        assert_eq!(shown, json!({ "data": { "name": ERASED, "note": "x" } }));
    }

    #[test]
    fn an_address_has_one_pseudonym_in_an_installation() {
        let vault = Vault::in_memory().expect("a vault");
        let id = |vault: &Vault, text| vault.email_id(&NormalEmail::parse(text).expect("an address"));
        assert_eq!(id(&vault, "Ada@Example.org"), id(&vault, "ada@example.ORG"));
        assert_ne!(id(&vault, "ada@example.org"), id(&vault, "bob@example.org"));
        let other = Vault::in_memory().expect("another");
        assert_ne!(id(&vault, "ada@example.org"), id(&other, "ada@example.org"));
    }
}
