//! Keeps one program running: starts it, waits until it is ready, watches it, and starts it again
//! when it dies, with a growing pause, until it is told to stop.
//!
//! The first start is different in one thing only: when it fails, that is the caller's error.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::child::{Child, Program};
use super::tail::Tail;
use crate::console::Console;

/// Recovery of a large log after a crash may take a while; a program that cannot start says so
/// by ending, long before this.
const READY_PATIENCE: Duration = Duration::from_secs(180);
const READY_POLL_INTERVAL: Duration = Duration::from_millis(20);
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Whoever ran this long did not die of its start: the next pause is short again.
const HEALTHY_AFTER: Duration = Duration::from_secs(30);

/// A program that can be kept running.
pub(super) trait Service: Send + Sync + 'static {
    /// What to run.
    fn program(&self) -> Program;
    /// Where it is reached, for people.
    fn address(&self) -> String;
    /// What it writes, to show when it does not start.
    fn logs(&self) -> Vec<PathBuf>;
    /// Clears away what a killed predecessor may have left in the way.
    fn clear_the_way(&self) -> impl Future<Output = anyhow::Result<()>> + Send;
    /// Whether the process with this id takes clients.
    fn is_ready(&self, pid: i32) -> impl Future<Output = bool> + Send;
}

/// One program that is kept running. Dropping it kills the program.
#[derive(Debug)]
pub(super) struct Supervisor {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Supervisor {
    /// Starts the program, and returns when it is ready.
    pub(super) async fn start<S: Service>(service: S, console: Console) -> anyhow::Result<Self> {
        let began = Instant::now();
        let child = launch(&service).await?;
        console.ready(&service.program().name, began.elapsed(), &service.address());
        let (stop, stopping) = watch::channel(false);
        let task = tokio::spawn(keep_running(service, child, stopping, console));
        Ok(Self { stop, task })
    }

    /// Stops the program, and returns when its process is gone.
    pub(super) async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "a supervisor ended early");
        }
    }
}

/// Starts `service` once, and waits until it is ready.
pub(super) async fn launch<S: Service>(service: &S) -> anyhow::Result<Child> {
    let program = service.program();
    service.clear_the_way().await.with_context(|| program.name.clone())?;
    let tail = Tail::from_here(service.logs());
    let mut child = program.spawn().await.with_context(|| program.name.clone())?;
    let pid = child.pid();
    let ready = async {
        while !service.is_ready(pid).await {
            sleep(READY_POLL_INTERVAL).await;
        }
    };
    tokio::select! {
        () = ready => Ok(child),
        status = child.ended() => {
            let status = status.context("waiting for a child")?;
            Err(anyhow!("{} ended while it started ({status}){}", program.name, tail.text()))
        }
        () = sleep(READY_PATIENCE) => {
            bail!("{} was not ready after {} s{}", program.name, READY_PATIENCE.as_secs(), tail.text())
        }
    }
}

async fn keep_running<S: Service>(
    service: S,
    mut child: Child,
    mut stopping: watch::Receiver<bool>,
    console: Console,
) {
    let name = service.program().name;
    let mut pause = PAUSE_MIN;
    loop {
        let started = Instant::now();
        let ended = tokio::select! {
            _ = stopping.changed() => None,
            status = child.ended() => Some(status),
        };
        let Some(status) = ended else { break stop(&name, child, console).await };
        let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        console.warn(&format!("  {name}: ended ({how}), starting it again"));
        if started.elapsed() > HEALTHY_AFTER {
            pause = PAUSE_MIN;
        }
        let again = tokio::select! {
            _ = stopping.changed() => return,
            again = launch_until_ready(&service, &name, &mut pause, console) => again,
        };
        child = again;
    }
}

/// Tries again until it works: the reason may go away (a full disk, a port that somebody took).
async fn launch_until_ready<S: Service>(
    service: &S,
    name: &str,
    pause: &mut Duration,
    console: Console,
) -> Child {
    loop {
        sleep(*pause).await;
        *pause = (*pause * 2).min(PAUSE_MAX);
        let began = Instant::now();
        match launch(service).await {
            Ok(child) => {
                console.ready(name, began.elapsed(), &service.address());
                return child;
            }
            Err(error) => console.warn(&format!("  {error:#}\n  {name}: trying again in {pause:?}")),
        }
    }
}

async fn stop(name: &str, child: Child, console: Console) {
    if let Err(error) = child.stop().await {
        console.warn(&format!("  {name}: {error:#}"));
    }
}
