//! Clients over HTTP: one that sends a command, waits for its answer and for the row that shows it; and many at once.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use factfold_schemas::topics::Service;
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

use super::{
    Sizes,
    floor::{Loop, last_record},
    ground::{Ground, adjust},
    machine,
    report::{Figure, Unit, percentile},
    system::System,
};

/// The first ones are not counted: connections are made, caches are filled.
const WARM_UP: usize = 50;
/// A broker that has just started spends a quarter of two cores on compiling its code. What can be sustained shows after that.
const WARM_UP_TIME: Duration = Duration::from_secs(30);

/// One connection, kept open.
struct Client {
    address: SocketAddr,
    connection: SendRequest<Full<Bytes>>,
    authorization: Arc<str>,
}

/// An answer.
struct Answer {
    body: Bytes,
    position: Option<String>,
}

impl Client {
    async fn connect(system: &System, authorization: Arc<str>) -> Result<Self> {
        let stream = TcpStream::connect(system.address).await.context("the gateway")?;
        stream.set_nodelay(true)?;
        let (connection, driver) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends with the connection.
        tokio::spawn(driver);
        Ok(Self { address: system.address, connection, authorization })
    }

    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: &Value,
        at_least: Option<&str>,
    ) -> Result<Answer> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.address.to_string())
            .header(AUTHORIZATION, &*self.authorization)
            .header(CONTENT_TYPE, "application/json");
        if let Some(position) = at_least {
            request = request.header("factfold-at-least", position);
        }
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        self.connection.ready().await?;
        let response = self.connection.send_request(request.body(Full::new(body))?).await?;
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        if !head.status.is_success() {
            bail!("{path}: {} {}", head.status, String::from_utf8_lossy(&body));
        }
        let position = head.headers.get("factfold-position");
        let position = position.and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(Answer { body, position })
    }

    /// Adds goods, and returns the path of their stock.
    async fn add_goods(&mut self) -> Result<(String, String)> {
        let goods =
            json!({ "name": "Tea", "price": { "amount": 499, "currency": "EUR" }, "stock": 1_000_000 });
        let added = self.ask(Method::POST, "/v1/goods", &goods, None).await?;
        let added: Value = serde_json::from_slice(&added.body)?;
        let path = format!("/v1/goods/{}", added["id"].as_str().context("an id")?);
        let stock = format!("{path}/stock-adjustments");
        Ok((path, stock))
    }
}

/// One client, one command after the other; beside it, one bare transaction after the other.
pub(super) async fn one(
    system: &System,
    ground: &Ground,
    beside: &Ground,
    sizes: &Sizes,
) -> Result<Vec<Figure>> {
    let mut client = Client::connect(system, system.authorization()?.into()).await?;
    let (path, stock) = client.add_goods().await?;
    let (mut decided, mut shown) = (Vec::new(), Vec::new());
    for turn in 0..WARM_UP + sizes.single {
        let asked = Instant::now();
        let answer = client.ask(Method::POST, &stock, &json!(adjust(turn)), None).await?;
        let answered = Instant::now();
        client.ask(Method::GET, &path, &Value::Null, answer.position.as_deref()).await?;
        if turn >= WARM_UP {
            decided.push(answered - asked);
            shown.push(answered.elapsed());
        }
    }
    let transactions = tokio::task::block_in_place(|| bare_transactions(ground, beside, sizes.single))?;
    let stall =
        decided.iter().chain(&transactions).max().copied().filter(|longest| *longest > machine::STALL);
    let ms = Unit::Milliseconds;
    let figure = |name, of: &[Duration], percent, floor: Option<&[Duration]>| {
        Figure::new(name, ms, percentile(of, percent), floor.map(|floor| percentile(floor, percent)))
    };
    Ok(vec![
        figure("one command over HTTP, p50", &decided, 50, Some(&transactions)).with_stall(stall),
        figure("one command over HTTP, p99", &decided, 99, Some(&transactions)),
        figure("answered to readable, p50", &shown, 50, None),
        figure("answered to readable, p99", &shown, 99, None),
    ])
}

/// Moves the commands that were just sent once more, each in a transaction of its own.
fn bare_transactions(ground: &Ground, beside: &Ground, records: usize) -> Result<Vec<Duration>> {
    let (from, events) = (ground.topic(Service::Goods.commands()), Service::Goods.events());
    let like = last_record(&ground.cluster, &ground.topic(events), ground.partitions)?;
    let (to, partitions) = (beside.topic(events), ground.partitions);
    let bare = Loop { cluster: &ground.cluster, from: &from, to: &to, partitions, batch: 1, turns: 1 };
    Ok(bare.run(records, &like)?.transactions)
}

/// Many clients, each of which waits for its answer before it asks again.
pub(super) async fn many(system: &System, sizes: &Sizes) -> Result<Vec<Figure>> {
    let authorization: Arc<str> = system.authorization()?.into();
    let mut clients = Vec::new();
    for _ in 0..sizes.clients {
        let mut client = Client::connect(system, authorization.clone()).await?;
        let (path, stock) = client.add_goods().await?;
        clients.push((client, path, stock));
    }
    let count_from = Instant::now() + WARM_UP_TIME;
    let until = count_from + Duration::from_secs(sizes.seconds);
    let mut running = tokio::task::JoinSet::new();
    for (mut client, path, stock) in clients {
        running.spawn(async move {
            let (mut took, mut turn, mut last) = (Vec::new(), 0, None);
            loop {
                let asked = Instant::now();
                if asked >= until {
                    return anyhow::Ok((took, client, path, last));
                }
                last = client.ask(Method::POST, &stock, &json!(adjust(turn)), None).await?.position;
                turn += 1;
                if asked >= count_from {
                    took.push(asked.elapsed());
                }
            }
        });
    }
    let (mut took, mut behind) = (Vec::new(), Vec::new());
    while let Some(ended) = running.join_next().await {
        let (of_client, mut client, path, last) = ended??;
        took.extend(of_client);
        // Everybody has got the last answer about now: how long does it take until the read models show it?
        client.ask(Method::GET, &path, &Value::Null, last.as_deref()).await?;
        behind.push(until.elapsed());
    }
    let rate = took.len() as f64 / sizes.seconds as f64;
    let ms = Unit::Milliseconds;
    Ok(vec![
        Figure::new("many clients over HTTP", Unit::PerSecond("commands"), rate, None),
        Figure::new("many clients over HTTP, p50", ms, percentile(&took, 50), None),
        Figure::new("many clients over HTTP, p99", ms, percentile(&took, 99), None),
        Figure::new("read models behind them", ms, percentile(&behind, 100), None),
    ])
}
