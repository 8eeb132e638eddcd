//! The story of one event: whether it is wanted, what the function makes of it, what is written; and what happens when the
//! function fails.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use factfold_schemas::{
    cloudevents::{Incoming, Outgoing},
    functions::{EMITTED, FunctionName, STATE},
    partitioner::partition_of,
    position::Position,
    record::DeadLetterReason,
    topics::{Service, Topic},
};
use fail::fail_point;

use super::{
    Binding, Bound, Failed, Given,
    effects::{self, Effects, Kept},
    event::{self, Event},
    pace::Pace,
    records::Author,
    redeliveries::{Redeliveries, Redelivery},
    states::States,
    tries::Tries,
};
use crate::worker::{
    Layout,
    error::Error,
    processor::{Processor, Produce, Stop, Target, TopicPartition, Written},
};

/// About how many bytes a record takes beside its value, in memory and on the topic.
const RECORD_BYTES: usize = 512;

/// How long an event that is to be given once more waits while the function cannot be run.
const REST: Duration = Duration::from_secs(1);

/// Gives a function the events of its topic.
pub(super) struct Giving<F> {
    pub(super) binding: Binding,
    topic: Topic,
    function: F,
    redeliveries: Arc<Redeliveries>,
    layout: Layout,
    author: Author,
    /// How many bytes are written in one transaction, about.
    bytes_max: usize,
    pub(super) partitions: BTreeMap<i32, States>,
    pub(super) tries: Tries,
    pub(super) pace: Pace,
    /// Whether the function could not be run when it was last tried. It is said once, not for each event that waits.
    is_out: bool,
    /// Where it is to be written, in the transaction that is next, that the function has begun.
    begins: Vec<i32>,
    /// What is to be given once more in it.
    again: Option<Arc<Redelivery>>,
    /// Until when nothing is given once more: the function could not be run.
    pub(super) rests_until: Option<Instant>,
    draft: Draft,
}

/// Why nothing came of an event.
enum Unmade {
    /// It is the function's fault, or seems so.
    Failed(DeadLetterReason),
    /// It is not: a sentence.
    NotNow(String),
}

/// What the open transaction has.
#[derive(Debug, Default)]
struct Draft {
    /// How many events the function made something of.
    given: u64,
    bytes: usize,
    /// Where each partition stopped.
    stops: BTreeMap<i32, Stop>,
}

impl<F: Bound> Giving<F> {
    pub(super) fn new(
        binding: Binding,
        topic: Topic,
        function: F,
        redeliveries: Arc<Redeliveries>,
        layout: Layout,
        bytes_max: usize,
    ) -> Self {
        Self {
            author: Author::of(&binding),
            binding,
            topic,
            function,
            redeliveries,
            layout,
            bytes_max,
            partitions: BTreeMap::new(),
            tries: Tries::default(),
            pace: Pace::new(),
            is_out: false,
            begins: Vec::new(),
            again: None,
            rests_until: None,
            draft: Draft::default(),
        }
    }

    /// Whether the function is to be given this event.
    fn wants(&self, event: &Event<'_>) -> bool {
        let bound = &self.binding.bound;
        let is_of_a_type = bound.types.is_empty() || bound.types.iter().any(|name| name == event.type_name());
        // Of functions it is told what happens to itself: its ticks. What others do is none of its business.
        let is_of_others = self.topic == Service::Functions.events()
            && FunctionName::of_stream(event.stream) != Some(self.binding.name);
        // A function that hears itself would never be silent again.
        let is_its_own = self.topic == EMITTED && event.is_said_by(&self.author.auth());
        // The offset that it began at is not enough: times need not rise within a log, and a time may be yet to come.
        is_of_a_type && !is_of_others && !is_its_own && bound.from.is_none_or(|from| event.recorded >= from)
    }

    /// Whether this event can be given now; if not, when.
    fn can_give(&self, at: Position, now: Instant) -> Result<(), Instant> {
        match self.tries.until(at.partition, at.offset) {
            Some(until) if until > now => Err(until),
            _ if self.pace.is_over() || self.draft.bytes >= self.bytes_max => Err(now),
            _ => Ok(()),
        }
    }

    /// Gives the event, and writes what the function returns.
    fn give(&mut self, record: &Incoming<'_>, event: &Event<'_>, out: &mut Vec<Produce>) {
        let json = match event.json() {
            Ok(json) => json,
            Err(detail) => return self.dead_letter(record, event.at, why("unreadable-event", detail), out),
        };
        match self.make(&json, event) {
            Ok(effects) => self.write(event, effects, out),
            Err(Unmade::Failed(why)) => self.failed(record, event.at, why, out),
            Err(Unmade::NotNow(message)) => self.wait(event.at, &message),
        }
    }

    /// What the function makes of this event.
    fn make(&mut self, json: &str, event: &Event<'_>) -> Result<Effects, Unmade> {
        let state = self.partitions.get(&event.at.partition).and_then(|states| states.get(event.stream));
        let context = event.context(self.binding.name, self.binding.bound.binding, state);
        let began = Instant::now();
        let given = self.function.give(json, &context);
        let took = began.elapsed();
        self.pace.took(took);
        tracing::trace!(
            trace.parent = event.traceparent(), function.name = %self.binding.name, kafka.position = %event.at,
            duration_ms = took.as_secs_f64() * 1e3, "given"
        );
        fail_point!("binding::given");
        let effects = match given {
            Ok(Given { output }) => effects::read(&output).map_err(|detail| why("invalid-output", detail)),
            Err(Failed { message, is_lasting: true }) => Err(why("function-failed", message)),
            Err(Failed { message, is_lasting: false }) => return Err(Unmade::NotNow(message)),
        };
        self.is_out = false;
        self.draft.given += u64::from(effects.is_ok());
        effects.map_err(Unmade::Failed)
    }

    /// Gives an event once more, since an operator wants it. If the function fails again, there is another letter of it.
    fn give_again(&mut self, again: &Redelivery, out: &mut Vec<Produce>) {
        let record = again.record();
        let read = event::read(again.at.topic, &record).and_then(|event| Ok((event.json()?, event)));
        let made = match read {
            Ok((json, event)) => self.make(&json, &event).map(|effects| (event, effects)),
            Err(detail) => Err(Unmade::Failed(why("unreadable-event", detail))),
        };
        match made {
            Ok((event, effects)) => self.write(&event, effects, out),
            Err(Unmade::Failed(why)) => self.dead_letter(&record, again.at, why, out),
            Err(Unmade::NotNow(message)) => {
                self.rests_until = Some(Instant::now() + REST);
                return self.say_out(again.at, &message);
            }
        }
        let said = self.author.gave(again.letter, again.at);
        self.produce(STATE, again.at.partition, said, out);
        if let Some(states) = self.partitions.get_mut(&again.at.partition) {
            states.gave(again.letter);
        }
    }

    fn write(&mut self, event: &Event<'_>, effects: Effects, out: &mut Vec<Produce>) {
        let Effects { state, commands, events } = effects;
        for (ordinal, command) in commands.into_iter().enumerate() {
            let topic = command.command.service.commands();
            let home = self.home(topic, command.command.stream.as_str().as_bytes());
            self.produce(topic, home, self.author.command(event, ordinal, command), out);
        }
        for (ordinal, emitted) in events.into_iter().enumerate() {
            let record = self.author.emitted(event, ordinal, emitted);
            let home = self.home(EMITTED, record.key.as_deref().unwrap_or_default());
            self.produce(EMITTED, home, record, out);
        }
        let Some(states) = self.partitions.get_mut(&event.at.partition) else { return };
        let state = match state {
            Kept::AsItIs => return,
            Kept::Removed => None,
            Kept::Changed(state) => Some(state),
        };
        if states.get(event.stream).map(|state| state.get()) != state.as_deref().map(|state| state.get()) {
            let record = self.author.state(event, state.as_deref());
            states.set(event.stream, state);
            self.produce(STATE, event.at.partition, record, out);
        }
    }

    /// It is the function's fault, or seems so: it is tried again, and put aside in the end.
    fn failed(&mut self, record: &Incoming<'_>, at: Position, why: DeadLetterReason, out: &mut Vec<Produce>) {
        let name = self.binding.name;
        metrics::counter!("factfold_function_failures_total", "function" => name.to_string()).increment(1);
        match self.tries.failed(at.partition, at.offset, Instant::now()) {
            Some(until) => {
                let DeadLetterReason { name: reason, detail } = why;
                tracing::debug!(function.name = %name, kafka.position = %at, reason, detail, "failed: once more later");
                self.stop(at, until);
            }
            None => self.dead_letter(record, at, why, out),
        }
    }

    /// It is not the function's fault: the event waits for as long as that takes.
    fn wait(&mut self, at: Position, message: &str) {
        let until = self.tries.unavailable(at.partition, at.offset, Instant::now());
        self.say_out(at, message);
        self.stop(at, until);
    }

    fn say_out(&mut self, at: Position, message: &str) {
        if !std::mem::replace(&mut self.is_out, true) {
            tracing::warn!(
                function.name = %self.binding.name, kafka.position = %at, message,
                "it cannot be run now: its events wait"
            );
        }
    }

    /// The partition goes on with this event, not before this time.
    fn stop(&mut self, at: Position, until: Instant) {
        let stop = Stop { partition: (at.topic, at.partition), offset: at.offset, until };
        self.draft.stops.insert(at.partition, stop);
    }

    /// The event is put aside with the reason, and the function goes on with the next one.
    fn dead_letter(
        &mut self,
        record: &Incoming<'_>,
        at: Position,
        why: DeadLetterReason,
        out: &mut Vec<Produce>,
    ) {
        // What the function said of it is in the letter: it may be long, or speak of somebody.
        let reason = &why.name;
        tracing::warn!(function.name = %self.binding.name, kafka.position = %at, reason, "dead letter");
        metrics::counter!(
            "factfold_dead_letters_total", "service" => Service::Functions.name(), "reason" => reason.clone()
        )
        .increment(1);
        let topic = Service::Functions.dead_letters();
        let partition = at.partition % self.layout.partitions(topic);
        self.produce(topic, partition, self.author.dead_letter(record, at, why), out);
        fail_point!("binding::gave-up");
    }

    fn home(&self, topic: Topic, key: &[u8]) -> i32 {
        partition_of(key, self.layout.partitions(topic))
    }

    fn produce(&mut self, topic: Topic, partition: i32, record: Outgoing, out: &mut Vec<Produce>) {
        self.draft.bytes += RECORD_BYTES + record.value.as_ref().map_or(0, Vec::len);
        out.push(Produce { target: Target::Topic(topic), partition, record });
    }

    /// The batch is over, whatever became of it.
    fn rest(&mut self) {
        if self.pace.batch_done() {
            self.function.rest();
        }
    }
}

fn why(name: &str, detail: String) -> DeadLetterReason {
    DeadLetterReason { name: name.to_owned(), detail }
}

impl<F: Bound> Processor for Giving<F> {
    type Partition = States;

    fn group(&self) -> String {
        self.author.group.clone()
    }

    fn inputs(&self) -> Vec<Topic> {
        vec![self.topic]
    }

    fn open(&mut self, of: TopicPartition) -> States {
        States::new(of, self.author.group.clone(), self.binding.bound.from)
    }

    fn adopt(&mut self, (_, partition): TopicPartition, states: States) {
        self.partitions.insert(partition, states);
    }

    fn forget(&mut self, (_, partition): TopicPartition) {
        self.partitions.remove(&partition);
        self.tries.forget(partition);
    }

    /// Saying that it has begun, and giving once more: one event at a time, since the function may take long.
    fn due(&mut self) -> Vec<TopicPartition> {
        self.again = if self.rests_until.is_some_and(|until| until > Instant::now()) {
            None
        } else {
            self.redeliveries.first(&self.author.group, |again| {
                let states = self.partitions.get(&again.at.partition);
                again.at.topic == self.topic && states.is_some_and(|states| !states.has_given(again.letter))
            })
        };
        let begins = self.partitions.iter().filter(|(_, states)| !states.is_said_to_have_begun());
        self.begins = begins.map(|(partition, _)| *partition).collect();
        let begins = self.begins.iter().map(|partition| (self.topic, *partition));
        begins.chain(self.again.iter().map(|again| (again.at.topic, again.at.partition))).collect()
    }

    fn act(&mut self, out: &mut Vec<Produce>) -> Result<(), Error> {
        for partition in std::mem::take(&mut self.begins) {
            self.produce(STATE, partition, self.author.began(), out);
            if let Some(states) = self.partitions.get_mut(&partition) {
                states.began();
            }
        }
        if let Some(again) = self.again.take() {
            self.give_again(&again, out);
        }
        Ok(())
    }

    fn appetite(&self) -> Option<usize> {
        Some(self.pace.appetite())
    }

    fn stops(&mut self) -> Vec<Stop> {
        std::mem::take(&mut self.draft.stops).into_values().collect()
    }

    fn process(&mut self, topic: Topic, record: &Incoming<'_>, out: &mut Vec<Produce>) -> Result<(), Error> {
        let at = Position::new(topic, record.partition, record.offset);
        if !self.partitions.contains_key(&record.partition) {
            let what = "its partition was never taken over".to_owned();
            return Err(Error::Inconsistent { position: at, what });
        }
        // What is behind an event that waits comes once more with it.
        if self.draft.stops.contains_key(&record.partition) {
            return Ok(());
        }
        self.pace.saw();
        match event::read(topic, record) {
            Err(detail) => self.dead_letter(record, at, why("unreadable-event", detail), out),
            Ok(event) if !self.wants(&event) => {}
            Ok(event) => match self.can_give(at, Instant::now()) {
                Err(until) => self.stop(at, until),
                Ok(()) => self.give(record, &event, out),
            },
        }
        Ok(())
    }

    fn committed(&mut self, _: &Written) {
        let Draft { given, .. } = std::mem::take(&mut self.draft);
        for letter in self.partitions.values_mut().filter_map(States::commit) {
            self.redeliveries.forget(&self.author.group, letter);
        }
        if given > 0 {
            fail_point!("binding::committed");
            let name = self.binding.name.to_string();
            metrics::counter!("factfold_function_events_total", "function" => name).increment(given);
        }
        self.rest();
    }

    fn discarded(&mut self) {
        self.draft = Draft::default();
        self.partitions.values_mut().for_each(States::discard);
        self.rest();
    }
}
