//! `factfold users`: what concerns accounts and cannot be left to those who have one.

use std::{process::ExitCode, sync::Arc};

use clap::Subcommand;
use factfold_projections::ReadSide;
use factfold_schemas::ids::UserId;
use factfold_vault::{Secrets, Vault};

use crate::{
    accounts::{Accounts, fresh_password},
    data_dir::DataDir,
    failure::Failure,
    output,
    system::{Flags, System},
};

/// Make an admin, or forget somebody
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: factfold users create-admin --email root@example.org
         factfold users erase 0190aaaa-0000-7000-8000-00000000000a")]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make an account that may do everything; prints its id and its password, this once
    CreateAdmin {
        /// The address with which to log in
        #[arg(long, value_name = "EMAIL")]
        email: String,
        /// What the admin is called
        #[arg(long, value_name = "NAME", default_value = "Admin")]
        name: String,
    },
    /// Destroy the key of all that is said about a user, and close the account. It cannot be undone
    Erase {
        /// The user
        #[arg(value_name = "ID")]
        id: UserId,
    },
}

/// Runs the command.
pub(super) async fn run(args: Args, data: DataDir) -> Result<ExitCode, Failure> {
    let system = System::find(data, &args.flags)?;
    let (cluster, database) = (system.cluster()?, system.database()?.to_owned());
    let secrets = Secrets::load_or_create(&system.sealing_file_in_use()?)
        .map_err(|error| Failure::Usage(error.into()))?;
    let asked = cluster.clone();
    let vault = tokio::task::spawn_blocking(move || Vault::open(&asked, secrets)).await;
    let vault = vault.map_err(|error| Failure::OutOfReach(error.into()))?;
    let vault = Arc::new(vault.map_err(|error| Failure::OutOfReach(error.into()))?);
    let reads = ReadSide::connect(&cluster, &database, 2).await;
    let reads = reads.map_err(|error| Failure::OutOfReach(error.into()))?;
    let accounts = Accounts::connect(&cluster, vault, reads).await.map_err(Failure::OutOfReach)?;
    match args.action {
        Action::CreateAdmin { email, name } => {
            let password = fresh_password();
            let id = accounts.create_admin(&email, &name, &password).await.map_err(Failure::Refused)?;
            output::line(&format!("id        {id}\nemail     {email}\npassword  {password}"))?;
        }
        Action::Erase { id } => {
            accounts.erase(id).await.map_err(Failure::Refused)?;
            output::line(&format!("{id} is forgotten"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
