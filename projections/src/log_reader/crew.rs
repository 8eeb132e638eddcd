//! Work on several threads, whose results come in the order in which the work was given. It must never have more under way than
//! was said.

use std::{
    sync::mpsc::{Receiver, Sender, channel},
    thread::{Builder, Scope},
};

use super::LogError;

/// How many pieces of work each thread may have, beside the one that it is at.
const WAITING: usize = 1;

/// Threads that take turns: the first piece of work goes to the first of them, and so does the first question for a result.
/// They end when it is dropped, after the piece that they are at.
pub(super) struct Crew<T, R> {
    hands: Vec<(Sender<T>, Receiver<R>)>,
    given: usize,
    taken: usize,
}

impl<T: Send, R: Send> Crew<T, R> {
    /// So many threads.
    pub(super) fn new<'scope, 'env, W>(
        scope: &'scope Scope<'scope, 'env>,
        threads: usize,
        work: &'env W,
    ) -> Result<Self, LogError>
    where
        T: 'scope,
        R: 'scope,
        W: Fn(T) -> R + Sync,
    {
        let hand = |_| {
            let (sender, todo) = channel();
            let (done, receiver) = channel();
            let run = move || todo.into_iter().map(work).try_for_each(|result| done.send(result));
            let thread = Builder::new().name("crew".to_owned()).spawn_scoped(scope, run);
            thread.map(|_| (sender, receiver)).map_err(|error| LogError::Thread(error.to_string()))
        };
        Ok(Self { hands: (0..threads).map(hand).collect::<Result<_, _>>()?, given: 0, taken: 0 })
    }

    /// Whether a result must be taken before more work is given.
    pub(super) fn is_full(&self) -> bool {
        self.given - self.taken == self.hands.len() * (1 + WAITING)
    }

    /// Gives more work.
    pub(super) fn give(&mut self, work: T) {
        let (sender, _) = &self.hands[self.given % self.hands.len()];
        // A thread that has panicked is noticed where its result is missed.
        let _ = sender.send(work);
        self.given += 1;
    }

    /// Waits for the oldest result; `None` when nothing is under way.
    pub(super) fn take(&mut self) -> Option<R> {
        if self.taken == self.given {
            return None;
        }
        let (_, receiver) = &self.hands[self.taken % self.hands.len()];
        self.taken += 1;
        Some(receiver.recv().expect("a thread that panics takes the others with it"))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Barrier,
            atomic::{AtomicUsize, Ordering},
        },
        thread,
    };

    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_work() {
        // The second of two threads is always done first.
        let (second_is_done, work_is_seen) = (Barrier::new(2), AtomicUsize::new(0));
        let work = |number: usize| {
            if number.is_multiple_of(2) {
                second_is_done.wait();
            }
            work_is_seen.fetch_add(1, Ordering::Relaxed);
            if !number.is_multiple_of(2) {
                second_is_done.wait();
            }
            number
        };
        thread::scope(|scope| {
            let mut crew = Crew::new(scope, 2, &work).expect("threads");
            let mut results = Vec::new();
            for number in 0..100 {
                if crew.is_full() {
                    results.extend(crew.take());
                }
                crew.give(number);
            }
            results.extend(std::iter::from_fn(|| crew.take()));
            assert_eq!(results, (0..100).collect::<Vec<_>>());
        });
        assert_eq!(work_is_seen.into_inner(), 100);
    }

    #[test]
    fn no_more_is_under_way_than_was_said() {
        thread::scope(|scope| {
            let mut crew = Crew::new(scope, 3, &|number: usize| number).expect("threads");
            let given = (0..).take_while(|number| {
                let is_full = crew.is_full();
                if !is_full {
                    crew.give(*number);
                }
                !is_full
            });
            assert_eq!(given.count(), 6);
            assert_eq!(crew.take(), Some(0));
            assert!(!crew.is_full());
        });
    }

    #[test]
    fn who_is_dropped_waits_for_no_results() {
        let begun = AtomicUsize::new(0);
        let work = |_: usize| begun.fetch_add(1, Ordering::Relaxed);
        let given = thread::scope(|scope| {
            let mut crew = Crew::new(scope, 2, &work).expect("threads");
            (0..4).for_each(|number| crew.give(number));
            Err::<(), _>("no more")
        });
        assert_eq!(given, Err("no more"));
        assert!(begun.into_inner() <= 4);
    }

    #[test]
    #[should_panic(expected = "takes the others with it")]
    fn a_panic_is_everybodys() {
        thread::scope(|scope| {
            let mut crew = Crew::new(scope, 2, &|number: usize| assert_ne!(number, 1)).expect("threads");
            (0..2).for_each(|number| crew.give(number));
            while crew.take().is_some() {}
        });
    }
}
