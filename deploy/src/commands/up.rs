//! `factfold up`: a private Kafka and PostgreSQL, and every role in one process.

use std::io::{BufRead as _, IsTerminal as _, Write as _, stderr, stdin, stdout};
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::anyhow;

use crate::addresses::Addresses;
use crate::console::Console;
use crate::data_dir::{DataDir, LockedDir};
use crate::failure::Failure;
use crate::roles;
use crate::shutdown::Shutdown;
use crate::stack::{Durability, Stack, StackOptions};

/// Start everything on this machine: a private Kafka and PostgreSQL, and every role
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: factfold up --kafka-port 9092

With KAFKA_BROKERS and DATABASE_URL both set, no Kafka and no PostgreSQL is started:
the roles run against those.")]
pub(super) struct Args {
    /// Where the HTTP API listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    http: SocketAddr,
    /// Kafka's port; without it a free one, kept from one start to the next
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    kafka_port: Option<u16>,
    /// Throw the data away first; asks before it does
    #[arg(long)]
    fresh: bool,
    /// With --fresh: do not ask
    #[arg(long, requires = "fresh")]
    yes: bool,
    /// Survive power cuts too: Kafka writes every record to disk before it answers (slower)
    #[arg(long)]
    fsync: bool,
}

/// Runs the command until it is asked to stop.
pub(super) async fn run(args: Args, data: DataDir) -> Result<ExitCode, Failure> {
    let mut shutdown = Shutdown::listen().map_err(Failure::OutOfReach)?;
    if let Some(given) = Addresses::from_environment().map_err(Failure::Usage)? {
        let addresses = Addresses { http: Some(http_url(args.http)), ..given };
        roles::run(&addresses, &mut shutdown).await.map_err(Failure::OutOfReach)?;
        return Ok(ExitCode::SUCCESS);
    }
    let dir = data.lock()?;
    if args.fresh {
        throw_away(&dir, args.yes).await?;
    }
    let options = StackOptions {
        kafka_nodes: 1,
        kafka_port: args.kafka_port,
        durability: if args.fsync { Durability::PowerCuts } else { Durability::Crashes },
        console: Console::Talking,
    };
    let stack = tokio::select! {
        stack = Stack::start(&dir, &options) => stack?,
        () = shutdown.requested() => return Ok(ExitCode::SUCCESS),
    };
    let addresses = Addresses {
        kafka_brokers: stack.brokers().to_owned(),
        database_url: stack.database_url().to_owned(),
        http: Some(http_url(args.http)),
    };
    let ran = serve(&dir, &addresses, &mut shutdown).await;
    Console::Talking.say("stopping");
    stack.stop().await;
    ran.map_err(Failure::OutOfReach)?;
    Ok(ExitCode::SUCCESS)
}

/// What happens while the stack is up; whatever its end, the stack is stopped after it.
async fn serve(dir: &LockedDir, addresses: &Addresses, shutdown: &mut Shutdown) -> anyhow::Result<()> {
    dir.publish(addresses)?;
    // Whoever started us may have closed our output; the stack runs on.
    let _ = write!(stdout(), "\n{}", addresses.to_env()).and_then(|()| stdout().flush());
    Console::Talking.say("\nCtrl-C stops everything; the data stays.");
    let ran = roles::run(addresses, shutdown).await;
    dir.withdraw()?;
    ran
}

fn http_url(address: SocketAddr) -> String {
    format!("http://{address}")
}

/// Throws the data away, after asking whoever sits there.
async fn throw_away(dir: &LockedDir, yes: bool) -> Result<(), Failure> {
    if !dir.has_data().map_err(Failure::OutOfReach)? {
        return Ok(());
    }
    if !yes && !confirmed(&format!("Throw away everything in {}?", dir.path().display()))? {
        return Err(Failure::Refused(anyhow!("nothing was thrown away")));
    }
    Stack::end_orphans(dir, Console::Talking).await.map_err(Failure::OutOfReach)?;
    dir.wipe().map_err(Failure::OutOfReach)
}

fn confirmed(question: &str) -> Result<bool, Failure> {
    if !stdin().is_terminal() {
        return Err(Failure::Refused(anyhow!(
            "--fresh asks first, and there is no terminal to ask: add --yes"
        )));
    }
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    let read = stderr().flush().and_then(|()| stdin().lock().read_line(&mut answer));
    read.map_err(|error| Failure::OutOfReach(error.into()))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
