//! The addresses of a running system, as `DIR/env` holds them: lines that a shell can source.
//! It only writes and reads the format; who is running is [`crate::data_dir`]'s to know.

use anyhow::{Context as _, bail};

/// Where a running system is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// Kafka's bootstrap servers, `host:port[,host:port…]`.
    pub kafka_brokers: String,
    /// PostgreSQL, with the password.
    pub database_url: String,
    /// The gateway's base URL; none while no gateway runs.
    pub http: Option<String>,
}

const KAFKA_BROKERS: &str = "KAFKA_BROKERS";
const DATABASE_URL: &str = "DATABASE_URL";
const FACTFOLD_HTTP: &str = "FACTFOLD_HTTP";

impl Addresses {
    /// The lines of `DIR/env`.
    pub fn to_env(&self) -> String {
        let mut lines =
            format!("{KAFKA_BROKERS}={}\n{DATABASE_URL}={}\n", self.kafka_brokers, self.database_url);
        if let Some(http) = &self.http {
            lines.push_str(&format!("{FACTFOLD_HTTP}={http}\n"));
        }
        lines
    }

    /// Reads what [`Self::to_env`] wrote. Lines of other names are left to other programs.
    pub fn from_env(text: &str) -> anyhow::Result<Self> {
        let value = |name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
        };
        Ok(Self {
            kafka_brokers: value(KAFKA_BROKERS).with_context(|| format!("{KAFKA_BROKERS} is missing"))?,
            database_url: value(DATABASE_URL).with_context(|| format!("{DATABASE_URL} is missing"))?,
            http: value(FACTFOLD_HTTP),
        })
    }

    /// The cluster that the environment names, if it names one. Both or neither must be set:
    /// half a foreign cluster beside half a private one is never what anybody wants.
    pub fn from_environment() -> anyhow::Result<Option<Self>> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        match (variable(KAFKA_BROKERS), variable(DATABASE_URL)) {
            (Some(kafka_brokers), Some(database_url)) => {
                Ok(Some(Self { kafka_brokers, database_url, http: None }))
            }
            (None, None) => Ok(None),
            (Some(_), None) => bail!("{KAFKA_BROKERS} is set but {DATABASE_URL} is not: set both or neither"),
            (None, Some(_)) => bail!("{DATABASE_URL} is set but {KAFKA_BROKERS} is not: set both or neither"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let addresses = Addresses {
            kafka_brokers: "127.0.0.1:20001".to_owned(),
            database_url: "postgres://factfold:a=b@127.0.0.1:20002/factfold".to_owned(),
            http: Some("http://127.0.0.1:8080".to_owned()),
        };
        assert_eq!(Addresses::from_env(&addresses.to_env()).ok(), Some(addresses));
    }

    #[test]
    fn a_missing_line_is_named() {
        let error = Addresses::from_env("KAFKA_BROKERS=127.0.0.1:1\n").expect_err("half an env file");
        assert_eq!(error.to_string(), "DATABASE_URL is missing");
    }
}
