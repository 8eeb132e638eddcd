//! `factfold token`: an access token, for whoever holds the key.

use std::{process::ExitCode, time::Duration};

use anyhow::anyhow;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use factfold_producers::access::{Keys, KeysError, Role};
use factfold_schemas::ids::UserId;
use factfold_vault::secret_file::SecretFileError;

use super::arguments::duration;
use crate::{
    data_dir::DataDir,
    failure::Failure,
    output,
    system::{Flags, System},
};

const ROLES: [&str; 6] = ["customer", "merchant", "auditor", "operator", "developer", "admin"];

/// Make an access token for the HTTP API
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: TOKEN=$(factfold token --role merchant --role customer --ttl 8h)
         curl -H \"authorization: bearer $TOKEN\" http://127.0.0.1:8080/v1/orders")]
pub(super) struct Args {
    /// Whom it speaks for, a UUID; without it a fresh one, named on stderr
    #[arg(long, value_name = "ID")]
    subject: Option<UserId>,
    /// What they may do; can be repeated
    #[arg(long = "role", value_name = "ROLE", required = true, num_args = 1.., value_parser = role())]
    roles: Vec<Role>,
    /// How long it is good
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
    ttl: Duration,
    #[command(flatten)]
    flags: Flags,
}

fn role() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(ROLES).try_map(|name| name.parse::<Role>())
}

/// Runs the command.
pub(super) fn run(args: &Args, data: DataDir) -> Result<ExitCode, Failure> {
    let system = System::find(data, &args.flags)?;
    let keys = Keys::load_or_create(&system.key_file_in_use()?).map_err(|error| match error {
        KeysError::File(SecretFileError::ReadableByOthers { .. }) | KeysError::NoKey { .. } => {
            Failure::Usage(error.into())
        }
        _ => Failure::OutOfReach(error.into()),
    })?;
    if args.ttl < Duration::from_secs(1) {
        return Err(Failure::Usage(anyhow!("--ttl is at least 1s")));
    }
    let subject = args.subject.unwrap_or_else(|| {
        let fresh = UserId::generate();
        eprintln!("subject: {fresh}");
        fresh
    });
    let token =
        keys.issue(subject, &args.roles, args.ttl).map_err(|error| Failure::OutOfReach(error.into()))?;
    output::line(&token)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_role() {
        assert!(ROLES.iter().all(|name| name.parse::<Role>().is_ok_and(|role| role.to_string() == *name)));
    }
}
