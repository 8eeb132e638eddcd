//! The read side: every question that people ask, in one place. The gateway puts it behind HTTP, the CLI prints it.

use std::{sync::Arc, time::Duration};

use factfold_schemas::{
    functions::{Function, FunctionName},
    goods::Goods,
    ids::{EmailId, GoodsId, OrderId, UserId},
    kafka::Cluster,
    orders::{Order, Status},
    position::Position,
    topics::{Namespace, Topic},
    users::User,
};
use jiff::Timestamp;
use sqlx::{
    PgPool, Row,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    Build, Error, Projection, catalogue,
    command_outcomes::{self, CommandOutcome},
    functions::{self, FunctionFilter},
    goods::{self, GoodsFilter},
    order_timeline::{self, TimelineEntry},
    orders::{self, OrderFilter},
    page::{NameCursor, Page, PageRequest},
    postgres::{connect_options, required},
    tickets,
    users::{self, Credentials, UserFilter, UserRow},
    waiting::{self, CommandLog, Listener, Placed, Progress, WaitError, Waiting},
};

/// How long a question waits for a connection before it is answered with [`Error::Unavailable`].
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// Answers questions from the read models, and knows how far they have come. Cheap to clone.
#[derive(Clone)]
pub struct ReadSide {
    namespace: Namespace,
    waiting: Waiting,
    _listener: Arc<Listener>,
}

impl ReadSide {
    /// Connects with at most so many connections, and one to listen. Postgres and Kafka may be away: questions then fail
    /// with an error that [`Error::is_unavailable`], until they are back.
    pub async fn connect(cluster: &Cluster, database_url: &str, connections_max: u32) -> Result<Self, Error> {
        let options = connect_options(database_url, &cluster.namespace)?;
        let pool = pool(options.clone(), connections_max);
        let progress = Arc::new(Progress::default());
        let listener =
            Listener::start(pool_of_listener(options), pool.clone(), &cluster.namespace, progress.clone());
        let waiting = Waiting { pool, progress, log: CommandLog::new(cluster)? };
        Ok(Self { namespace: cluster.namespace.clone(), waiting, _listener: Arc::new(listener) })
    }

    /// These goods.
    pub async fn goods(&self, id: GoodsId) -> Result<Option<Goods>, Error> {
        Ok(goods::find(self.pool(), id).await?)
    }

    /// A page of goods, newest first.
    pub async fn list_goods(&self, filter: &GoodsFilter, page: &PageRequest) -> Result<Page<Goods>, Error> {
        Ok(goods::list(self.pool(), filter, page).await?)
    }

    /// This order, with its lines.
    pub async fn order(&self, id: OrderId) -> Result<Option<Order>, Error> {
        Ok(orders::find(self.pool(), id).await?)
    }

    /// A page of orders with their lines, newest first.
    pub async fn list_orders(&self, filter: &OrderFilter, page: &PageRequest) -> Result<Page<Order>, Error> {
        Ok(orders::list(self.pool(), filter, page).await?)
    }

    /// What happened to this order; empty when there is none.
    pub async fn order_timeline(&self, id: OrderId) -> Result<Vec<TimelineEntry>, Error> {
        Ok(order_timeline::of_order(self.pool(), id).await?)
    }

    /// This user, with personal data sealed.
    pub async fn user(&self, id: UserId) -> Result<Option<UserRow>, Error> {
        Ok(users::find(self.pool(), id).await?)
    }

    /// A page of users, newest first.
    pub async fn list_users(&self, filter: &UserFilter, page: &PageRequest) -> Result<Page<User>, Error> {
        Ok(users::list(self.pool(), filter, page).await?)
    }

    /// How whoever holds this address comes in; `None` when nobody does.
    pub async fn credentials(&self, email_id: EmailId) -> Result<Option<Credentials>, Error> {
        Ok(users::find_credentials(self.pool(), email_id).await?)
    }

    /// How this user comes in; `None` when the account is not open.
    pub async fn credentials_of(&self, id: UserId) -> Result<Option<Credentials>, Error> {
        Ok(users::find_credentials_of(self.pool(), id).await?)
    }

    /// This function, also when it was removed.
    pub async fn function(&self, name: FunctionName) -> Result<Option<Function>, Error> {
        Ok(functions::find(self.pool(), name).await?)
    }

    /// A page of functions, by name.
    pub async fn list_functions(
        &self,
        filter: &FunctionFilter,
        page: &PageRequest<NameCursor>,
    ) -> Result<Page<Function, NameCursor>, Error> {
        Ok(functions::list(self.pool(), filter, page).await?)
    }

    /// Waits until the user's registration has come to an end, one or the other. Gives the user as it is then, or as it is
    /// when time ran out: `None` when it is still not there.
    pub async fn wait_for_registration(
        &self,
        id: UserId,
        deadline: Instant,
    ) -> Result<Option<UserRow>, Error> {
        self.waiting.wait_for_registration(id, deadline).await
    }

    /// What became of the command with this id, stored `at` this position where that is known; `None` while that is not
    /// folded. Where it was forwarded, it is what became of the copy; where it was a repeat, what became of the first.
    pub async fn command(&self, id: &str, at: Option<Position>) -> Result<Option<CommandOutcome>, Error> {
        Ok(command_outcomes::find(self.pool(), id, at).await?)
    }

    /// Waits until this read model shows what became of the command at this position.
    ///
    /// A read model shows nothing of a service that does not feed it, so a position there is not waited for. What other
    /// services were made to do by a command is not its effect: those are commands of their own, with their own positions.
    pub async fn wait_for(
        &self,
        projection: Projection,
        position: Position,
        placed: Placed<'_>,
        deadline: Instant,
    ) -> Result<(), WaitError> {
        self.waiting.wait_for(projection, position, placed, deadline).await
    }

    /// Waits until the order is in this status, beyond it, or in a final one. Gives the order as it is then, or as it is
    /// when time ran out: `None` when it is still not there.
    pub async fn wait_for_status(
        &self,
        id: OrderId,
        until: Status,
        deadline: Instant,
    ) -> Result<Option<Order>, Error> {
        self.waiting.wait_for_status(id, until, deadline).await
    }

    /// How far each read model has come.
    pub async fn progress(&self) -> Result<Vec<ProjectionProgress>, Error> {
        let rows = sqlx::query(
            "SELECT projection, version, failure FROM projections WHERE current ORDER BY projection",
        )
        .fetch_all(self.pool())
        .await?;
        let mut partitions = waiting::load(self.pool()).await?;
        rows.iter()
            .map(|row| {
                let projection = required(row, "projection")?;
                Ok(ProjectionProgress {
                    projection,
                    version: row.try_get("version")?,
                    failure: row.try_get("failure")?,
                    partitions: partitions
                        .extract_if(.., |partition| partition.build.projection == projection)
                        .map(PartitionProgress::from)
                        .collect(),
                })
            })
            .collect()
    }

    /// Uses this ticket up. False when it was used before, at whatever gateway.
    pub async fn take_ticket(&self, ticket: Uuid, expires_at: Timestamp) -> Result<bool, Error> {
        Ok(tickets::take(self.pool(), ticket, expires_at).await?)
    }

    /// Builds a read model anew, beside the one that is shown; it is shown once it has caught up. Where one is under way
    /// already, that is the one.
    pub async fn rebuild(&self, projection: Projection) -> Result<Build, Error> {
        let mut connection = self.pool().acquire().await?;
        Ok(catalogue::rebuild(&mut connection, &self.namespace, projection).await?)
    }

    /// The read models that do not go on: what they show is as old as the record that stopped them.
    pub async fn stopped(&self) -> Result<Vec<Projection>, Error> {
        let stopped = sqlx::query(
            "SELECT projection FROM projections WHERE current AND failure IS NOT NULL ORDER BY projection",
        );
        let rows = stopped.fetch_all(self.pool()).await?;
        Ok(rows.iter().map(|row| required(row, "projection")).collect::<Result<_, _>>()?)
    }

    fn pool(&self) -> &PgPool {
        &self.waiting.pool
    }
}

/// How far a read model has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectionProgress {
    /// The read model.
    pub projection: Projection,
    /// The version that is shown.
    pub version: i32,
    /// Why it stopped, if it did.
    pub failure: Option<String>,
    /// Partition by partition.
    pub partitions: Vec<PartitionProgress>,
}

/// How far a read model has come in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionProgress {
    /// The topic.
    pub topic: Topic,
    /// The partition.
    pub partition: i32,
    /// Everything below this offset is folded.
    pub next_offset: i64,
    /// The highest decided position among that.
    pub decided: Option<Position>,
}

impl From<waiting::Partition> for PartitionProgress {
    fn from(of: waiting::Partition) -> Self {
        let commands = of.topic.service.commands();
        let decided = of.decided_offset.map(|offset| Position::new(commands, of.partition, offset));
        Self { topic: of.topic, partition: of.partition, next_offset: of.next_offset, decided }
    }
}

fn pool(options: PgConnectOptions, connections_max: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_lazy_with(options)
}

/// The listener keeps its connection for ever; from the pool of the questions it would be missing there.
fn pool_of_listener(options: PgConnectOptions) -> PgPool {
    PgPoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None).connect_lazy_with(options)
}
