//! The path of one question, by whatever way it comes: how fresh the answer must be, what of it the caller may see, and
//! what the read model says.

use factfold_consumers::changes::Resources;
use factfold_projections::{
    FunctionFilter, GoodsFilter, NameCursor, OrderFilter, Page, PageRequest, Projection,
    events::{Found, History},
    log_reader::{Filter, Record},
};
use factfold_schemas::{
    functions::{self, Function, FunctionName},
    goods::{self, Goods},
    ids::{GoodsId, OrderId},
    orders::{self, Order, Status},
    rejection::Reject,
    topics::Service,
};
use jiff::Timestamp;

use crate::{
    access::Caller, freshness::failed, gateway::Gateway, live::unreadable, problems::Problem,
    reading::read::Read, settings::HISTORY_TIME,
};

/// More events than an order has.
const EVENTS_MAX: usize = 10_000;

impl Gateway {
    /// This function.
    pub(crate) async fn function(&self, read: &Read, name: FunctionName) -> Result<Function, Problem> {
        self.freshen(read, Projection::Functions, Some(&name.stream())).await?;
        let function = self.reads.function(name).await.map_err(failed)?;
        function.ok_or_else(|| Problem::rejected(&functions::Rejection::FunctionNotFound.to_rejection()))
    }

    /// A page of functions.
    pub(crate) async fn list_functions(
        &self,
        read: &Read,
        filter: &FunctionFilter,
        page: &PageRequest<NameCursor>,
    ) -> Result<Page<Function, NameCursor>, Problem> {
        self.freshen(read, Projection::Functions, None).await?;
        self.reads.list_functions(filter, page).await.map_err(failed)
    }

    /// These goods.
    pub(crate) async fn goods(&self, read: &Read, id: GoodsId) -> Result<Goods, Problem> {
        self.freshen(read, Projection::Goods, Some(&id.stream())).await?;
        let goods = self.reads.goods(id).await.map_err(failed)?;
        goods.ok_or_else(|| Problem::rejected(&goods::Rejection::GoodsNotFound.to_rejection()))
    }

    /// A page of goods.
    pub(crate) async fn list_goods(
        &self,
        read: &Read,
        filter: &GoodsFilter,
        page: &PageRequest,
    ) -> Result<Page<Goods>, Problem> {
        self.freshen(read, Projection::Goods, None).await?;
        self.reads.list_goods(filter, page).await.map_err(failed)
    }

    /// This order, once it has come as far as is asked for, or as it is when the time is up.
    pub(crate) async fn order(
        &self,
        read: &Read,
        caller: &Caller,
        id: OrderId,
        until: Option<Status>,
    ) -> Result<Order, Problem> {
        self.freshen(read, Projection::Orders, Some(&id.stream())).await?;
        // Whose it is comes first: how long an answer takes must not tell a stranger that the order is there.
        let order = visible(self.reads.order(id).await.map_err(failed)?, caller)?;
        let Some(until) = until else { return Ok(order) };
        let _slot = self.slot()?;
        let waited = self.reads.wait_for_status(id, until, read.deadline).await.map_err(failed)?;
        visible(waited, caller)
    }

    /// This order as it was: folded from its events up to this time. An order is its owner's for ever, so who may see it now may
    /// see it then.
    pub(crate) async fn order_as_of(
        &self,
        read: &Read,
        caller: &Caller,
        id: OrderId,
        time: Timestamp,
    ) -> Result<Order, Problem> {
        let now = self.order(read, caller, id, None).await?;
        let _seat = self.live.scan()?;
        let (topic, stream) = (Service::Orders.events(), id.stream());
        let scope = self.events.scope(topic, Some(&stream)).await.map_err(unreadable)?;
        let begin = self.events.beginning(&scope, now.created_at).await.map_err(unreadable)?;
        let mut resources = Resources::of(Service::Orders, stream.as_str());
        let see =
            move |record: &Record<'_>| resources.after(&record.incoming()).filter(|_| record.time() <= time);
        let filter = Filter { stream: Some(stream), types: Vec::new() };
        let history = History { filter, version: now.version, after: begin.clone() };
        let found = self.events.history(&scope, history, &begin, (EVENTS_MAX, HISTORY_TIME), see).await;
        let Found { records, next } = found.map_err(unreadable)?;
        if next.is_some() {
            let detail = "its events could not be read in time: ask `factfold as-of`";
            return Err(Problem::new("log-unavailable", detail).retry_after(1));
        }
        let then = records.into_iter().filter_map(|(_, resource)| resource).next_back();
        let then = then.map(serde_json::from_value).transpose().map_err(|error| {
            tracing::error!(%error, "a resource cannot be read");
            Problem::new("internal-error", "the order could not be folded")
        })?;
        visible(then, caller)
    }

    /// A page of orders: one's own; merchants and auditors see all.
    pub(crate) async fn list_orders(
        &self,
        read: &Read,
        caller: &Caller,
        filter: OrderFilter,
        page: &PageRequest,
    ) -> Result<Page<Order>, Problem> {
        let user_id = (!caller.sees_all_orders()).then_some(caller.user);
        self.freshen(read, Projection::Orders, None).await?;
        self.reads.list_orders(&OrderFilter { user_id, ..filter }, page).await.map_err(failed)
    }
}

/// The order, if it is the caller's to see.
fn visible(order: Option<Order>, caller: &Caller) -> Result<Order, Problem> {
    order
        .filter(|order| order.user_id == caller.user || caller.sees_all_orders())
        .ok_or_else(|| Problem::rejected(&orders::Rejection::OrderNotFound.to_rejection()))
}
