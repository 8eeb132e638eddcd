//! A client over gRPC.

use anyhow::{Context as _, Result};
use factfold_proto::{
    common::v1::Money,
    goods::v1::{
        AddGoodsRequest, AdjustStockRequest, GetGoodsRequest, goods_service_client::GoodsServiceClient,
    },
};
use tonic::{
    Request,
    metadata::AsciiMetadataValue,
    transport::{Channel, Endpoint},
};

use super::{ground::adjust, system::System};

/// One connection, kept open, and the goods that are counted over it.
pub(super) struct Client {
    service: GoodsServiceClient<Channel>,
    authorization: AsciiMetadataValue,
    /// The goods' id.
    id: String,
}

impl Client {
    /// Connects, and adds the goods.
    pub(super) async fn connect(system: &System, authorization: &str) -> Result<Self> {
        let channel = Endpoint::from_shared(format!("http://{}", system.address))?.connect().await?;
        let (service, authorization) = (GoodsServiceClient::new(channel), authorization.parse()?);
        let mut client = Self { service, authorization, id: String::new() };
        let price = Some(Money { amount: 499, currency: "EUR".to_owned() });
        let add = client.call(AddGoodsRequest { name: "Tea".to_owned(), price, stock: 1_000_000 });
        client.id = client.service.add_goods(add).await?.into_inner().goods.context("goods")?.id;
        Ok(client)
    }

    /// Counts the goods, and returns where the command lies.
    pub(super) async fn adjust(&mut self, turn: usize) -> Result<String> {
        let (id, adjust) = (self.id.clone(), adjust(turn));
        let adjust = self.call(AdjustStockRequest { id, delta: adjust.delta, reason: adjust.reason });
        let answer = self.service.adjust_stock(adjust).await?;
        let position = answer.metadata().get("factfold-position").context("a position")?;
        Ok(position.to_str()?.to_owned())
    }

    /// Reads the goods, once they show what was decided at this position.
    pub(super) async fn show(&mut self, position: &str) -> Result<()> {
        let mut get = self.call(GetGoodsRequest { id: self.id.clone() });
        get.metadata_mut().insert("factfold-at-least", position.parse()?);
        self.service.get_goods(get).await?;
        Ok(())
    }

    fn call<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.authorization.clone());
        request
    }
}
