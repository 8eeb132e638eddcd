//! `factfold up`: a private Kafka and PostgreSQL, and every role in one process.

use std::io::{BufRead as _, IsTerminal as _, Write as _, stderr, stdin};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, anyhow};
use factfold_schemas::{ids::UserId, topics::Service};
use tokio::net::TcpListener;

use crate::accounts::fresh_password;
use crate::addresses::Addresses;
use crate::console::Console;
use crate::data_dir::{DataDir, LockedDir};
use crate::failure::Failure;
use crate::roles::Roles;
use crate::settings::{Settings, Sourced, Sources};
use crate::shutdown::Shutdown;
use crate::stack::{Durability, Stack, StackOptions};
use crate::system::PRIVATE;
use crate::telemetry;

/// The address with which the first admin logs in.
const ADMIN_EMAIL: &str = "admin@localhost";
/// What the workers know beside the log, in the data directory.
const STATE_DIR: &str = "state";

/// Start everything on this machine: a private Kafka and PostgreSQL, and every role
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: factfold up --kafka-port 9092

With KAFKA_BROKERS and DATABASE_URL both set, no Kafka and no PostgreSQL is started:
the roles run against those.")]
pub(super) struct Args {
    /// Where the HTTP API listens [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    http: Option<SocketAddr>,
    /// Where the metrics listen [default: 127.0.0.1:9100]
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,
    /// The settings file; without it, factfold.toml beside the data directory
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
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
    let given = Addresses::from_environment().map_err(Failure::Usage)?;
    let settings = settings(&args, data.path(), given.is_none()).map_err(Failure::Usage)?;
    // First, so that who starts it twice is told that, and nothing of ports.
    let dir = data.lock()?;
    // Before anything is started: whoever has to choose another port should not have to wait for it.
    let listener = TcpListener::bind(settings.http)
        .await
        .with_context(|| format!("the HTTP API cannot listen on {}: name another with --http", settings.http))
        .map_err(Failure::OutOfReach)?;
    if let Some(given) = given {
        return serve(settings, &dir, listener, given, None, &mut shutdown).await;
    }
    if args.fresh {
        throw_away(&dir, args.yes).await?;
    }
    let options = StackOptions {
        kafka_nodes: 1,
        kafka_port: args.kafka_port,
        secure_listener: None,
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
        http: None,
    };
    // Nobody could let the first admin in.
    let is_new = !settings.sealing_file(dir.path()).exists();
    let admin = is_new.then(fresh_password);
    let ran = serve(settings, &dir, listener, addresses, admin, &mut shutdown).await;
    Console::Talking.say("stopping");
    stack.stop().await;
    ran
}

/// What happens while Kafka and PostgreSQL are up; whatever its end, a private stack is stopped after it.
async fn serve(
    settings: Settings,
    dir: &LockedDir,
    listener: TcpListener,
    addresses: Addresses,
    admin: Option<String>,
    shutdown: &mut Shutdown,
) -> Result<ExitCode, Failure> {
    let began = Instant::now();
    let http = listener.local_addr().map_err(|error| Failure::OutOfReach(error.into()))?;
    let scheme = if settings.tls().map_err(Failure::Usage)?.is_some() { "https" } else { "http" };
    let addresses = Addresses { http: Some(format!("{scheme}://{http}")), ..addresses };
    let settings = settings.at(&addresses);
    telemetry::log(&settings).map_err(Failure::Usage)?;
    telemetry::metrics(settings.admin).map_err(Failure::OutOfReach)?;
    let keys = settings.key_file(dir.path());
    let mut roles = Roles::new(settings, dir.path(), 0).map_err(Failure::OutOfReach)?;
    let started = tokio::select! {
        started = start(&mut roles, listener, &keys, admin.as_deref()) => started,
        () = shutdown.requested() => return ended(roles.end(Ok(())).await),
    };
    if started.is_err() {
        return ended(roles.end(started).await);
    }
    Console::Talking.ready("roles", began.elapsed(), addresses.http.as_deref().unwrap_or_default());
    dir.publish(&addresses).map_err(Failure::OutOfReach)?;
    introduce(&addresses, admin.as_deref());
    let ran = roles.run(shutdown.requested()).await;
    dir.withdraw().map_err(Failure::OutOfReach)?;
    ended(ran)
}

/// Adds every role. The gateway comes last: what it takes is decided at once.
async fn start(
    roles: &mut Roles,
    listener: TcpListener,
    keys: &Path,
    admin: Option<&str>,
) -> anyhow::Result<()> {
    roles.make_topics().await?;
    for service in Service::ALL {
        roles.add_worker(service).await?;
    }
    roles.add_functions().await?;
    roles.add_projector().await?;
    roles.add_lag();
    roles.wait_for_workers().await?;
    if let Some(password) = admin {
        let accounts = roles.accounts().await?;
        accounts.create_admin(ADMIN_EMAIL, "Admin", password).await.context("making the first admin")?;
    }
    roles.add_gateway(listener, keys).await
}

fn ended(outcome: anyhow::Result<()>) -> Result<ExitCode, Failure> {
    outcome.map(|()| ExitCode::SUCCESS).map_err(Failure::OutOfReach)
}

fn settings(args: &Args, data_dir: &Path, is_private: bool) -> anyhow::Result<Settings> {
    // Somebody sits here, and has been told what became ready.
    let mut running = vec![("log", "warn".to_owned())];
    if is_private {
        running.extend(PRIVATE.map(|(key, value)| (key, value.to_owned())));
    }
    let http = args.http.map(|http| ("http", http.to_string()));
    let admin = args.admin.map(|admin| ("admin", admin.to_string()));
    let sourced = Sourced::read(Sources {
        file: args.config.clone(),
        beside: data_dir.parent().map(Into::into),
        running,
        environment: std::env::vars().filter(|(name, _)| name.starts_with("FACTFOLD_")).collect(),
        flags: http.into_iter().chain(admin).collect(),
    })?;
    let mut settings = sourced.settings;
    settings.state_dir.get_or_insert_with(|| data_dir.join(STATE_DIR));
    Ok(settings)
}

/// The addresses on stdout, for programs; a first command on stderr, for people.
fn introduce(addresses: &Addresses, admin: Option<&str>) {
    let http = addresses.http.as_deref().unwrap_or_default();
    println!("\n{}", addresses.to_env().trim_end());
    if let Some(password) = admin {
        Console::Talking.say(&format!(
            "\nThe first admin is {ADMIN_EMAIL}, the password is {password} (this is the only time that it is shown)."
        ));
    }
    Console::Talking.say(&format!(
        "\nA first command, in another terminal:\n\n  \
         TOKEN=$(deploy/factfold token --subject {} --role merchant --role customer)\n  \
         curl -s {http}/v1/goods -H \"authorization: bearer $TOKEN\" -H 'content-type: application/json' \\\n    \
         -d '{{\"name\": \"Tea\", \"price\": {{\"amount\": 499, \"currency\": \"EUR\"}}, \"stock\": 10}}'\n\n\
         Ctrl-C stops everything; the data stays.",
        UserId::generate()
    ));
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
