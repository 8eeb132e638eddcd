//! Who waits for which answer. A command is known by its id and its digest: two requests that say the same under one key
//! both get the answer; one that says something else under that key gets its own.
//!
//! How many wait is bounded by the slots that the gateway gives out; each takes itself off the list when it is dropped.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use factfold_schemas::{command::Digest, record::Reply};
use tokio::sync::oneshot;

type Key = (String, Digest);
/// A ticket, so that who leaves can be told from who stays, and where the answer goes.
type Place = (u64, oneshot::Sender<Arc<Reply>>);

/// The list.
#[derive(Debug, Default)]
pub(super) struct Waiters(Mutex<List>);

#[derive(Debug, Default)]
struct List {
    waiting: HashMap<Key, Vec<Place>>,
    tickets: u64,
    closed: bool,
}

impl Waiters {
    fn list(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enter(self: &Arc<Self>, command_id: &str, digest: Digest) -> Waiter {
        let key = (command_id.to_owned(), digest);
        let (sender, receiver) = oneshot::channel();
        let mut list = self.list();
        list.tickets += 1;
        let ticket = list.tickets;
        if !list.closed {
            list.waiting.entry(key.clone()).or_default().push((ticket, sender));
        }
        drop(list);
        Waiter { key, ticket, receiver, waiters: self.clone() }
    }

    /// Gives this answer to everybody who waits for it.
    pub(super) fn answer(&self, reply: Reply) {
        let waiting = self.list().waiting.remove(&(reply.command_id.clone(), reply.digest));
        let reply = Arc::new(reply);
        for (_, sender) in waiting.into_iter().flatten() {
            // Whoever is gone needs no answer.
            sender.send(reply.clone()).ok();
        }
    }

    /// Lets everybody go without an answer, now and from now on.
    pub(super) fn close(&self) {
        let mut list = self.list();
        list.closed = true;
        list.waiting.clear();
    }
}

/// A request that waits for the answer to its command.
#[derive(Debug)]
pub(crate) struct Waiter {
    key: Key,
    ticket: u64,
    receiver: oneshot::Receiver<Arc<Reply>>,
    waiters: Arc<Waiters>,
}

impl Waiter {
    /// The answer; `None` when the gateway stops. May be asked again after that.
    pub(crate) async fn reply(&mut self) -> Option<Arc<Reply>> {
        if self.receiver.is_terminated() { None } else { (&mut self.receiver).await.ok() }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut list = self.waiters.list();
        if let Some(waiting) = list.waiting.get_mut(&self.key) {
            waiting.retain(|(ticket, _)| *ticket != self.ticket);
            if waiting.is_empty() {
                list.waiting.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use factfold_schemas::{position::Position, record::Answer, topics::Service};

    use super::*;

    fn reply(value: &str) -> Reply {
        Reply {
            command_id: "id".to_owned(),
            digest: digest(value),
            position: Position::new(Service::Goods.commands(), 0, 1),
            answer: Answer::NoChange,
            repeated: false,
            resource: None,
        }
    }

    fn digest(value: &str) -> Digest {
        Digest::of("X", value.as_bytes())
    }

    #[tokio::test]
    async fn who_says_the_same_under_one_key_gets_the_same_answer_and_nobody_else() {
        let waiters = Arc::new(Waiters::default());
        let (mut one, mut twin) = (waiters.enter("id", digest("a")), waiters.enter("id", digest("a")));
        let mut other = waiters.enter("id", digest("b"));
        waiters.answer(reply("a"));
        assert_eq!(one.reply().await.expect("an answer").digest, digest("a"));
        assert_eq!(twin.reply().await.expect("an answer").digest, digest("a"));
        waiters.answer(reply("b"));
        assert_eq!(other.reply().await.expect("an answer").digest, digest("b"));
    }

    #[tokio::test]
    async fn who_leaves_is_taken_off_the_list() {
        let waiters = Arc::new(Waiters::default());
        let (one, mut twin) = (waiters.enter("id", digest("a")), waiters.enter("id", digest("a")));
        drop(one);
        waiters.answer(reply("a"));
        assert!(twin.reply().await.is_some());
        drop((twin, waiters.enter("id", digest("c"))));
        assert!(waiters.list().waiting.is_empty());
    }

    #[tokio::test]
    async fn closing_lets_everybody_go() {
        let waiters = Arc::new(Waiters::default());
        let mut before = waiters.enter("id", digest("a"));
        waiters.close();
        assert!(before.reply().await.is_none());
        assert!(before.reply().await.is_none(), "asked again");
        assert!(waiters.enter("id", digest("a")).reply().await.is_none());
    }
}
