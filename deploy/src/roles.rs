//! The roles: workers, projector, gateway. All of them run in one process on one machine, or each in processes of its own.
//! It must never start or stop Kafka or PostgreSQL: that is [`crate::stack`].

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use factfold_consumers::{
    decider::Decider,
    functions::FunctionsDecider,
    goods::GoodsDecider,
    orders::OrdersDecider,
    reactors::{
        Reactor, erasures::Erasures, order_expiry::OrderExpiry, order_stock::OrderStock,
        registrations::Registrations, reservations::Reservations, schedules::Schedules,
    },
    users::UsersDecider,
    worker::{self, Layout, Shutdown, Status, deciding, groups, keeping, reacting},
};
use factfold_producers::{Gateway, access::Keys};
use factfold_projections::{Projector, ReadSide, log_reader::Log, migrate};
use factfold_registry::Registry;
use factfold_schemas::{kafka::Cluster, topics::Service};
use factfold_vault::{Secrets, Vault};
use tokio::{net::TcpListener, sync::watch, task::JoinSet, time::sleep};

use crate::{
    accounts::Accounts,
    bindings,
    console::notice,
    lag::{self, Groups, Lags},
    settings::Settings,
    topics, verification,
};

type Work = Box<dyn FnOnce(&Cluster, worker::Settings, Shutdown, Status) -> Result<(), worker::Error> + Send>;

/// What a worker's thread does, and the name people know it by.
struct Job {
    name: &'static str,
    work: Work,
}

impl Job {
    fn new(
        name: &'static str,
        work: impl FnOnce(&Cluster, worker::Settings, Shutdown, Status) -> Result<(), worker::Error>
        + Send
        + 'static,
    ) -> Self {
        Self { name, work: Box::new(work) }
    }

    fn decider<D: Decider>() -> Self {
        Self::new(D::SERVICE.name(), deciding::run::<D>)
    }

    fn reactor<R: Reactor>(reactor: R) -> Self {
        Self::new(R::NAME, |cluster, settings, stop, status| {
            reacting::run(reactor, cluster, settings, stop, status)
        })
    }

    fn keeper(name: &'static str, service: Service) -> Self {
        Self::new(name, move |cluster, settings, stop, status| {
            keeping::run(service, cluster, settings, stop, status)
        })
    }
}

/// The jobs of a service: its decider, the keeper of its timers, and the reactors that belong to it.
fn jobs(service: Service, settings: &Settings) -> Vec<Job> {
    match service {
        Service::Functions => vec![
            Job::decider::<FunctionsDecider>(),
            Job::keeper("functions-timers", service),
            Job::reactor(Schedules),
        ],
        Service::Goods => vec![Job::decider::<GoodsDecider>(), Job::keeper("goods-timers", service)],
        Service::Orders => vec![
            Job::decider::<OrdersDecider>(),
            Job::keeper("orders-timers", service),
            Job::reactor(OrderStock),
            Job::reactor(Reservations),
            Job::reactor(OrderExpiry::after(settings.order_expiry())),
        ],
        Service::Users => vec![
            Job::decider::<UsersDecider>(),
            Job::keeper("users-timers", service),
            Job::reactor(Registrations),
            Job::reactor(Erasures),
        ],
    }
}

/// The roles of one process. Each is added, then all of them [run](Roles::run).
pub struct Roles {
    settings: Settings,
    cluster: Cluster,
    instance: String,
    sealing_file: PathBuf,
    vault: Option<Arc<Vault>>,
    functions: factfold_registry::Settings,
    registry: Option<Registry>,
    tasks: JoinSet<(String, Result<()>)>,
    workers: Vec<Status>,
    stop_workers: Shutdown,
    stop: watch::Sender<bool>,
}

impl Roles {
    /// No roles yet. Host, `data_dir` and `number` make this process's name among all others, when the settings give none.
    pub fn new(settings: Settings, data_dir: &Path, number: u16) -> Result<Self> {
        Ok(Self {
            cluster: settings.cluster()?,
            instance: settings.instance.clone().unwrap_or_else(|| instance(data_dir, number)),
            sealing_file: settings.sealing_file(data_dir),
            vault: None,
            functions: settings.functions(data_dir),
            registry: None,
            settings,
            tasks: JoinSet::new(),
            workers: Vec::new(),
            stop_workers: Shutdown::default(),
            stop: watch::Sender::new(false),
        })
    }

    /// Finds out whether Kafka lets us in, and if not, why: later nobody would say so.
    async fn reach_kafka(&self) -> Result<()> {
        let cluster = self.cluster.clone();
        tokio::task::spawn_blocking(move || Log::open(&cluster, notice)).await??;
        Ok(())
    }

    /// Makes the topics that are missing.
    pub async fn make_topics(&self) -> Result<()> {
        self.reach_kafka().await?;
        topics::create(&self.cluster, self.settings.partitions, self.settings.replication).await.map(drop)
    }

    /// Decides the commands of a service, and reacts to its facts.
    pub async fn add_worker(&mut self, service: Service) -> Result<()> {
        let has_secrets = matches!(service, Service::Users | Service::Functions);
        let vault = if has_secrets { Some(self.vault().await?) } else { None };
        for Job { name, work } in jobs(service, &self.settings) {
            let settings = worker::Settings { vault: vault.clone(), ..self.settings.worker(&self.instance) };
            let cluster = self.cluster.clone();
            let (shutdown, status) = (self.stop_workers.clone(), Status::default());
            self.workers.push(status.clone());
            self.tasks.spawn_blocking(move || {
                (
                    format!("the worker `{name}`"),
                    work(&cluster, settings, shutdown, status).map_err(Into::into),
                )
            });
        }
        Ok(())
    }

    /// Gives bound functions their events, and runs calls that nobody waits for; nothing in a build that runs no functions.
    pub async fn add_functions(&mut self) -> Result<()> {
        if !Registry::RUNS {
            return Ok(());
        }
        self.reach_kafka().await?;
        let (registry, cluster) = (self.registry().await?, self.cluster.clone());
        let (settings, instance, stop) = (self.settings.clone(), self.instance.clone(), self.stopped());
        let bound =
            bindings::run(registry.clone(), cluster.clone(), move || settings.worker(&instance), stop);
        self.tasks.spawn(async move {
            bound.await;
            ("the bound functions".to_owned(), Ok(()))
        });
        let stop = self.stopped();
        self.tasks.spawn(async move {
            let served = factfold_registry::serve(registry, &cluster, stop).await;
            ("the calls that nobody waits for".to_owned(), served.map_err(Into::into))
        });
        Ok(())
    }

    /// What seals personal data, for all roles of this process.
    pub async fn vault(&mut self) -> Result<Arc<Vault>> {
        if let Some(vault) = &self.vault {
            return Ok(vault.clone());
        }
        let (cluster, secrets) = (self.cluster.clone(), Secrets::load_or_create(&self.sealing_file)?);
        let opened = tokio::task::spawn_blocking(move || Vault::open(&cluster, secrets)).await?;
        let vault = Arc::new(opened.context("reading the keys of personal data")?);
        self.vault = Some(vault.clone());
        Ok(vault)
    }

    /// What knows and runs the functions, for all roles of this process.
    async fn registry(&mut self) -> Result<Registry> {
        if let Some(registry) = &self.registry {
            return Ok(registry.clone());
        }
        let vault = self.vault().await?;
        let (cluster, settings) = (self.cluster.clone(), self.functions.clone());
        let opened = tokio::task::spawn_blocking(move || Registry::open(&cluster, &settings, vault)).await?;
        let registry = opened.context("reading which functions there are")?;
        self.registry = Some(registry.clone());
        Ok(registry)
    }

    /// What writes commands about accounts.
    pub async fn accounts(&mut self) -> Result<Accounts> {
        let reads = ReadSide::connect(&self.cluster, self.settings.database()?, 2).await?;
        let vault = self.vault().await?;
        Accounts::connect(&self.cluster, vault, reads).await
    }

    /// Keeps the read models up to date.
    pub async fn add_projector(&mut self) -> Result<()> {
        let url = self.settings.database()?.to_owned();
        let making = || format!("making the read models' tables on {}", self.settings.database_host());
        migrate(&self.cluster, &url).await.with_context(making)?;
        if let Some(interval) = self.settings.verify_every() {
            let (verifying, stop) =
                (verification::every(interval, self.cluster.clone(), url.clone()), self.stopped());
            self.tasks.spawn(async move {
                tokio::select! { () = verifying => {}, () = stop => {} }
                ("the verification".to_owned(), Ok(()))
            });
        }
        let (cluster, stop) = (self.cluster.clone(), self.stopped());
        self.tasks.spawn(async move {
            ("the projector".to_owned(), Projector::run(&cluster, &url, stop).await.map_err(Into::into))
        });
        Ok(())
    }

    /// Serves the HTTP API.
    pub async fn add_gateway(&mut self, listener: TcpListener, keys: &Path) -> Result<()> {
        self.reach_kafka().await?;
        let keys = Keys::load_or_create(keys)?;
        let reads =
            ReadSide::connect(&self.cluster, self.settings.database()?, self.settings.connections_max)
                .await?;
        let vault = self.vault().await?;
        let functions = Some(self.registry().await?);
        let settings = factfold_producers::Settings {
            functions,
            tls: self.settings.tls()?.map(Arc::new),
            issuer: self.settings.issuer()?,
            proxies: self.settings.proxies()?,
            waiting_max: self.settings.waiting_max,
            ..factfold_producers::Settings::new(keys, vault)
        };
        let (cluster, stop) = (self.cluster.clone(), self.stopped());
        self.tasks.spawn(async move {
            let served = Gateway::serve(settings, cluster, reads, listener, stop).await;
            ("the gateway".to_owned(), served.map_err(Into::into))
        });
        Ok(())
    }

    /// Measures how far the workers are behind, and what is bound too where functions were added before. Failing to ask is not a
    /// failure of the system.
    pub fn add_lag(&mut self) {
        let registry = self.registry.clone();
        let groups = move || {
            let workers = groups::all().into_iter().map(|group| (group.name, group.inputs));
            workers.chain(registry.iter().flat_map(bindings::groups)).collect::<Groups>()
        };
        let (cluster, mut stop) = (self.cluster.clone(), self.stop.subscribe());
        self.tasks.spawn(async move {
            let mut lags = Lags::new(cluster.clone());
            while tokio::time::timeout(lag::EVERY, stop.wait_for(|stop| *stop)).await.is_err() {
                let groups = groups();
                let asked = tokio::task::spawn_blocking(move || {
                    let measured = lags.measure(groups);
                    (lags, measured)
                });
                let measured;
                (lags, measured) = match asked.await {
                    Ok(asked) => asked,
                    Err(error) => (Lags::new(cluster.clone()), Err(error.into())),
                };
                if let Err(error) = &measured {
                    tracing::debug!(%error, "measuring the lag");
                }
                metrics::gauge!("factfold_kafka_up").set(if measured.is_ok() { 1.0 } else { 0.0 });
            }
            ("the lag".to_owned(), Ok(()))
        });
    }

    /// Waits until the workers have all partitions of their topics. For a process that runs all of them.
    pub async fn wait_for_workers(&mut self) -> Result<()> {
        let cluster = self.cluster.clone();
        let layout = tokio::task::spawn_blocking(move || Layout::read(&cluster)).await??;
        let inputs = groups::all().into_iter().flat_map(|group| group.inputs);
        let all = inputs.map(|topic| layout.partitions(topic)).sum::<i32>() as usize;
        while self.workers.iter().map(Status::live_partitions).sum::<usize>() < all {
            tokio::select! {
                () = sleep(Duration::from_millis(5)) => {}
                Some(ended) = self.tasks.join_next() => {
                    let (name, result) = ended?;
                    result?;
                    return Err(anyhow!("{name} stopped while it was starting"));
                }
            }
        }
        Ok(())
    }

    /// Runs until told to stop, or until a role stops by itself; then stops the others.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Result<()> {
        tokio::select! {
            () = stop => self.end(Ok(())).await,
            Some(ended) = self.tasks.join_next() => {
                let (name, result) = ended?;
                let reason = result.with_context(|| format!("{name} stopped"));
                self.end(reason.and_then(|()| Err(anyhow!("{name} stopped by itself")))).await
            }
        }
    }

    /// Stops all roles and waits for their ends. The first thing that went wrong is the outcome.
    pub async fn end(mut self, mut outcome: Result<()>) -> Result<()> {
        self.stop_all();
        while let Some(ended) = self.tasks.join_next().await {
            let (name, result) = ended?;
            outcome = outcome.and(result.with_context(|| format!("{name} stopped")));
        }
        outcome
    }

    fn stop_all(&self) {
        self.stop_workers.set();
        self.stop.send_replace(true);
    }

    fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stop = self.stop.subscribe();
        async move {
            // An error means that the sender is gone, and with it the process.
            let _ = stop.wait_for(|stop| *stop).await;
        }
    }
}

/// Workers are threads: they would outlive whoever forgot to stop them, and fence the next process of the same name.
impl Drop for Roles {
    fn drop(&mut self) {
        self.stop_all();
    }
}

/// `<host>-<hash of the data directory>-<number>`: the same after a restart, another for every other directory and host.
fn instance(data_dir: &Path, number: u16) -> String {
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let mut hash = DefaultHasher::new();
    data_dir.hash(&mut hash);
    format!("{}-{:08x}-{number}", host.as_deref().unwrap_or("host"), hash.finish() as u32)
}
