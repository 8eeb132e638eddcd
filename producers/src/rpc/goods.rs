//! `factfold.goods.v1.GoodsService`: everyone sees them, merchants change them.

use factfold_projections::GoodsFilter;
use factfold_proto::goods::v1::{self as proto, goods_service_server::GoodsService};
use factfold_schemas::{goods, ids};
use serde_json::json;
use tonic::{Request, Response, Status};

use super::{
    call::Call,
    messages::{data, given_money, money, time},
    reading::{id, page},
    writing::{answer, change, create},
};
use crate::gateway::Gateway;

/// The service.
pub(super) struct Goods(pub(super) Gateway);

#[tonic::async_trait]
impl GoodsService for Goods {
    async fn add_goods(
        &self,
        request: Request<proto::AddGoodsRequest>,
    ) -> Result<Response<proto::AddGoodsResponse>, Status> {
        let (call, asked) = Call::of(request);
        let data = data([
            ("name", Some(json!(asked.name))),
            ("price", asked.price.map(given_money)),
            ("stock", Some(json!(asked.stock))),
        ]);
        let submitted = create::<ids::Goods>(&self.0, &call, data).await?;
        answer(&submitted, shown, |goods, pending| proto::AddGoodsResponse { goods, pending })
    }

    async fn update_goods(
        &self,
        request: Request<proto::UpdateGoodsRequest>,
    ) -> Result<Response<proto::UpdateGoodsResponse>, Status> {
        let (call, asked) = Call::of(request);
        let data =
            data([("name", asked.name.map(|name| json!(name))), ("price", asked.price.map(given_money))]);
        let submitted = change::<ids::Goods>(&self.0, &call, &asked.id, data).await?;
        answer(&submitted, shown, |goods, pending| proto::UpdateGoodsResponse { goods, pending })
    }

    async fn adjust_stock(
        &self,
        request: Request<proto::AdjustStockRequest>,
    ) -> Result<Response<proto::AdjustStockResponse>, Status> {
        let (call, asked) = Call::of(request);
        let data = data([("delta", Some(json!(asked.delta))), ("reason", Some(json!(asked.reason)))]);
        let submitted = change::<ids::Goods>(&self.0, &call, &asked.id, data).await?;
        answer(&submitted, shown, |goods, pending| proto::AdjustStockResponse { goods, pending })
    }

    async fn discontinue_goods(
        &self,
        request: Request<proto::DiscontinueGoodsRequest>,
    ) -> Result<Response<proto::DiscontinueGoodsResponse>, Status> {
        let (call, asked) = Call::of(request);
        let submitted = change::<ids::Goods>(&self.0, &call, &asked.id, data([])).await?;
        answer(&submitted, shown, |goods, pending| proto::DiscontinueGoodsResponse { goods, pending })
    }

    async fn get_goods(
        &self,
        request: Request<proto::GetGoodsRequest>,
    ) -> Result<Response<proto::GetGoodsResponse>, Status> {
        let (call, asked) = Call::of(request);
        let goods = self.0.goods(&call.read()?, id("id", &asked.id)?).await?;
        Ok(Response::new(proto::GetGoodsResponse { goods: Some(shown(goods)) }))
    }

    async fn list_goods(
        &self,
        request: Request<proto::ListGoodsRequest>,
    ) -> Result<Response<proto::ListGoodsResponse>, Status> {
        let (call, asked) = Call::of(request);
        let page = page(asked.page_size, &asked.page_token)?;
        let filter = GoodsFilter { discontinued: asked.discontinued };
        let listed = self.0.list_goods(&call.read()?, &filter, &page).await?;
        Ok(Response::new(proto::ListGoodsResponse {
            goods: listed.items.into_iter().map(shown).collect(),
            next_page_token: listed.next.map(|next| next.to_string()).unwrap_or_default(),
        }))
    }
}

fn shown(goods: goods::Goods) -> proto::Goods {
    proto::Goods {
        id: goods.id.to_string(),
        version: goods.version,
        created_at: Some(time(goods.created_at)),
        updated_at: Some(time(goods.updated_at)),
        name: goods.name,
        price: Some(money(goods.price)),
        stock: goods.stock,
        discontinued: goods.discontinued,
    }
}
