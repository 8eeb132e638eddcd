//! Bound functions: one worker for each, that comes and goes with its binding. What goes wrong with one is its own affair: it is
//! tried again, and the process goes on.

use std::{
    borrow::Cow,
    collections::HashMap,
    thread,
    time::{Duration, Instant},
};

use factfold_consumers::worker::{
    self, Shutdown, Status,
    binding::{self, Binding, Bound, Failed},
};
use factfold_registry::{Given, Registry};
use factfold_schemas::{functions::FunctionName, kafka::Cluster};
use serde::Deserialize;
use tokio::{
    runtime::Handle,
    sync::oneshot,
    task::{Id, JoinSet},
    time::sleep,
};

use crate::lag::Groups;

/// How long to rest before a binding that failed is tried again: first, and at most.
const RESTS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// How soon a rest ends when it is over.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Which binding of which function.
type Key = (FunctionName, u32);

/// Runs whatever is bound, until told to stop.
pub async fn run(
    registry: Registry,
    cluster: Cluster,
    settings: impl Fn() -> worker::Settings,
    stop: impl Future<Output = ()>,
) {
    let mut news = registry.catalogue().news();
    let mut running = HashMap::<Key, Shutdown>::new();
    let mut workers = JoinSet::<Key>::new();
    let mut keys = HashMap::<Id, Key>::new();
    tokio::pin!(stop);
    tokio::select! {
        () = registry.catalogue().complete() => {}
        () = &mut stop => return,
    }
    loop {
        news.mark_unchanged();
        let bound = bindings(&registry);
        for (key, shutdown) in &running {
            if !bound.contains_key(key) {
                shutdown.set();
            }
        }
        for (key, binding) in bound {
            running.entry(key).or_insert_with(|| {
                let shutdown = Shutdown::default();
                let worker = Worker {
                    registry: registry.clone(),
                    cluster: cluster.clone(),
                    settings: settings(),
                    shutdown: shutdown.clone(),
                };
                keys.insert(workers.spawn(worker.run(key, binding)).id(), key);
                shutdown
            });
        }
        metrics::gauge!("factfold_bound_functions").set(running.len() as f64);
        tokio::select! {
            () = &mut stop => break,
            // It is ours: as long as we wait, it is there.
            _ = news.changed() => {}
            Some(ended) = workers.join_next_with_id() => {
                let id = match &ended {
                    Ok((id, _)) => *id,
                    Err(error) => error.id(),
                };
                if let Some(key) = keys.remove(&id) {
                    running.remove(&key);
                }
                if let Err(error) = ended {
                    tracing::error!(%error, "the worker of a bound function panicked");
                    sleep(RESTS.0).await;
                }
            }
        }
    }
    running.values().for_each(Shutdown::set);
    while workers.join_next().await.is_some() {}
}

/// The consumer groups of whatever is bound.
pub fn groups(registry: &Registry) -> Groups {
    let groups = bindings(registry).into_iter().filter_map(|((name, number), binding)| {
        Some((binding::group(name, number), vec![binding.topic().ok()?]))
    });
    groups.collect()
}

fn bindings(registry: &Registry) -> HashMap<Key, Binding> {
    let bound = registry.catalogue().bound().into_iter().filter_map(|function| {
        let bound = function.binding.clone()?;
        Some(((function.name, bound.binding), Binding { name: function.name, bound }))
    });
    bound.collect()
}

/// What gives one function its events.
struct Worker {
    registry: Registry,
    cluster: Cluster,
    settings: worker::Settings,
    shutdown: Shutdown,
}

impl Worker {
    /// Runs until the function is bound no more. What it fails of is logged, and tried again.
    async fn run(self, key: Key, binding: Binding) -> Key {
        let mut rest = RESTS.0;
        while !self.shutdown.is_set() {
            let began = Instant::now();
            let (cluster, settings, shutdown) =
                (self.cluster.clone(), self.settings.clone(), self.shutdown.clone());
            let function = Sandboxed { handle: Handle::current(), given: self.registry.given(key.0) };
            let (binding, redeliveries) = (binding.clone(), self.registry.redeliveries());
            let ran = on_a_thread(key.0.as_str(), move || {
                binding::run(binding, function, redeliveries, &cluster, settings, shutdown, Status::default())
            });
            match ran.await {
                Ok(Ok(())) => break,
                // Somebody has our names: whoever fights gets nowhere, and neither does the other (rule 2).
                Ok(Err(error @ worker::Error::Fenced { .. })) => {
                    tracing::error!(function.name = %key.0, binding = key.1, %error, "a bound function is given nothing until the next start");
                    self.rest(Duration::MAX).await;
                }
                Ok(Err(error @ worker::Error::NoOffset { .. })) => {
                    tracing::error!(function.name = %key.0, binding = key.1, %error, "a bound function does not begin again, or events would count twice: set the offsets of its group to where it came, which keeps its states, or unbind it and bind it anew, without them");
                }
                Ok(Err(error)) => {
                    let error = anyhow::Error::from(error);
                    tracing::error!(function.name = %key.0, binding = key.1, error = format!("{error:#}"), "a bound function is given nothing");
                }
                Err(_gone) => {
                    tracing::error!(function.name = %key.0, binding = key.1, "the worker of a bound function panicked");
                }
            }
            if began.elapsed() > RESTS.1 {
                rest = RESTS.0;
            }
            self.rest(rest).await;
            rest = (rest * 2).min(RESTS.1);
        }
        key
    }

    /// Rests for so long, or until it is told to stop.
    async fn rest(&self, time: Duration) {
        let began = Instant::now();
        while !self.shutdown.is_set() && began.elapsed() < time {
            sleep(LOOK_INTERVAL).await;
        }
    }
}

/// Runs this on a thread of its own: there may be more bindings than an executor has for what blocks.
fn on_a_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> oneshot::Receiver<T> {
    let (done, ended) = oneshot::channel();
    let thread = thread::Builder::new().name(format!("function {name}"));
    // A thread that cannot be made drops `done`, as one that panics does.
    if let Err(error) = thread.spawn(move || drop(done.send(work()))) {
        tracing::error!(%error, function.name = name, "no thread for a bound function");
    }
    ended
}

#[derive(Default, Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
}

/// A function of the registry, for a worker that blocks.
struct Sandboxed {
    handle: Handle,
    given: Given,
}

impl Bound for Sandboxed {
    fn give(&mut self, event: &str, context: &str) -> Result<binding::Given, Failed> {
        // Its lines in the logs name the event.
        let named: Named<'_> = serde_json::from_str(event).unwrap_or_default();
        let gave = self.handle.block_on(self.given.give(&named.id, event, context));
        gave.map(|output| binding::Given { output: output.get().to_owned() })
            .map_err(|error| Failed { message: error.to_string(), is_lasting: error.is_lasting() })
    }

    fn rest(&mut self) {
        self.given.rest();
    }
}
