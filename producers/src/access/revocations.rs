//! Tokens that are good no more before they expire: of who was deactivated, forgotten or lost a role, of who has a new
//! password, and of a session that ended. Every gateway follows the users' events, and remembers what it sees for as long as
//! a token lives.
//!
//! A token says at which version of its user it was made; what happened to the user since then makes it void. So no clocks
//! are compared.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use factfold_schemas::{
    ids::{SessionId, UserId},
    kafka::{Cluster, incoming},
    record::Recorded,
    topics::Service,
    users::Event,
};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
};
use tokio::sync::watch;

use super::{ACCESS_TIME, Caller};

/// How long Kafka may take to answer at the start.
const START_TIME: Duration = Duration::from_secs(10);
/// How soon the thread sees that it must stop.
const POLL_TIME: Duration = Duration::from_millis(100);
/// How long what was seen is remembered: a token may have been made a moment before.
const MEMORY_TIME: Duration = ACCESS_TIME.saturating_add(Duration::from_secs(60));

/// What makes tokens void.
pub(crate) struct Revocations {
    seen: Arc<Mutex<Seen>>,
    /// Changes whenever something is seen.
    news: watch::Sender<()>,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    /// Tokens of this user that were made before this version.
    users: HashMap<UserId, u64>,
    /// Tokens of this session.
    sessions: HashMap<SessionId, ()>,
    /// What is forgotten when.
    order: VecDeque<(Instant, Void)>,
}

#[derive(Debug, Clone, Copy)]
enum Void {
    User(UserId, u64),
    Session(SessionId),
}

impl std::fmt::Debug for Revocations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Revocations").finish_non_exhaustive()
    }
}

impl Revocations {
    /// Reads what happened lately, then leaves the consumer to a thread of its own. Blocks until it is up to date.
    pub(crate) fn follow(cluster: &Cluster, partitions: i32) -> Result<Self, KafkaError> {
        let topic = cluster.topic(Service::Users.events());
        let consumer: BaseConsumer = cluster
            .reader("revocations")
            .set("auto.offset.reset", "latest")
            .set("fetch.error.backoff.ms", "50")
            .create()?;
        let since = jiff::Timestamp::now().as_millisecond() - MEMORY_TIME.as_millis() as i64;
        let mut asked = TopicPartitionList::new();
        let mut ends = Vec::new();
        for partition in 0..partitions {
            asked.add_partition_offset(&topic, partition, Offset::Offset(since))?;
            ends.push(consumer.fetch_watermarks(&topic, partition, START_TIME)?.1);
        }
        consumer.assign(&consumer.offsets_for_times(asked, START_TIME)?)?;
        let seen = Arc::<Mutex<Seen>>::default();
        let deadline = Instant::now() + START_TIME;
        let news = watch::Sender::new(());
        // A partition without anything that young begins at its end, and has no position before something comes.
        while Instant::now() < deadline && !has_come_to(&consumer, &ends)? {
            read(&consumer, &seen, &news);
        }
        let stop = Arc::<AtomicBool>::default();
        let thread = thread::Builder::new().name("revocations".to_owned()).spawn({
            let (seen, news, stop) = (seen.clone(), news.clone(), stop.clone());
            move || {
                while !stop.load(Ordering::Acquire) {
                    read(&consumer, &seen, &news);
                }
            }
        });
        let thread = thread.map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self { seen, news, stop, thread: Some(thread) })
    }

    /// None, and nobody looks.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self { seen: Arc::default(), news: watch::Sender::new(()), stop: Arc::default(), thread: None }
    }

    /// Whether this caller's token is void.
    pub(crate) fn include(&self, caller: &Caller) -> bool {
        let seen = lock(&self.seen);
        let since = seen.users.get(&caller.user).is_some_and(|version| caller.version < *version);
        since || caller.session.is_some_and(|session| seen.sessions.contains_key(&session))
    }

    /// Ready once this caller's token is void.
    pub(crate) async fn come_to(&self, caller: &Caller) {
        let mut news = self.news.subscribe();
        while !self.include(caller) {
            // It is ours: as long as somebody waits, it is there.
            let _ = news.changed().await;
        }
    }
}

impl Drop for Revocations {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that follows revocations had panicked");
        }
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn has_come_to(consumer: &BaseConsumer, ends: &[i64]) -> Result<bool, KafkaError> {
    let reached = consumer.position()?;
    let assigned = consumer.assignment()?;
    Ok(assigned.elements().iter().all(|place| {
        let end = ends.get(place.partition() as usize).copied().unwrap_or(0);
        let began_at_end = matches!(place.offset(), Offset::End) || end == 0;
        let at = reached.find_partition(place.topic(), place.partition()).map(|place| place.offset());
        began_at_end || matches!(at, Some(Offset::Offset(next)) if next >= end)
    }))
}

/// What comes next, if something does.
fn read(consumer: &BaseConsumer, seen: &Mutex<Seen>, news: &watch::Sender<()>) {
    match consumer.poll(POLL_TIME) {
        Some(Ok(message)) => match Recorded::<Event>::read(&incoming(&message)) {
            Ok(event) => {
                lock(seen).add(&event, Instant::now());
                news.send_replace(());
            }
            Err(error) => tracing::error!(%error, "an event of the users cannot be read"),
        },
        Some(Err(error)) => tracing::warn!(%error, "following revocations"),
        None => lock(seen).forget(Instant::now()),
    }
}

impl Seen {
    fn add(&mut self, event: &Recorded<Event>, now: Instant) {
        self.forget(now);
        let void = match (&event.data, UserId::of_stream(event.stream.as_str())) {
            (
                Event::PasswordChanged(_)
                | Event::RoleRevoked(_)
                | Event::UserDeactivated(_)
                | Event::PersonalDataErased(_),
                Some(user),
            ) => Void::User(user, event.version),
            (Event::SessionEnded(ended), _) => Void::Session(ended.session_id),
            _ => return,
        };
        match void {
            Void::User(user, version) => drop(self.users.insert(user, version)),
            Void::Session(session) => drop(self.sessions.insert(session, ())),
        }
        self.order.push_back((now + MEMORY_TIME, void));
    }

    /// What made tokens void that have expired since.
    fn forget(&mut self, now: Instant) {
        while let Some((_, void)) = self.order.pop_front_if(|(until, _)| *until <= now) {
            match void {
                Void::User(user, version) if self.users.get(&user) == Some(&version) => {
                    self.users.remove(&user);
                }
                // Something later is remembered.
                Void::User(..) => {}
                Void::Session(session) => drop(self.sessions.remove(&session)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use factfold_schemas::{
        command::{Digest, Header},
        ids::EmailId,
        position::Position,
        record::Cause,
        users::{PersonalDataErased, SessionEnd, SessionEnded, UserRegistered},
    };

    use super::*;

    fn event(user: UserId, version: u64, data: Event) -> Recorded<Event> {
        let position = Position::new(Service::Users.commands(), 0, 1);
        let header = Header::new("id", "/clients/x");
        let cause = Cause::of(&header, Digest::of("X", b"{}"), position, jiff::Timestamp::UNIX_EPOCH);
        Recorded { stream: user.stream(), version, cause, data }
    }

    #[test]
    fn what_happened_since_makes_a_token_void_for_as_long_as_it_lives() {
        let (anna, session) = (UserId::generate(), SessionId::generate());
        let email_id = EmailId::generate();
        let erased = Event::PersonalDataErased(PersonalDataErased { email_id });
        let ended = Event::SessionEnded(SessionEnded { session_id: session, reason: SessionEnd::LoggedOut });
        let revocations = Revocations::none();
        let caller =
            |version, session| Caller { user: anna, roles: Vec::new(), expires: 0, version, session };
        let now = Instant::now();

        let registered = Event::UserRegistered(UserRegistered { email_id, roles: Vec::new() });
        lock(&revocations.seen).add(&event(anna, 2, registered), now);
        assert!(!revocations.include(&caller(1, Some(session))));

        lock(&revocations.seen).add(&event(anna, 5, erased), now);
        assert!(revocations.include(&caller(4, None)));
        assert!(!revocations.include(&caller(5, None)), "made after that");

        lock(&revocations.seen).add(&event(anna, 6, ended), now);
        assert!(revocations.include(&caller(9, Some(session))));
        assert!(!revocations.include(&caller(9, Some(SessionId::generate()))));

        lock(&revocations.seen).forget(now + MEMORY_TIME);
        assert!(!revocations.include(&caller(4, Some(session))));
        assert!(lock(&revocations.seen).order.is_empty());
    }
}
