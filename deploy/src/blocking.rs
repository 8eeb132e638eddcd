//! Commands that read Kafka block, so they run on a thread of their own while the signals are watched. It must never leave a
//! person waiting after Ctrl-C.

use std::{thread, time::Duration};

use anyhow::{Context as _, anyhow};
use factfold_projections::log_reader::Stop;
use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};

use crate::{failure::Failure, shutdown::Shutdown};

/// How long a command may take to end after it was asked to.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs a blocking command. At a signal it is told to stop; what then does not end is left behind.
pub async fn run<T: Send + 'static>(
    command: impl FnOnce(&Stop) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let mut shutdown = Shutdown::listen()?;
    let (sender, mut result) = oneshot::channel();
    let stop = Stop::default();
    let seen = stop.clone();
    thread::Builder::new()
        .name("command".to_owned())
        // Nobody listens any more when the patience is over.
        .spawn(move || drop(sender.send(command(&seen))))
        .context("no thread for the command")?;
    let ended = tokio::select! {
        ended = &mut result => ended,
        () = shutdown.requested() => {
            stop.want();
            timeout(PATIENCE, result).await.map_err(|_| interrupted())?
        }
    };
    ended.map_err(|_| Failure::Refused(anyhow!("the command has panicked: please report it")))?
}

/// Waits for work that ends in order, at its next step, once nobody holds `going_on` any more; Ctrl-C lets it go.
pub async fn unless_interrupted<T>(going_on: watch::Sender<()>, work: impl Future<Output = T>) -> T {
    let interrupt = async {
        let _ = tokio::signal::ctrl_c().await;
        drop(going_on);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        done = work => done,
        () = interrupt => unreachable!("it never ends"),
    }
}

/// Somebody stopped the command before it was done.
pub fn interrupted() -> Failure {
    Failure::Refused(anyhow!("interrupted"))
}
