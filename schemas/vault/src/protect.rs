//! What commands say about people is checked while it can still be read, and sealed. The gateway does that before a command
//! is stored; the worker for those that came straight onto the topic.

use factfold_schemas::{
    email::NormalEmail,
    functions::{ConfigureFunction, FunctionName},
    ids::UserId,
    personal::Personal,
    users::{Command, NAME_CHARS_MAX, Rejection, Status},
};

use crate::{Opened, Vault, VaultError};

/// Why a command is not sealed.
#[derive(Debug, thiserror::Error)]
pub enum Unprotected<R> {
    /// What it says is no address, or no name.
    #[error("it is refused")]
    Refused(R),
    /// There is no key.
    #[error(transparent)]
    Failed(VaultError),
}

impl From<Rejection> for Unprotected<Rejection> {
    fn from(rejection: Rejection) -> Self {
        Self::Refused(rejection)
    }
}

impl From<VaultError> for Unprotected<Rejection> {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Erased(_) => Self::Refused(Rejection::UserNotActive { status: Status::Erased }),
            failed => Self::Failed(failed),
        }
    }
}

impl Vault {
    /// Seals the secrets of this function. What is sealed already stays as it is.
    ///
    /// # Errors
    /// When no key can be had. Then some of it may be sealed.
    pub fn protect_secrets(
        &self,
        function: FunctionName,
        command: &mut ConfigureFunction,
    ) -> Result<(), VaultError> {
        for (name, secret) in &mut command.secrets {
            if let Some(secret) = secret.as_mut().filter(|secret| !secret.is_sealed()) {
                *secret = self.seal(self.secrets.keeper(), &secret_field(function, name), secret)?;
            }
        }
        Ok(())
    }

    /// Whether the key of the functions' secrets is known here, by now.
    pub fn can_open_secrets(&self) -> bool {
        self.knows(self.secrets.keeper())
    }

    /// What the secret of this name says to this function; nothing when it was sealed elsewhere, or for another.
    pub fn open_secret(&self, function: FunctionName, name: &str, secret: &Personal) -> Option<String> {
        match self.open_text(self.secrets.keeper(), &secret_field(function, name), secret) {
            Opened::Text(text) => Some(text),
            Opened::Erased | Opened::Unreadable => None,
        }
    }

    /// Seals what this command says about its user. What is sealed already stays as it is.
    ///
    /// # Errors
    /// When it is no address or no name, or no key can be had. Then some of it may be sealed.
    pub fn protect(&self, subject: UserId, command: &mut Command) -> Result<(), Unprotected<Rejection>> {
        match command {
            Command::RegisterUser(register) => {
                if !register.email.is_sealed() {
                    let email =
                        NormalEmail::parse(register.email.as_str()).map_err(|_| Rejection::InvalidEmail)?;
                    register.email_id = Some(self.email_id(&email));
                }
                self.protect_name(subject, &mut register.name)?;
                self.protect_text(subject, "email", &mut register.email)
            }
            Command::UpdateProfile(update) => self.protect_name(subject, &mut update.name),
            _ => Ok(()),
        }
    }

    fn protect_name(&self, subject: UserId, name: &mut Personal) -> Result<(), Unprotected<Rejection>> {
        if !name.is_sealed() {
            let text = name.as_str();
            let fits = (1..=NAME_CHARS_MAX).contains(&text.chars().count());
            if !fits || text.chars().any(char::is_control) || text.trim().is_empty() {
                return Err(Rejection::InvalidName.into());
            }
        }
        self.protect_text(subject, "name", name)
    }

    fn protect_text(
        &self,
        subject: UserId,
        field: &str,
        text: &mut Personal,
    ) -> Result<(), Unprotected<Rejection>> {
        if !text.is_sealed() {
            *text = self.seal(subject, field, text)?;
        }
        Ok(())
    }
}

/// Where a secret belongs: moved to another function, or another name, it cannot be opened.
fn secret_field(function: FunctionName, name: &str) -> String {
    format!("{}/{name}", function.stream())
}

#[cfg(test)]
mod tests {
    use factfold_schemas::users::RegisterUser;

    use super::*;
    use crate::Opened;

    const ANNA: UserId = UserId::new(uuid::Uuid::from_u128(1));

    fn register(email: &str, name: &str) -> Command {
        Command::RegisterUser(RegisterUser {
            email: Personal::new(email),
            name: Personal::new(name),
            password_hash: "$argon2id$".to_owned(),
            email_id: None,
        })
    }

    fn protected(vault: &Vault, mut command: Command) -> Result<RegisterUser, Rejection> {
        match (vault.protect(ANNA, &mut command), command) {
            (Ok(()), Command::RegisterUser(register)) => Ok(register),
            (Err(Unprotected::Refused(rejection)), _) => Err(rejection),
            (other, _) => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_said_of_a_person_is_sealed_and_the_address_gets_its_pseudonym() {
        let vault = Vault::in_memory().expect("a vault");
        let sealed = protected(&vault, register("Anna@Example.org", "Anna")).expect("sealed");
        assert!(sealed.email.is_sealed() && sealed.name.is_sealed());
        assert_eq!(
            vault.open_text(ANNA, "email", &sealed.email),
            Opened::Text("Anna@Example.org".to_owned())
        );
        assert_eq!(vault.open_text(ANNA, "name", &sealed.name), Opened::Text("Anna".to_owned()));
        let spelt_otherwise = protected(&vault, register("ANNA@example.ORG", "Anna")).expect("sealed");
        assert!(sealed.email_id.is_some() && sealed.email_id == spelt_otherwise.email_id);
        let again = protected(&vault, Command::RegisterUser(sealed.clone())).expect("as it is");
        assert_eq!(again, sealed);
    }

    #[test]
    fn what_does_not_fit_is_refused_while_it_can_be_read() {
        let vault = Vault::in_memory().expect("a vault");
        let refused =
            |email: &str, name: &str| protected(&vault, register(email, name)).expect_err("refused");
        assert_eq!(refused("anna", "Anna"), Rejection::InvalidEmail);
        for name in ["", "  ", "An\u{0}na", &"x".repeat(NAME_CHARS_MAX + 1)] {
            assert_eq!(refused("anna@example.org", name), Rejection::InvalidName, "{name}");
        }
        vault.forget(ANNA);
        assert_eq!(refused("anna@example.org", "Anna"), Rejection::UserNotActive { status: Status::Erased });
    }
}
