//! Clients over HTTP and gRPC: one that sends a command, waits for its answer and for the row that shows it; and many at
//! once. What gRPC costs stands beside what HTTP costs.

use std::time::{Duration, Instant};

use anyhow::Result;
use factfold_schemas::topics::Service;

use super::{
    Sizes,
    floor::{Loop, last_record},
    ground::Ground,
    grpc, http, machine,
    report::{Figure, Unit, percentile},
    system::System,
};

/// The first ones are not counted: connections are made, caches are filled.
const WARM_UP: usize = 50;
/// A broker that has just started spends a quarter of two cores on compiling its code. What can be sustained shows after that.
const WARM_UP_TIME: Duration = Duration::from_secs(30);

/// How a client asks.
#[derive(Debug, Clone, Copy)]
enum Protocol {
    Http,
    Grpc,
}

/// Somebody who counts goods of their own.
enum Client {
    Http(http::Client),
    Grpc(grpc::Client),
}

impl Client {
    async fn connect(protocol: Protocol, system: &System, authorization: &str) -> Result<Self> {
        Ok(match protocol {
            Protocol::Http => Self::Http(http::Client::connect(system, authorization).await?),
            Protocol::Grpc => Self::Grpc(grpc::Client::connect(system, authorization).await?),
        })
    }

    async fn adjust(&mut self, turn: usize) -> Result<String> {
        match self {
            Self::Http(client) => client.adjust(turn).await,
            Self::Grpc(client) => client.adjust(turn).await,
        }
    }

    async fn show(&mut self, position: &str) -> Result<()> {
        match self {
            Self::Http(client) => client.show(position).await,
            Self::Grpc(client) => client.show(position).await,
        }
    }
}

/// One client, one command after the other; beside it, one bare transaction after the other.
pub(super) async fn one(
    system: &System,
    ground: &Ground,
    beside: &Ground,
    sizes: &Sizes,
) -> Result<Vec<Figure>> {
    let authorization = system.authorization()?;
    let mut over_http = Client::connect(Protocol::Http, system, &authorization).await?;
    let mut over_grpc = Client::connect(Protocol::Grpc, system, &authorization).await?;
    let (mut http, mut grpc, mut shown) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..WARM_UP + sizes.single {
        // By turns, so that both meet the same weather.
        for (client, decided) in [(&mut over_http, &mut http), (&mut over_grpc, &mut grpc)] {
            let asked = Instant::now();
            let position = client.adjust(turn).await?;
            let answered = Instant::now();
            client.show(&position).await?;
            if turn >= WARM_UP {
                decided.push(answered - asked);
                shown.push(answered.elapsed());
            }
        }
    }
    let transactions = tokio::task::block_in_place(|| bare_transactions(ground, beside, sizes.single))?;
    let stall = http
        .iter()
        .chain(&grpc)
        .chain(&transactions)
        .max()
        .copied()
        .filter(|longest| *longest > machine::STALL);
    let ms = Unit::Milliseconds;
    let figure = |name, of: &[Duration], percent, floor: Option<&[Duration]>| {
        Figure::new(name, ms, percentile(of, percent), floor.map(|floor| percentile(floor, percent)))
    };
    Ok(vec![
        figure("one command over HTTP, p50", &http, 50, Some(&transactions)).with_stall(stall),
        figure("one command over HTTP, p99", &http, 99, Some(&transactions)),
        figure("one command over gRPC, p50", &grpc, 50, Some(&http)),
        figure("one command over gRPC, p99", &grpc, 99, Some(&http)),
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
    let http = crowd(Protocol::Http, system, sizes).await?;
    let grpc = crowd(Protocol::Grpc, system, sizes).await?;
    let rate = |crowd: &Crowd| crowd.took.len() as f64 / sizes.seconds as f64;
    let (ms, per_second) = (Unit::Milliseconds, Unit::PerSecond("commands"));
    let figure = |name, percent, crowd: &Crowd, floor: Option<&Crowd>| {
        let floor = floor.map(|floor| percentile(&floor.took, percent));
        Figure::new(name, ms, percentile(&crowd.took, percent), floor)
    };
    Ok(vec![
        Figure::new("many clients over HTTP", per_second, rate(&http), None),
        figure("many clients over HTTP, p50", 50, &http, None),
        figure("many clients over HTTP, p99", 99, &http, None),
        Figure::new("many clients over gRPC", per_second, rate(&grpc), Some(rate(&http))),
        figure("many clients over gRPC, p50", 50, &grpc, Some(&http)),
        figure("many clients over gRPC, p99", 99, &grpc, Some(&http)),
        Figure::new("read models behind them", ms, percentile(&http.behind, 100), None),
    ])
}

/// What many clients saw.
struct Crowd {
    /// How long each command took.
    took: Vec<Duration>,
    /// How long it took each client to read what it wrote last, once all had their answers.
    behind: Vec<Duration>,
}

async fn crowd(protocol: Protocol, system: &System, sizes: &Sizes) -> Result<Crowd> {
    let authorization = system.authorization()?;
    let mut clients = Vec::new();
    for _ in 0..sizes.clients {
        clients.push(Client::connect(protocol, system, &authorization).await?);
    }
    let count_from = Instant::now() + WARM_UP_TIME;
    let until = count_from + Duration::from_secs(sizes.seconds);
    let mut running = tokio::task::JoinSet::new();
    for mut client in clients {
        running.spawn(async move {
            let (mut took, mut turn, mut last) = (Vec::new(), 0, None);
            loop {
                let asked = Instant::now();
                if asked >= until {
                    return anyhow::Ok((took, client, last));
                }
                last = Some(client.adjust(turn).await?);
                turn += 1;
                if asked >= count_from {
                    took.push(asked.elapsed());
                }
            }
        });
    }
    let mut crowd = Crowd { took: Vec::new(), behind: Vec::new() };
    while let Some(ended) = running.join_next().await {
        let (took, mut client, last) = ended??;
        crowd.took.extend(took);
        // Everybody has got the last answer about now: how long does it take until the read models show it?
        if let Some(position) = last {
            client.show(&position).await?;
            crowd.behind.push(until.elapsed());
        }
    }
    Ok(crowd)
}
