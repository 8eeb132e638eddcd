//! Accounts, straight onto the topic: the first admin, whom nobody could have let in, and whoever is to be forgotten without
//! asking for it over HTTP. Whoever may write to the topics is trusted.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, anyhow, bail};
use factfold_producers::passwords;
use factfold_projections::{Placed, Projection, ReadSide, UserRow};
use factfold_schemas::{
    command::{Auth, Header},
    email::NormalEmail,
    ids::UserId,
    kafka::{Cluster, headers},
    partitioner::partition_of,
    personal::Personal,
    position::Position,
    topics::Service,
    users::{Command, ErasePersonalData, GrantRole, RegisterUser, Role, Status},
};
use factfold_vault::Vault;
use rdkafka::{
    consumer::{BaseConsumer, Consumer as _},
    producer::{FutureProducer, FutureRecord},
};
use tokio::time::Instant;
use uuid::Uuid;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Writes commands about accounts, and sees what comes of them.
pub struct Accounts {
    cluster: Cluster,
    vault: Arc<Vault>,
    reads: ReadSide,
    producer: FutureProducer,
    partitions: i32,
}

impl Accounts {
    /// Connects.
    pub async fn connect(cluster: &Cluster, vault: Arc<Vault>, reads: ReadSide) -> Result<Self> {
        let producer =
            cluster.client().set("enable.idempotence", "true").create().context("making a Kafka producer")?;
        let (asked, topic) = (cluster.clone(), cluster.topic(Service::Users.commands()));
        let partitions = tokio::task::spawn_blocking(move || {
            let client: BaseConsumer = asked.client().create()?;
            let metadata = client.fetch_metadata(Some(&topic), PATIENCE)?;
            let found = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
            if found == 0 {
                Err(anyhow!("the topic {topic} is not there: factfold topics create"))
            } else {
                Ok(found as i32)
            }
        });
        Ok(Self { cluster: cluster.clone(), vault, reads, producer, partitions: partitions.await?? })
    }

    /// Makes an account that may do everything.
    ///
    /// # Errors
    /// When the address is no address, or has an account; when the password is easy to guess; when nobody decides.
    pub async fn create_admin(&self, email: &str, name: &str, password: &str) -> Result<UserId> {
        NormalEmail::parse(email).map_err(|error| anyhow!("`{email}` {error}"))?;
        if let Some(why) = passwords::weakness(password, &[email, name]) {
            bail!("the password {why}");
        }
        let user = UserId::generate();
        let salt = self.vault.salt(&format!("password {user}"));
        let password_hash = passwords::hash(password, &salt).context("hashing the password")?;
        let register = RegisterUser {
            email: Personal::new(email),
            name: Personal::new(name),
            password_hash,
            email_id: None,
        };
        let (vault, mut register) = (Arc::clone(&self.vault), Command::RegisterUser(register));
        let register = tokio::task::spawn_blocking(move || {
            vault.protect(user, &mut register).map(|()| register).map_err(|error| anyhow!("sealing: {error}"))
        });
        self.send(user, &register.await??).await?;
        match self.reads.wait_for_registration(user, Instant::now() + PATIENCE).await? {
            Some(UserRow { user, .. }) if user.status == Status::Active => {}
            Some(UserRow { failure: Some(failure), .. }) => bail!("no account was made: {failure}"),
            _ => bail!("no account was made within {PATIENCE:?}: is a worker of the users service running?"),
        }
        let granted = self.send(user, &Command::GrantRole(GrantRole { role: Role::Admin })).await?;
        self.seen(granted).await?;
        Ok(user)
    }

    /// Destroys the key of what is said about this user, and closes the account.
    ///
    /// # Errors
    /// When there is no such user, or nobody decides.
    pub async fn erase(&self, user: UserId) -> Result<()> {
        self.reads.user(user).await?.ok_or_else(|| anyhow!("there is no user {user}"))?;
        let sent = self.send(user, &Command::ErasePersonalData(ErasePersonalData {})).await?;
        self.seen(sent).await?;
        let vault = Arc::clone(&self.vault);
        if tokio::task::spawn_blocking(move || vault.wait_until_erased(user, PATIENCE)).await? {
            return Ok(());
        }
        let status = self.reads.user(user).await?.map(|row| row.user.status);
        bail!("the key of {user} is not destroyed after {PATIENCE:?}; the account is {status:?}")
    }

    async fn send(&self, user: UserId, command: &Command) -> Result<Position> {
        let header = Header {
            auth: Some(Auth::System("factfold".to_owned())),
            ..Header::new(Uuid::now_v7().to_string(), "/factfold/users")
        };
        let record = header.record_of(Service::Users, &user.stream(), command);
        let (key, topic) =
            (record.key.clone().unwrap_or_default(), self.cluster.topic(Service::Users.commands()));
        let message = FutureRecord::to(&topic)
            .partition(partition_of(&key, self.partitions))
            .key(&key)
            .headers(headers(&record))
            .payload(record.value.as_deref().unwrap_or_default());
        let stored = self.producer.send(message, PATIENCE).await.map_err(|(error, _)| error);
        let stored = stored.context("writing a command")?;
        Ok(Position::new(Service::Users.commands(), stored.partition, stored.offset))
    }

    async fn seen(&self, position: Position) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        Ok(self.reads.wait_for(Projection::Users, position, Placed::ByTheGateway, deadline).await?)
    }
}

/// A password that nobody guesses and somebody can type.
pub fn fresh_password() -> String {
    let random = Uuid::new_v4().simple().to_string();
    [&random[..5], &random[5..10], &random[16..21], &random[21..26]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_password_will_do() {
        let password = fresh_password();
        assert_eq!(passwords::weakness(&password, &["admin@localhost"]), None, "{password}");
        assert_ne!(password, fresh_password());
    }
}
