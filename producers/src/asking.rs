//! The path of one question, by whatever way it comes: how fresh the answer must be, what of it the caller may see, and
//! what the read model says.

use factfold_projections::{GoodsFilter, OrderFilter, Page, PageRequest, Projection};
use factfold_schemas::{
    goods::{self, Goods},
    ids::{GoodsId, OrderId},
    orders::{self, Order, Status},
    rejection::Reject,
};

use crate::{access::Caller, freshness::failed, gateway::Gateway, problems::Problem, reading::read::Read};

impl Gateway {
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
