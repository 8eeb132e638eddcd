//! Functions: called over HTTP, given the events of a topic, deployed. Their floor is the sandbox alone, with the same function
//! in the same process: what a call costs before anything is asked over a network or stored.

use std::{
    sync::{Arc, atomic::AtomicBool, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use factfold_consumers::{
    goods::GoodsDecider,
    worker::{binding, deciding},
};
use factfold_registry::{Bench, OnTheBench};
use factfold_schemas::{
    functions::{Language, Limits},
    topics::{Service, Topic},
};
use futures::{FutureExt as _, future::BoxFuture};
use hyper::Method;
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    topic_partition_list::TopicPartitionListElem,
};
use serde_json::{Value, json};
use tokio::{
    sync::Mutex,
    task::{JoinSet, yield_now},
    time::sleep,
};

use super::{
    Sizes,
    ground::Ground,
    http::Connection,
    report::{Figure, Unit, percentile},
    system::System,
};

/// What is called: with two numbers, as in every document.
const JAVASCRIPT: &str = include_str!("../../../consumers/functions/examples/add.js");
const PYTHON: &str = include_str!("../../../consumers/functions/examples/add.py");
/// What is given events: it counts those of each key.
const COUNTING: &str = "export default (event, { state }) => ({ state: { n: (state?.n ?? 0) + 1 } });";

/// How many call at the same time: enough for every core, and few enough that none is refused.
const CALLERS: usize = 16;
/// For how long before it is counted: code is compiled, caches are filled.
const WARM_UP: Duration = Duration::from_secs(2);
/// How many functions are deployed and called, one after the other.
const DEPLOYED: usize = 50;
/// How many call endless loops, each of them again and again.
const HOSTILE: usize = 16;
/// How many calls are timed beside them.
const CALLS: usize = 2_000;
/// How many events are given. They are decided before, and wait.
const EVENTS: usize = 100_000;
/// How long the events may take.
const GIVING_TIME: Duration = Duration::from_secs(300);

/// Does once what is measured.
type Caller = Box<dyn Fn() -> BoxFuture<'static, Result<()>> + Send>;

/// Measures all of it.
pub(super) async fn measure(system: &System, ground: &Ground, sizes: &Sizes) -> Result<Vec<Figure>> {
    let api = Api::open(system).await?;
    let bench = Bench::open(&ground.settings.functions(&ground.folder))?;
    let counted = Duration::from_secs(sizes.seconds.clamp(1, 10));
    let calls = Unit::PerSecond("calls");
    let mut figures = Vec::new();
    let languages = [
        ("JavaScript over HTTP, fresh", Language::JavaScript, JAVASCRIPT),
        ("Python over HTTP, fresh", Language::Python, PYTHON),
    ];
    for (name, language, source) in languages {
        api.deploy("add", language, source).await?;
        let bare =
            Arc::new(bench.load(language, source.as_bytes().into(), Limits::default(), (None, None)).await?);
        let mut callers = Vec::new();
        for _ in 0..CALLERS {
            callers.push(api.caller().await?);
        }
        let over_http = rate(counted, callers).await?;
        let callers = (0..CALLERS).map(|_| {
            let bare = bare.clone();
            Box::new(move || call(bare.clone()).boxed()) as Caller
        });
        let alone = rate(counted, callers.collect()).await?;
        figures.push(Figure::new(name, calls, over_http, Some(alone)));
    }

    let mut took = Vec::new();
    for number in 0..DEPLOYED {
        let began = Instant::now();
        // No two are the same: nothing is there already.
        let source = format!("export default () => {number};");
        api.deploy("fresh", Language::JavaScript, &source).await?;
        let answer = api.ask(Method::POST, "/fn/fresh", &json!({})).await?;
        took.push(began.elapsed());
        ensure!(answer == json!(number), "what was deployed last is what answers, but {answer} came");
    }
    let ms = Unit::Milliseconds;
    figures.push(Figure::new("deployed to called, p50", ms, percentile(&took, 50), None));
    figures.push(Figure::new("deployed to called, p99", ms, percentile(&took, 99), None));

    figures.push(beside_hostile_ones(&api).await?);
    figures.push(given(&api, &bench, ground).await?);
    Ok(figures)
}

/// How long the slowest in a hundred calls takes while others call endless loops, beside the same without them. Those who call
/// have threads of their own, as if they were elsewhere: what is measured is not how they get in each other's way.
async fn beside_hostile_ones(api: &Api<'_>) -> Result<Figure> {
    api.deploy("add", Language::JavaScript, JAVASCRIPT).await?;
    api.deploy("endless", Language::JavaScript, "export default () => { for (;;); };").await?;
    let (address, authorization) = (api.system.address, api.authorization.clone());
    let p99 = || {
        let authorization = authorization.clone();
        elsewhere(async move {
            let (mut connection, mut took) = (Connection::open(address, &authorization).await?, Vec::new());
            for _ in 0..CALLS {
                let began = Instant::now();
                connection.ask(Method::POST, "/fn/add", &json!({ "a": 1, "b": 2 }), None).await?;
                took.push(began.elapsed());
            }
            Ok(percentile(&took, 99))
        })
    };
    let quiet = p99().await?;
    let over = Arc::new(AtomicBool::new(false));
    let (is_over, caller) = (over.clone(), authorization.clone());
    let hostile = tokio::spawn(elsewhere(async move {
        let callers = (0..HOSTILE).map(async |_| {
            let mut connection = Connection::open(address, &caller).await?;
            while !is_over.load(Relaxed) {
                // It is stopped after a second, and that is all that it is for.
                let _ = connection.ask(Method::POST, "/fn/endless", &json!({}), None).await;
            }
            anyhow::Ok(())
        });
        futures::future::try_join_all(callers).await.map(drop)
    }));
    // Until they compute, all of them.
    sleep(Duration::from_millis(500)).await;
    let beside = p99().await?;
    over.store(true, Relaxed);
    hostile.await??;
    Ok(Figure::new("beside endless loops, p99", Unit::Milliseconds, beside, Some(quiet)))
}

/// Does this on a thread of its own.
async fn elsewhere<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    let on_a_thread = || tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work);
    tokio::task::spawn_blocking(on_a_thread).await?
}

/// How many events a second a bound function is given, that lie on the topic already.
async fn given(api: &Api<'_>, bench: &Bench, ground: &Ground) -> Result<Figure> {
    ground.fill(EVENTS).await?;
    let decider = Place::of(ground, deciding::group::<GoodsDecider>(), Service::Goods.commands())?;
    tokio::task::block_in_place(|| decider.wait(Instant::now() + GIVING_TIME))?;
    api.deploy("counts", Language::JavaScript, COUNTING).await?;
    let began = Instant::now();
    let body = json!({ "topic": Service::Goods.events().to_string(), "from": "beginning" });
    api.ask(Method::PUT, "/v1/functions/counts/binding", &body).await?;
    let place = Place::of(ground, binding::group("counts".parse()?, 1), Service::Goods.events())?;
    tokio::task::block_in_place(|| place.wait(began + GIVING_TIME))?;
    let rate = EVENTS as f64 / began.elapsed().as_secs_f64();

    let source = COUNTING.as_bytes().into();
    let bare = bench.load(Language::JavaScript, source, Limits::default(), (None, None)).await?;
    let mut warm = bare.keep();
    let (event, context) =
        (json!({ "type": "StockAdjusted", "data": { "delta": 1 } }), json!({ "state": { "n": 1 } }));
    let (event, context) = (event.to_string(), context.to_string());
    let (counted, began) = (20_000, Instant::now());
    for _ in 0..counted {
        warm.call(&event, &context).await?;
    }
    let alone = f64::from(counted) / began.elapsed().as_secs_f64();
    Ok(Figure::new("events given to JavaScript", Unit::PerSecond("events"), rate, Some(alone)))
}

/// Where a group is, beside the end of its topic.
struct Place {
    consumer: BaseConsumer,
    topic: String,
    partitions: i32,
}

impl Place {
    fn of(ground: &Ground, group: String, topic: Topic) -> Result<Self> {
        let consumer = ground.cluster.reader(group).create()?;
        Ok(Self { consumer, topic: ground.topic(topic), partitions: ground.partitions })
    }

    /// Waits until it has come to the end.
    fn wait(&self, deadline: Instant) -> Result<()> {
        let time = Duration::from_secs(10);
        let mut asked = TopicPartitionList::new();
        let mut ends = Vec::new();
        for partition in 0..self.partitions {
            asked.add_partition(&self.topic, partition);
            ends.push(self.consumer.fetch_watermarks(&self.topic, partition, time)?.1);
        }
        loop {
            let committed = self.consumer.committed_offsets(asked.clone(), time)?;
            let has_come = |(place, end): (&TopicPartitionListElem<'_>, &i64)| {
                // The marker of the last transaction is no record.
                matches!(place.offset(), Offset::Offset(next) if next >= end - 1)
            };
            if committed.elements().iter().zip(&ends).all(has_come) {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "what is measured is not at the end of {} in time",
                self.topic
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The gateway, and who asks it.
struct Api<'a> {
    system: &'a System,
    connection: Mutex<Connection>,
    authorization: String,
}

impl<'a> Api<'a> {
    async fn open(system: &'a System) -> Result<Self> {
        let authorization = system.authorization()?;
        let connection = Mutex::new(Connection::open(system.address, &authorization).await?);
        Ok(Self { system, connection, authorization })
    }

    async fn deploy(&self, name: &str, language: Language, source: &str) -> Result<()> {
        let body = json!({ "language": language, "source": source });
        self.ask(Method::PUT, &format!("/v1/functions/{name}"), &body).await.map(drop)
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> Result<Value> {
        self.connection.lock().await.ask(method, path, body, None).await?.json()
    }

    /// Somebody who calls `add`, over a connection of its own.
    async fn caller(&self) -> Result<Caller> {
        let connection = Connection::open(self.system.address, &self.authorization).await?;
        let connection = Arc::new(Mutex::new(connection));
        Ok(Box::new(move || {
            let connection = connection.clone();
            async move {
                let body = json!({ "a": 1, "b": 2 });
                let answer =
                    connection.lock().await.ask(Method::POST, "/fn/add", &body, None).await?.json()?;
                ensure!(answer["result"] == 3, "1 + 2 is 3, but {answer} came");
                Ok(())
            }
            .boxed()
        }))
    }
}

async fn call(bare: Arc<OnTheBench>) -> Result<()> {
    let tried = bare.call(&json!({ "a": 1, "b": 2 }), &json!({})).await;
    ensure!(tried.result?["result"] == 3, "1 + 2 is 3");
    Ok(())
}

/// How often a second many can do this at once.
async fn rate(counted: Duration, who: Vec<Caller>) -> Result<f64> {
    let over = Arc::new(AtomicBool::new(false));
    let counting = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for call in who {
        let (over, counting) = (over.clone(), counting.clone());
        callers.spawn(async move {
            let mut count = 0_u64;
            while !over.load(Relaxed) {
                call().await?;
                count += u64::from(counting.load(Relaxed));
                // A call that never waits would keep the thread for itself.
                yield_now().await;
            }
            anyhow::Ok(count)
        });
    }
    sleep(WARM_UP).await;
    counting.store(true, Relaxed);
    let began = Instant::now();
    sleep(counted).await;
    over.store(true, Relaxed);
    let took = began.elapsed();
    let mut count = 0;
    while let Some(ended) = callers.join_next().await {
        count += ended??;
    }
    Ok(count as f64 / took.as_secs_f64())
}
