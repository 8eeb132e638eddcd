//! A client over HTTP/1.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request,
    body::Bytes,
    client::conn::http1::{self, SendRequest},
    header::{AUTHORIZATION, CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::{ground::adjust, system::System};

/// One connection, kept open.
pub(super) struct Connection {
    host: String,
    sender: SendRequest<Full<Bytes>>,
    authorization: String,
}

/// An answer.
pub(super) struct Answer {
    body: Bytes,
    position: Option<String>,
}

/// Goods that are counted, over a connection.
pub(super) struct Client {
    connection: Connection,
    /// The goods' path.
    path: String,
}

impl Client {
    /// Connects, and adds the goods.
    pub(super) async fn connect(system: &System, authorization: &str) -> Result<Self> {
        let mut connection = Connection::open(system.address, authorization).await?;
        let goods =
            json!({ "name": "Tea", "price": { "amount": 499, "currency": "EUR" }, "stock": 1_000_000 });
        let added = connection.ask(Method::POST, "/v1/goods", &goods, None).await?.json()?;
        let path = format!("/v1/goods/{}", added["id"].as_str().context("an id")?);
        Ok(Self { connection, path })
    }

    /// Counts the goods, and returns where the command lies.
    pub(super) async fn adjust(&mut self, turn: usize) -> Result<String> {
        let path = format!("{}/stock-adjustments", self.path);
        let answer = self.connection.ask(Method::POST, &path, &json!(adjust(turn)), None).await?;
        answer.position.context("a position")
    }

    /// Reads the goods, once they show what was decided at this position.
    pub(super) async fn show(&mut self, position: &str) -> Result<()> {
        self.connection.ask(Method::GET, &self.path, &Value::Null, Some(position)).await?;
        Ok(())
    }
}

impl Connection {
    /// Connects, on behalf of whoever has this.
    pub(super) async fn open(address: SocketAddr, authorization: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await.context("the gateway")?;
        stream.set_nodelay(true)?;
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends with the connection.
        tokio::spawn(driver);
        Ok(Self { host: address.to_string(), sender, authorization: authorization.to_owned() })
    }

    /// Asks, and waits for the answer. Any but a yes is an error.
    pub(super) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: &Value,
        at_least: Option<&str>,
    ) -> Result<Answer> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.host)
            .header(AUTHORIZATION, &self.authorization)
            .header(CONTENT_TYPE, "application/json");
        if let Some(position) = at_least {
            request = request.header("factfold-at-least", position);
        }
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        self.sender.ready().await?;
        let response = self.sender.send_request(request.body(Full::new(body))?).await?;
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        if !head.status.is_success() {
            bail!("{path}: {} {}", head.status, String::from_utf8_lossy(&body));
        }
        let position = head.headers.get("factfold-position");
        let position = position.and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(Answer { body, position })
    }
}

impl Answer {
    /// The answer, which is JSON.
    pub(super) fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).context("an answer in JSON")
    }
}
