//! Sees to it that every build that this code can fold has its session, and that a build is shown once it has caught up. What
//! it does is all in the catalogue: any number of them can be at work.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use factfold_schemas::kafka::Cluster;
use tokio::{runtime::Handle, sync::watch, task::JoinSet};

use super::{pace::Pace, session::Session};
use crate::{
    Build, Error,
    catalogue::{BuildError, Catalogue, Entry},
    past,
};

/// How often to look at the catalogue.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How often to see whether the past can go.
const TIDY_INTERVAL: Duration = Duration::from_secs(600);

/// The sessions of this process.
pub(super) struct Crew {
    cluster: Cluster,
    database_url: String,
    pace: Arc<Pace>,
    catalogue: Option<Catalogue>,
    /// What ends a session when it is dropped.
    at_work: BTreeMap<Build, watch::Sender<()>>,
    sessions: JoinSet<(Build, Result<(), Error>)>,
    /// Builds that have stopped for good here: they are not begun again.
    stopped: Vec<Build>,
    outcome: Result<(), Error>,
    tidied: Instant,
}

impl Crew {
    pub(super) fn new(cluster: &Cluster, database_url: &str) -> Self {
        Self {
            cluster: cluster.clone(),
            database_url: database_url.to_owned(),
            pace: Arc::new(Pace::new()),
            catalogue: None,
            at_work: BTreeMap::new(),
            sessions: JoinSet::new(),
            stopped: Vec::new(),
            outcome: Ok(()),
            tidied: Instant::now(),
        }
    }

    /// Works until `shutdown` is ready, or until every build has stopped for good.
    pub(super) async fn work(mut self, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
        tokio::pin!(shutdown);
        let mut interval = tokio::time::interval(LOOK_INTERVAL);
        let mut was_away = false;
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(ended) = self.sessions.join_next() => {
                    let (build, ended) = ended?;
                    // One that was told to end is at work no more.
                    if self.at_work.remove(&build).is_some() {
                        self.stopped.push(build);
                        self.outcome = self.outcome.and(ended);
                        if self.at_work.is_empty() {
                            return self.outcome;
                        }
                    }
                }
                _ = interval.tick() => match self.look().await {
                    Ok(()) => was_away = false,
                    Err(error) => {
                        self.catalogue = None;
                        if !std::mem::replace(&mut was_away, true) {
                            tracing::warn!(%error, "the catalogue of read models cannot be asked; trying again");
                        }
                    }
                },
            }
        }
        self.at_work.clear();
        while let Some(ended) = self.sessions.join_next().await {
            let (_, ended) = ended?;
            self.outcome = self.outcome.and(ended);
        }
        self.outcome
    }

    /// Begins and ends sessions as the catalogue says, and shows what has caught up.
    async fn look(&mut self) -> Result<(), Error> {
        let mut catalogue = match self.catalogue.take() {
            Some(catalogue) => catalogue,
            None => Catalogue::open(&self.cluster, &self.database_url).await?,
        };
        let entries = catalogue.builds().await?;
        let ours = |entry: &&Entry| entry.fold == entry.build.projection.fold();
        let wanted: Vec<_> = entries.iter().filter(ours).filter(|entry| !entry.paused).collect();
        self.at_work.retain(|build, _| wanted.iter().any(|entry| entry.build == *build));
        for build in wanted.iter().map(|entry| entry.build) {
            if !self.at_work.contains_key(&build) && !self.stopped.contains(&build) {
                self.begin(build)?;
            }
        }
        for entry in wanted.iter().filter(|entry| entry.goes_live && entry.caught_up_at.is_some()) {
            match catalogue.switch(entry.build).await {
                Ok(()) => tracing::info!(build = %entry.build, "shown from now on"),
                Err(BuildError::Database(error)) => return Err(error),
                // Dropped meanwhile, or not quite as far: the next look tells.
                Err(error) => tracing::info!(build = %entry.build, %error, "not shown yet"),
            }
        }
        if self.tidied.elapsed() >= TIDY_INTERVAL {
            self.tidied = Instant::now();
            past::tidy(&mut catalogue).await?;
        }
        self.catalogue = Some(catalogue);
        Ok(())
    }

    fn begin(&mut self, build: Build) -> Result<(), Error> {
        let (stop, stopped) = watch::channel(());
        let session =
            Session::new(build, &self.cluster, &self.database_url, Arc::clone(&self.pace), stopped)?;
        let runtime = Handle::current();
        self.sessions.spawn_blocking(move || (build, runtime.block_on(session.run())));
        self.at_work.insert(build, stop);
        Ok(())
    }
}
