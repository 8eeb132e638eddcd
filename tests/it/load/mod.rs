//! Load: many clients that do all there is to do, over HTTP and straight on the topics, rightly and wrongly, once and
//! again. What each was told is written down, to be compared with the log.

mod clients;
mod customer;
mod dice;
mod http;
mod plain;

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use factfold_checker::checks::told::Told;
use factfold_schemas::ids::{GoodsId, OrderId};
use tokio::sync::watch;

pub(crate) use self::{clients::Clients, dice::Dice};
use self::{dice::Seed, http::Session};

/// How many records a plain client may be ahead of the answers over HTTP.
const PLAIN_AHEAD: usize = 400;

/// What all clients share.
pub(crate) struct Load {
    /// Where the gateway is; `None` while it is down.
    address: watch::Sender<Option<String>>,
    stopped: watch::Sender<bool>,
    /// How many answers came over HTTP.
    answers: watch::Sender<usize>,
    seed: Seed,
    book: Mutex<Book>,
}

/// What is written down.
#[derive(Default)]
struct Book {
    told: Vec<Told>,
    goods: Vec<GoodsId>,
    orders: Vec<OrderId>,
    refusals: Vec<Duration>,
    surprises: Vec<String>,
}

/// What happened to the clients.
pub(crate) struct Outcome {
    /// All that they were told.
    pub(crate) told: Vec<Told>,
    /// What should not have happened to anybody.
    pub(crate) surprises: Vec<String>,
}

impl Load {
    /// Before anybody came.
    pub(crate) fn new() -> Self {
        Self {
            address: watch::Sender::new(None),
            stopped: watch::Sender::new(false),
            answers: watch::Sender::new(0),
            seed: Seed::new(),
            book: Mutex::default(),
        }
    }

    /// Dice of one's own.
    pub(crate) fn dice(&self) -> Dice {
        self.seed.dice()
    }

    /// The gateway is here from now on, or is gone.
    pub(crate) fn set_address(&self, address: Option<String>) {
        self.address.send_replace(address);
    }

    /// Clients finish what they are at, and come no more.
    pub(crate) fn stop(&self) {
        self.stopped.send_replace(true);
    }

    /// How many answers came over HTTP so far.
    pub(crate) fn answers(&self) -> usize {
        *self.answers.borrow()
    }

    /// Waits until so many answers came over HTTP.
    pub(crate) async fn wait_for_answers(&self, many: usize, patience: Duration) -> Result<(), String> {
        let mut answers = self.answers.subscribe();
        match tokio::time::timeout(patience, answers.wait_for(|answers| *answers >= many)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(format!("there were {} answers, not {many}, in {patience:?}", self.answers())),
        }
    }

    /// What happened.
    pub(crate) fn outcome(&self) -> Outcome {
        self.book(|book| Outcome {
            told: std::mem::take(&mut book.told),
            surprises: std::mem::take(&mut book.surprises),
        })
    }

    fn is_over(&self) -> bool {
        *self.stopped.borrow()
    }

    /// The gateway's address; waits while there is none.
    async fn address(&self) -> String {
        let mut address = self.address.subscribe();
        let here = address.wait_for(Option::is_some).await.expect("the load outlives its clients");
        here.clone().expect("that was waited for")
    }

    /// Waits for the gateway to be elsewhere, or a moment.
    async fn moment(&self) {
        let mut address = self.address.subscribe();
        // Whatever ends it: the next attempt asks again.
        let _ = tokio::time::timeout(Duration::from_millis(50), address.changed()).await;
    }

    /// A plain client was told where its command lies.
    fn delivered(&self, told: Told) {
        self.book(|book| book.told.push(told));
    }

    /// A client over HTTP got its answer.
    fn answered(&self, told: Told) {
        self.book(|book| book.told.push(told));
        self.answers.send_modify(|answers| *answers += 1);
    }

    /// A client over HTTP was refused, and knows that nothing was written.
    fn refused(&self, took: Duration) {
        self.book(|book| book.refusals.push(took));
    }

    /// How long each refusal took until now.
    pub(crate) fn refusals(&self) -> Vec<Duration> {
        self.book(|book| book.refusals.clone())
    }

    /// Waits until plain clients are not too far ahead of the others: on a small machine they would be alone otherwise.
    /// They have some room, so that they write on while the gateway is away.
    async fn pace(&self, delivered: usize) {
        let (mut answers, mut stopped) = (self.answers.subscribe(), self.stopped.subscribe());
        tokio::select! {
            _ = answers.wait_for(|answers| answers + PLAIN_AHEAD >= delivered) => {}
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
    }

    fn surprise(&self, what: String) {
        self.book(|book| book.surprises.push(what));
    }

    fn book<T>(&self, with: impl FnOnce(&mut Book) -> T) -> T {
        with(&mut self.book.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Any of the goods that are known; goods that are not, when none is.
    fn any_goods(&self, dice: &mut Dice) -> GoodsId {
        self.book(|book| dice.any(&book.goods)).unwrap_or_else(GoodsId::generate)
    }

    /// One of the latest orders.
    fn any_order(&self, dice: &mut Dice) -> Option<OrderId> {
        self.book(|book| dice.any(&book.orders[book.orders.len().saturating_sub(50)..]))
    }
}
