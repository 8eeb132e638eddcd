//! The secrets of functions are sealed here, before a command with them is stored.

use std::sync::Arc;

use factfold_schemas::{
    codec,
    functions::{Command, FunctionName},
    ids::StreamId,
    personal::Personal,
};
use factfold_vault::VaultError;

use crate::{gateway::Gateway, problems::Problem, vocabulary::Checked};

impl Gateway {
    /// A checked command, with the secrets that it has for a function sealed.
    pub(crate) async fn sealed_for_a_function(
        &self,
        command: Checked,
        stream: &StreamId,
    ) -> Result<Checked, Problem> {
        let Some(name) = FunctionName::of_stream(stream.as_str()) else { return Ok(command) };
        let decoded = codec::decode(command.type_name, &command.value).map_err(|error| {
            tracing::error!(%error, "a checked command cannot be read");
            Problem::new("internal-error", "the command could not be sealed")
        })?;
        let Command::ConfigureFunction(mut configure) = decoded else { return Ok(command) };
        let vault = Arc::clone(&self.vault);
        // The installation's first key for functions is written to Kafka, and read back.
        let sealing = tokio::task::spawn_blocking(move || {
            vault.protect_secrets(name, &mut configure)?;
            let opens = |key: &str, secret: &Personal| vault.open_secret(name, key, secret).is_some();
            let foreign = configure.secrets.iter().find_map(|(key, secret)| {
                secret.as_ref().filter(|secret| !opens(key, secret)).map(|_| key.clone())
            });
            Ok::<_, VaultError>((codec::encode(&Command::ConfigureFunction(configure)), foreign))
        });
        match sealing.await {
            Ok(Ok((value, None))) => Ok(Checked { value, ..command }),
            Ok(Ok((_, Some(key)))) => {
                let detail = format!("the secret {key} was sealed for something else: say it as it is");
                Err(Problem::new("invalid-configuration", detail))
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "the secrets of a function cannot be sealed");
                let detail = "nothing was written: repeat it in a moment";
                Err(Problem::new("storage-unavailable", detail).retry_after(1))
            }
            Err(error) => {
                tracing::error!(%error, "sealing the secrets of a function broke off");
                Err(Problem::new("internal-error", "the command could not be sealed"))
            }
        }
    }
}
