//! Settings. The first that says something wins: flags, `FACTFOLD_*`, `KAFKA_BROKERS` and `DATABASE_URL`, `DIR/env` of a
//! running stack, `factfold.toml`, defaults. Every value remembers where it came from, so that a wrong one can be named.

use std::{
    collections::BTreeMap,
    fmt, fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail};
use factfold_consumers::worker;
use factfold_producers::{Proxies, Tls, access::TrustedIssuer};
use factfold_schemas::{command::NOT_BEFORE_MAX, kafka::Cluster, topics::Namespace};
use figment::{
    Figment, Metadata, Profile, Provider,
    providers::{Format as _, Serialized, Toml},
    value::{Dict, Map, Value},
};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::addresses::Addresses;

/// The name of the settings file.
pub const FILE: &str = "factfold.toml";

/// What is shown of a secret.
const STARS: &str = "********";

/// A text that is never shown: a password, or an address that holds one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text, for whoever needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(STARS)
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people on a terminal, as JSON elsewhere.
    Auto,
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Everything that can be set.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Kafka's bootstrap servers, `host:port,…`.
    pub brokers: Option<String>,
    /// PostgreSQL: `postgres://user:password@host:port/database`.
    pub database_url: Option<Secret>,
    /// A prefix of topics, groups, transactional ids and the Postgres schema.
    pub namespace: Namespace,
    /// Settings for librdkafka, passed through: `security.protocol`, `sasl.username` …
    pub kafka: BTreeMap<String, Secret>,
    /// Where the HTTP API listens.
    pub http: SocketAddr,
    /// Where `/metrics` listens.
    pub admin: SocketAddr,
    /// How many partitions `topics create` gives the topics of a service.
    pub partitions: i32,
    /// How many copies `topics create` asks for.
    pub replication: i32,
    /// Names this process among all of its kind, and stays the same over restarts.
    pub instance: Option<String>,
    /// When the group gives a silent worker's partitions away.
    pub session_timeout_ms: u64,
    /// When the broker gives up an open transaction. Not longer than the session timeout.
    pub transaction_timeout_ms: u64,
    /// The most records of one transaction.
    pub batch_records_max: usize,
    /// The most input bytes of one transaction.
    pub batch_bytes_max: usize,
    /// How many transactional producers of a worker take turns.
    pub turns: usize,
    /// How many commands of a partition are remembered for their repeats.
    pub repeats_max: usize,
    /// How long after it was made an order expires that nobody has paid.
    pub order_expiry_ms: u64,
    /// How often a projector verifies what `factfold verify` does, in milliseconds, and shows the result as metrics; 0 is never.
    pub verify_every_ms: u64,
    /// Where workers store what they know beside the log, so that they start without folding all of it.
    pub state_dir: Option<PathBuf>,
    /// How many aggregates of a partition a worker keeps in memory, when the others are stored.
    pub live_max: usize,
    /// How many requests may wait for a decision at once; more are refused.
    pub waiting_max: usize,
    /// The most connections to PostgreSQL that a gateway holds.
    pub connections_max: u32,
    /// The folder of the runners of JavaScript and Python, as `deploy/runners` makes them; without it, beside the build.
    pub functions_runners: Option<PathBuf>,
    /// A folder of our own for what was compiled to run functions; without it, in the data directory.
    pub functions_cache: Option<PathBuf>,
    /// How many calls of functions may run at once in a process; more are refused.
    pub functions_calls_max: u32,
    /// How much memory these calls may have together, in MiB; more wait for their turn. Where that is less than all of them may
    /// have, those of one function can hold up the others.
    pub functions_memory_mib: u32,
    /// What is logged: `info`, or directives as `tracing` has them.
    pub log: String,
    /// How log lines look.
    pub log_format: LogFormat,
    /// The private key that signs access tokens.
    pub key_file: Option<PathBuf>,
    /// The secrets that seal personal data.
    pub sealing_file: Option<PathBuf>,
    /// Another issuer whose access tokens are good here (OpenID Connect): its URL, as its tokens name it in `iss`.
    pub oidc_issuer: Option<String>,
    /// What `aud` of its tokens says when they are for this installation.
    pub oidc_audience: Option<String>,
    /// Where its tokens name their bearer's roles: a claim, or a JSON pointer that begins with `/`.
    pub oidc_roles_claim: String,
    /// The proxies before the HTTP API, as addresses and networks with commas between: what they say in `X-Forwarded-For` is
    /// believed.
    pub trusted_proxies: String,
    /// The certificate of the HTTP API in PEM, with those that lead up to its issuer's. Then it speaks TLS.
    pub tls_cert_file: Option<PathBuf>,
    /// The private key of that certificate, in PEM. Both files are read again when they change.
    pub tls_key_file: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        let worker = worker::Settings::new("");
        Self {
            brokers: None,
            database_url: None,
            namespace: Namespace::default(),
            kafka: BTreeMap::new(),
            http: (Ipv4Addr::LOCALHOST, 8080).into(),
            admin: (Ipv4Addr::LOCALHOST, 9100).into(),
            partitions: 12,
            replication: 3,
            instance: None,
            session_timeout_ms: millis(worker.session_timeout),
            transaction_timeout_ms: millis(worker.transaction_timeout),
            batch_records_max: worker.batch_records_max,
            batch_bytes_max: worker.batch_bytes_max,
            turns: worker.turns,
            repeats_max: worker.repeats_max,
            order_expiry_ms: 15 * 60 * 1000,
            verify_every_ms: 0,
            state_dir: worker.state_dir,
            live_max: worker.live_max,
            waiting_max: 1024,
            connections_max: 10,
            functions_runners: None,
            functions_cache: None,
            functions_calls_max: 64,
            functions_memory_mib: 16_384,
            log: "info".to_owned(),
            log_format: LogFormat::Auto,
            key_file: None,
            sealing_file: None,
            oidc_issuer: None,
            oidc_audience: None,
            oidc_roles_claim: "roles".to_owned(),
            trusted_proxies: String::new(),
            tls_cert_file: None,
            tls_key_file: None,
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Settings, and where each came from.
#[derive(Debug, Clone)]
pub struct Sourced {
    /// The settings.
    pub settings: Settings,
    figment: Figment,
}

/// What can be said before the settings are read.
#[derive(Debug, Default)]
pub struct Sources {
    /// `--config`: this file must be there.
    pub file: Option<PathBuf>,
    /// Where `factfold.toml` is looked for otherwise: beside the data directory.
    pub beside: Option<PathBuf>,
    /// The addresses of a running stack.
    pub running: Vec<(&'static str, String)>,
    /// Flags of the command line.
    pub flags: Vec<(&'static str, String)>,
    /// The variables of the environment.
    pub environment: Vec<(String, String)>,
}

impl Sourced {
    /// Reads the settings.
    pub fn read(sources: Sources) -> Result<Self> {
        let mut figment = Figment::from(Serialized::defaults(Settings::default()));
        figment = match (&sources.file, &sources.beside) {
            (Some(file), _) if !file.exists() => bail!("--config {}: there is no such file", file.display()),
            (Some(file), _) => figment.merge(Toml::file_exact(file)),
            (None, Some(folder)) if folder.join(FILE).exists() => {
                figment.merge(Toml::file_exact(folder.join(FILE)))
            }
            (None, _) => figment,
        };
        figment = figment
            .merge(Texts::new("the running stack", sources.running.into_iter().map(own)))
            .merge(Texts::new("the environment", plain_variables(&sources.environment)?))
            .merge(Texts::new("the environment (FACTFOLD_*)", own_variables(&sources.environment)?))
            .merge(Texts::new("the command line", sources.flags.into_iter().map(own)));
        let settings: Settings = figment.extract().map_err(|error| anyhow::anyhow!(explain(&error)))?;
        settings.check()?;
        Ok(Self { settings, figment })
    }

    /// Each key with its value as it may be shown, and where it came from.
    pub fn shown(&self) -> Vec<(String, String, String)> {
        let value = serde_json::to_value(&self.settings).unwrap_or_default();
        let keys = value.as_object().into_iter().flatten();
        keys.map(|(key, value)| {
            let shown = match (key.as_str(), value) {
                ("database_url", serde_json::Value::String(_)) => STARS.to_owned(),
                ("kafka", serde_json::Value::Object(properties)) => {
                    let starred = properties.keys().map(|property| (property.clone(), STARS.into()));
                    serde_json::Value::Object(starred.collect()).to_string()
                }
                _ => value.to_string(),
            };
            let from = self.figment.find_metadata(key).map_or("default".to_owned(), source);
            (key.clone(), shown, from)
        })
        .collect()
    }
}

impl Settings {
    fn check(&self) -> Result<()> {
        let at_least_one = [
            ("partitions", i64::from(self.partitions)),
            ("replication", i64::from(self.replication)),
            ("batch_records_max", self.batch_records_max as i64),
            ("turns", self.turns as i64),
            ("connections_max", i64::from(self.connections_max)),
            ("functions_calls_max", i64::from(self.functions_calls_max)),
            ("functions_memory_mib", i64::from(self.functions_memory_mib)),
        ];
        for (key, value) in at_least_one {
            if value < 1 {
                bail!("{key} is {value}: it must be 1 or more");
            }
        }
        let longest_ms = NOT_BEFORE_MAX.as_millis() as u64;
        if !(1..=longest_ms).contains(&self.order_expiry_ms) {
            bail!("order_expiry_ms is {}: it must be 1 to {longest_ms}, a year", self.order_expiry_ms);
        }
        if self.tls_cert_file.is_some() != self.tls_key_file.is_some() {
            bail!("one of tls_cert_file and tls_key_file is set: set both, or neither");
        }
        self.issuer()?;
        self.proxies()?;
        if self.transaction_timeout_ms > self.session_timeout_ms {
            bail!(
                "transaction_timeout_ms ({}) is longer than session_timeout_ms ({}): an open transaction of a dead worker \
                 would hold back its successor",
                self.transaction_timeout_ms,
                self.session_timeout_ms
            );
        }
        Ok(())
    }

    /// The certificate of the HTTP API, where it is to speak TLS.
    pub fn tls(&self) -> Result<Option<Tls>> {
        let files = self.tls_cert_file.as_deref().zip(self.tls_key_file.as_deref());
        Ok(files.map(|(certificate, key)| Tls::load(certificate, key)).transpose()?)
    }

    /// Another issuer whose access tokens are good here.
    pub fn issuer(&self) -> Result<Option<TrustedIssuer>> {
        let Some(url) = &self.oidc_issuer else {
            if self.oidc_audience.is_some() {
                bail!("oidc_audience is set, but oidc_issuer is not: set both, or neither");
            }
            return Ok(None);
        };
        let audience = self.oidc_audience.as_deref().unwrap_or_default();
        let issuer = TrustedIssuer::new(url, audience, &self.oidc_roles_claim);
        Ok(Some(issuer.map_err(|error| anyhow!("oidc_issuer, oidc_audience: {error}"))?))
    }

    /// The proxies before the HTTP API.
    pub fn proxies(&self) -> Result<Proxies> {
        self.trusted_proxies.parse().map_err(|error| anyhow!("trusted_proxies: {error}"))
    }

    /// The Kafka cluster.
    pub fn cluster(&self) -> Result<Cluster> {
        Ok(Cluster {
            brokers: self
                .brokers
                .clone()
                .context("no Kafka is named: set KAFKA_BROKERS, or run deploy/up")?,
            namespace: self.namespace.clone(),
            properties: self.kafka.iter().map(|(k, v)| (k.clone(), v.reveal().to_owned())).collect(),
        })
    }

    /// These settings, with the Kafka and the PostgreSQL that are there.
    pub fn at(self, addresses: &Addresses) -> Self {
        Self {
            brokers: Some(addresses.kafka_brokers.clone()),
            database_url: Some(Secret(addresses.database_url.clone())),
            ..self
        }
    }

    /// How functions run, with what was compiled kept below this data directory.
    pub fn functions(&self, data_dir: &Path) -> factfold_registry::Settings {
        // A build lies in `target/<profile>`, and its runners in `target/runners`.
        let beside = || Some(std::env::current_exe().ok()?.parent()?.parent()?.join("runners/current"));
        factfold_registry::Settings {
            runners: self.functions_runners.clone().or_else(beside).unwrap_or_default(),
            cache: self.functions_cache.clone().unwrap_or_else(|| data_dir.join("functions")),
            calls_max: self.functions_calls_max,
            memory_mib_max: self.functions_memory_mib,
        }
    }

    /// The private key that signs access tokens, where nothing else is said in the data directory.
    pub fn key_file(&self, data_dir: &Path) -> PathBuf {
        self.key_file.clone().unwrap_or_else(|| data_dir.join("keys/token.pem"))
    }

    /// The secrets that seal personal data; without a setting, in the data directory.
    pub fn sealing_file(&self, data_dir: &Path) -> PathBuf {
        self.sealing_file.clone().unwrap_or_else(|| data_dir.join("keys/sealing.json"))
    }

    /// PostgreSQL's address.
    pub fn database(&self) -> Result<&str> {
        let url = self
            .database_url
            .as_ref()
            .context("no PostgreSQL is named: set DATABASE_URL, or run deploy/up")?;
        Ok(url.reveal())
    }

    /// How long after it was made an order expires that nobody has paid.
    pub fn order_expiry(&self) -> SignedDuration {
        // It was checked to be a year at most.
        SignedDuration::from_millis(self.order_expiry_ms.cast_signed())
    }

    /// How often a projector verifies, if it does.
    pub fn verify_every(&self) -> Option<Duration> {
        (self.verify_every_ms > 0).then(|| Duration::from_millis(self.verify_every_ms))
    }

    /// Where PostgreSQL is, without what opens it.
    pub fn database_host(&self) -> &str {
        let url = self.database_url.as_ref().map_or("", Secret::reveal);
        let host = url.rsplit_once('@').map_or(url, |(_, host)| host);
        host.split(['/', '?']).next().unwrap_or_default()
    }

    /// The settings of the worker with this name.
    pub fn worker(&self, instance: impl Into<String>) -> worker::Settings {
        worker::Settings {
            session_timeout: Duration::from_millis(self.session_timeout_ms),
            transaction_timeout: Duration::from_millis(self.transaction_timeout_ms),
            batch_records_max: self.batch_records_max,
            batch_bytes_max: self.batch_bytes_max,
            turns: self.turns,
            repeats_max: self.repeats_max,
            state_dir: self.state_dir.clone(),
            live_max: self.live_max,
            ..worker::Settings::new(instance)
        }
    }
}

/// Texts from the environment or the command line, each parsed as TOML would read it.
struct Texts {
    from: &'static str,
    texts: Vec<(String, String)>,
}

impl Texts {
    fn new(from: &'static str, texts: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { from, texts: texts.into_iter().collect() }
    }
}

impl Provider for Texts {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.from)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut dict = Dict::new();
        for (key, text) in &self.texts {
            let number = text.parse::<u64>().map(Value::from);
            match key.strip_prefix("kafka.") {
                Some(property) => {
                    let entry = dict.entry("kafka".to_owned()).or_insert_with(|| Value::from(Dict::new()));
                    if let Value::Dict(_, properties) = entry {
                        properties.insert(property.to_owned(), Value::from(text.clone()));
                    }
                }
                None => drop(dict.insert(key.clone(), number.unwrap_or_else(|_| Value::from(text.clone())))),
            }
        }
        Ok(Profile::Default.collect(dict))
    }
}

fn own((key, value): (&str, String)) -> (String, String) {
    (key.to_owned(), value)
}

/// `KAFKA_BROKERS` and `DATABASE_URL`, or what is in the files that `…_FILE` name.
fn plain_variables(environment: &[(String, String)]) -> Result<Vec<(String, String)>> {
    let keys = [("KAFKA_BROKERS", "brokers"), ("DATABASE_URL", "database_url")];
    let mut found = Vec::new();
    for (name, value) in environment {
        // Other programs' files are none of our business.
        let variable = name.strip_suffix("_FILE").unwrap_or(name);
        let Some((_, key)) = keys.iter().find(|(ours, _)| *ours == variable) else { continue };
        let (_, value) = unfile(name, value)?;
        found.push(((*key).to_owned(), value));
    }
    Ok(found)
}

/// `FACTFOLD_SOME_KEY`, and `FACTFOLD_KAFKA_SASL_USERNAME` for librdkafka's `sasl.username`.
fn own_variables(environment: &[(String, String)]) -> Result<Vec<(String, String)>> {
    /// These are read elsewhere.
    const OTHERS: [&str; 6] = ["data", "config", "full", "bless", "seed", "python"];
    let mut found = Vec::new();
    for (name, value) in environment {
        let Some(name) = name.strip_prefix("FACTFOLD_") else { continue };
        let (name, value) = unfile(name, value)?;
        let key = name.to_lowercase();
        match key.strip_prefix("kafka_") {
            Some(property) => found.push((format!("kafka.{}", property.replace('_', ".")), value)),
            None if OTHERS.contains(&key.as_str()) => {}
            None => found.push((key, value)),
        }
    }
    Ok(found)
}

/// A variable whose name ends in `_FILE` names a file that holds the value.
fn unfile<'a>(name: &'a str, value: &str) -> Result<(&'a str, String)> {
    /// Settings that are files, whatever they hold.
    const FILES: [&str; 3] = ["KEY", "TLS_CERT", "TLS_KEY"];
    match name.strip_suffix("_FILE").filter(|name| !FILES.contains(name)) {
        None => Ok((name, value.to_owned())),
        Some(variable) => {
            let text = fs::read_to_string(Path::new(value))
                .with_context(|| format!("{name} names {value}, which cannot be read"))?;
            Ok((variable, text.trim_end().to_owned()))
        }
    }
}

fn source(metadata: &Metadata) -> String {
    match &metadata.source {
        Some(figment::Source::Code(_)) => "default".to_owned(),
        Some(source) => source.to_string(),
        None if metadata.name.contains("Settings") => "default".to_owned(),
        None => metadata.name.to_string(),
    }
}

/// Names the key, what was there, where it came from, and what is allowed.
fn explain(error: &figment::Error) -> String {
    let from = error.metadata.as_ref().map_or_else(|| "settings".to_owned(), source);
    let key = error.path.join(".");
    let separator = if key.is_empty() { "" } else { ": " };
    format!("{from}: {key}{separator}{}", error.kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(toml: &str, environment: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Result<Sourced> {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(FILE), toml).expect("a file");
        Sourced::read(Sources {
            beside: Some(folder.path().to_owned()),
            environment: environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            flags: flags.iter().map(|(k, v)| (*k, (*v).to_owned())).collect(),
            running: vec![("brokers", "running:1".to_owned())],
            file: None,
        })
    }

    #[test]
    fn the_first_that_says_something_wins() {
        let toml = "partitions = 3\nbrokers = \"file:1\"\nturns = 2";
        let environment = [("FACTFOLD_PARTITIONS", "5"), ("KAFKA_BROKERS", "environment:1"), ("OTHER", "x")];
        let read = |flags| read(toml, &environment, flags).expect("settings").settings;
        let settings = read(&[]);
        assert_eq!((settings.partitions, settings.turns), (5, 2));
        assert_eq!(settings.brokers.as_deref(), Some("environment:1"));
        assert_eq!(read(&[("partitions", "7")]).partitions, 7);
    }

    #[test]
    fn what_is_passed_through_keeps_its_dots() {
        let toml = "[kafka]\n\"security.protocol\" = \"SASL_SSL\"";
        let read = read(toml, &[("FACTFOLD_KAFKA_SASL_USERNAME", "u")], &[]).expect("settings");
        let properties = read.settings.cluster().expect("a cluster").properties;
        assert_eq!(properties["security.protocol"], "SASL_SSL");
        assert_eq!(properties["sasl.username"], "u");
        assert!(!format!("{:?}", read.settings).contains("SASL_SSL"), "secrets are never shown");
    }

    #[test]
    fn a_wrong_setting_is_named_with_its_source_and_what_is_allowed() {
        let refusal = |toml: &str, environment: &[(&str, &str)]| {
            read(toml, environment, &[]).expect_err("refused").to_string()
        };
        let unknown = refusal("partitons = 3", &[]);
        assert!(
            unknown.contains("partitons") && unknown.contains("partitions") && unknown.contains(FILE),
            "{unknown}"
        );
        let wrong = refusal("", &[("FACTFOLD_PARTITIONS", "many")]);
        assert!(
            wrong.contains("partitions") && wrong.contains("many") && wrong.contains("environment"),
            "{wrong}"
        );
        assert!(refusal("log_format = \"xml\"", &[]).contains("`auto`"));
        assert!(refusal("turns = 0", &[]).contains("1 or more"));
        assert!(refusal("order_expiry_ms = 0", &[]).contains("a year"));
        assert!(refusal("", &[("FACTFOLD_TLS_KEY_FILE", "/a/key")]).contains("both, or neither"));
        assert!(refusal("oidc_audience = \"shop\"", &[]).contains("both, or neither"));
        let unaimed = refusal("oidc_issuer = \"https://id.example.org\"", &[]);
        assert!(unaimed.contains("oidc_audience") && unaimed.contains("audience of the issuer"), "{unaimed}");
        assert!(
            refusal("oidc_issuer = \"http://example.org\"\noidc_audience = \"a\"", &[]).contains("https://")
        );
        assert!(refusal("trusted_proxies = \"nginx\"", &[]).contains("\"nginx\" is no network"));
        assert!(refusal("transaction_timeout_ms = 60000", &[]).contains("longer than session_timeout_ms"));
    }

    #[test]
    fn a_secret_can_come_from_a_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("url");
        fs::write(&file, "postgres://u:p@h/d\n").expect("a file");
        let name = file.display().to_string();
        let environment = [("DATABASE_URL_FILE", name.as_str()), ("OTHER_FILE", "/nowhere")];
        let read = read("", &environment, &[]).expect("settings");
        assert_eq!(read.settings.database().expect("a database"), "postgres://u:p@h/d");
        assert!(read.shown().iter().all(|(_, value, _)| !value.contains("u:p")));
    }
}
