//! What a command says about a person, and the secrets of a function, are sealed before it is stored, as a gateway does it.

use std::{cell::OnceCell, path::PathBuf};

use anyhow::{Context as _, anyhow};
use factfold_schemas::{
    codec::{decode_command, encode},
    functions::{self, FunctionName},
    ids::UserId,
    kafka::Cluster,
    personal::Personal,
    users,
};
use factfold_vault::{Secrets, Vault};

use super::vocabulary::Checked;
use crate::failure::Failure;

/// Seals, once there is something to seal: reading all keys takes a moment, and needs the installation's secrets.
pub(super) struct Seal {
    cluster: Cluster,
    secrets: Result<PathBuf, Failure>,
    vault: OnceCell<Vault>,
}

impl Seal {
    /// With the secrets in this file, if they can be had.
    pub(super) fn new(cluster: &Cluster, secrets: Result<PathBuf, Failure>) -> Self {
        Self { cluster: cluster.clone(), secrets, vault: OnceCell::new() }
    }

    /// The command as it may be stored.
    pub(super) fn apply(&self, command: Checked) -> Result<Checked, Failure> {
        if let Some(sealed) = self.secrets_sealed(&command)? {
            return Ok(Checked { value: sealed, ..command });
        }
        let is_personal = users::Command::PERSONAL.contains(&command.type_name.as_str());
        let subject = UserId::of_stream(command.stream.as_str()).filter(|_| is_personal);
        let Some(subject) = subject else { return Ok(command) };
        let vault = self.vault()?;
        if !vault.knows(subject) {
            return Err(Failure::Usage(anyhow!("there is no user {subject}")));
        }
        let mut message: users::Command =
            decode_command(&command.type_name, &command.value).map_err(anyhow::Error::from)?;
        vault.protect(subject, &mut message).map_err(|error| anyhow!("{}: {error}", command.type_name))?;
        Ok(Checked { value: encode(&message), ..command })
    }

    /// The command with its secrets sealed, where it is one that has them.
    fn secrets_sealed(&self, command: &Checked) -> Result<Option<Vec<u8>>, Failure> {
        let Some(name) = FunctionName::of_stream(command.stream.as_str()) else { return Ok(None) };
        let decoded = decode_command(&command.type_name, &command.value).map_err(anyhow::Error::from)?;
        let functions::Command::ConfigureFunction(mut configure) = decoded else { return Ok(None) };
        let is_plain = |secret: &Personal| !secret.is_sealed();
        if !configure.secrets.values().flatten().any(is_plain) {
            return Ok(None);
        }
        let sealed = self.vault()?.protect_secrets(name, &mut configure);
        sealed.map_err(|error| anyhow!("{}: {error}", command.type_name))?;
        Ok(Some(encode(&functions::Command::ConfigureFunction(configure))))
    }

    fn vault(&self) -> Result<&Vault, Failure> {
        if let Some(vault) = self.vault.get() {
            return Ok(vault);
        }
        let file = self.secrets.as_ref().map_err(|error| {
            let why =
                "what is said about people, and the secrets of functions, are sealed before they are stored";
            Failure::OutOfReach(anyhow!(
                "{why}, and the secrets for it are not here ({error}): set sealing_file"
            ))
        })?;
        let secrets = Secrets::load_or_create(file).map_err(anyhow::Error::from)?;
        let vault = Vault::open(&self.cluster, secrets).context("reading the keys of personal data")?;
        Ok(self.vault.get_or_init(|| vault))
    }
}
