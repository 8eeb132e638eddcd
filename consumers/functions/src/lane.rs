//! Two lanes. A call begins on its caller's threads; when it computes for long it goes on in the slow lane, which has one thread
//! fewer than there are cores, so that the short calls of everybody else find one. Must never hold anybody back who computes
//! shortly; who is taken for slow too early gets no less than its share of the slow threads.

use std::{
    future::poll_fn,
    io,
    num::NonZero,
    panic::resume_unwind,
    pin::Pin,
    sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    task::{Context, Poll},
    thread::available_parallelism,
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinSet,
};

/// Who has computed for so long, on a core, is slow. Most are done by then: a fresh instance of Python takes 2 ms, and 50 ms in a
/// place that none was in before.
const SHORT: Duration = Duration::from_millis(100);

/// Calls of one function that compute at once share [`SHORT`], or a dozen endless loops would have a second of all cores before
/// anybody knew them. Each has this much at least: several fresh instances of Python. (In places that none was in before it takes
/// more: so a dozen first calls of Python at once may end in the slow lane, later than they would otherwise.)
const SHARE_MIN: Duration = Duration::from_millis(10);

/// What the calls of one function have shown.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Whether the last one was slow.
    is_slow: AtomicBool,
    /// How many are in the short lane.
    short: AtomicU32,
}

impl Pace {
    /// A call has ended, or has shown that it will not soon.
    pub(crate) fn set_slow(&self, is_slow: bool) {
        self.is_slow.store(is_slow, Relaxed);
    }

    fn is_slow(&self) -> bool {
        self.is_slow.load(Relaxed)
    }

    /// For how long each may compute in the short lane.
    fn share(&self) -> Duration {
        (SHORT / self.short.load(Relaxed).max(1)).max(SHARE_MIN)
    }
}

/// A place in the short lane.
struct Place<'a>(&'a Pace);

impl<'a> Place<'a> {
    fn take(pace: &'a Pace) -> Self {
        pace.short.fetch_add(1, Relaxed);
        Self(pace)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.short.fetch_sub(1, Relaxed);
    }
}

/// The threads of the slow lane. They are as urgent as all others: with a lower priority they would get nothing, and time out, while
/// everybody is busy.
#[derive(Debug)]
pub(crate) struct SlowLane(Option<Runtime>);

impl SlowLane {
    /// Starts them.
    pub(crate) fn open() -> io::Result<Self> {
        let cores = available_parallelism().map_or(1, NonZero::get);
        let runtime = Builder::new_multi_thread()
            .worker_threads(cores.saturating_sub(1).max(1))
            .thread_name("functions-slow")
            .enable_time()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// Runs a call to its end: here, while it is a short one. Gives whether it was. A function that was slow the last time need not
    /// show it again: its calls are slow from the beginning, and those under way follow the one that showed it. Dropping this stops
    /// the call, wherever it is.
    pub(crate) async fn run<F>(&self, pace: &Pace, call: F) -> (F::Output, bool)
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let mut call = Computing::new(call);
        if let Some(output) = call.while_short(pace).await {
            return (output, true);
        }
        pace.set_slow(true);
        let (output, computed) = self.finish(call).await;
        (output, computed < SHORT)
    }

    async fn finish<F>(&self, mut call: Computing<F>) -> (F::Output, Duration)
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let Some(runtime) = &self.0 else { unreachable!("it is closed by being dropped") };
        let mut alone = JoinSet::new();
        alone.spawn_on(async move { ((&mut call).await, call.computed) }, runtime.handle());
        match alone.join_next().await {
            Some(Ok(output)) => output,
            Some(Err(error)) if error.is_panic() => resume_unwind(error.into_panic()),
            _ => unreachable!("nobody ends the call but the set, and it ends with this"),
        }
    }
}

impl Drop for SlowLane {
    fn drop(&mut self) {
        // It may be dropped on a thread of an executor, which must not wait for others.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// A call, and for how long it has had a core: however many others wanted one meanwhile.
struct Computing<F> {
    call: Pin<Box<F>>,
    computed: Duration,
}

impl<F: Future> Computing<F> {
    fn new(call: F) -> Self {
        Self { call: Box::pin(call), computed: Duration::ZERO }
    }

    /// Goes on while it is short: then there is nothing yet.
    async fn while_short(&mut self, pace: &Pace) -> Option<F::Output> {
        let _place = Place::take(pace);
        poll_fn(|context| {
            if pace.is_slow() || self.computed >= pace.share() {
                return Poll::Ready(None);
            }
            Pin::new(&mut *self).poll(context).map(Some)
        })
        .await
    }
}

impl<F: Future> Future for Computing<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let began = computed_here();
        let polled = self.call.as_mut().poll(context);
        self.computed += computed_here().saturating_sub(began);
        polled
    }
}

/// For how long this thread has had a core.
fn computed_here() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use futures::future::join_all;
    use tokio::{task::yield_now, time::timeout};

    use super::*;

    /// For how long a call computes before others have their turn.
    const STEP: Duration = Duration::from_millis(1);

    /// Computes for so long, and tells where it ended.
    async fn compute(time: Duration) -> Option<String> {
        let mut computed = Duration::ZERO;
        while computed < time {
            let began = computed_here();
            while computed_here() - began < STEP {}
            computed += STEP;
            yield_now().await;
        }
        thread::current().name().map(str::to_owned)
    }

    #[tokio::test]
    async fn who_computes_for_long_changes_lanes_and_who_is_short_again_comes_back() {
        let slow = SlowLane::open().expect("threads");
        let pace = Pace::default();
        let (short, long) = (SHORT / 4, SHORT * 2);
        for (time, ends_slow) in [(short, false), (long, true), (long, true), (short, true), (short, false)] {
            let (thread, is_short) = slow.run(&pace, compute(time)).await;
            assert_eq!(thread.as_deref() == Some("functions-slow"), ends_slow, "{time:?}");
            assert_eq!(is_short, time == short);
            pace.set_slow(!is_short);
        }
    }

    #[tokio::test]
    async fn calls_of_one_function_share_what_a_short_one_may_compute() {
        let slow = SlowLane::open().expect("threads");
        let pace = Pace::default();
        let (of_two, of_many) = (SHORT * 3 / 4, SHARE_MIN / 2);
        // Each alone would be short.
        let both = (slow.run(&pace, compute(of_two)), slow.run(&pace, compute(of_two)));
        let ((one, _), (other, _)) = tokio::join!(both.0, both.1);
        assert!([one, other].iter().any(|thread| thread.as_deref() == Some("functions-slow")));
        // However many there are, a few milliseconds are short. What a host takes from a machine for itself counts as computed, so
        // one that was disturbed is no proof.
        let undisturbed = async {
            loop {
                pace.set_slow(false);
                let many = (0..64).map(|_| slow.run(&pace, compute(of_many)));
                let ended = join_all(many).await;
                if ended.iter().all(|(thread, _)| thread.as_deref() != Some("functions-slow")) {
                    break;
                }
            }
        };
        timeout(SHORT * 300, undisturbed).await.expect("all are short");
        assert!(!pace.is_slow());
    }

    #[tokio::test]
    async fn who_only_waits_is_not_slow() {
        let slow = SlowLane::open().expect("threads");
        let pace = Pace::default();
        let ((), is_short) = slow.run(&pace, tokio::time::sleep(SHORT * 2)).await;
        assert!(is_short && !pace.is_slow());
    }

    #[tokio::test]
    async fn what_is_dropped_ends_in_the_slow_lane_too() {
        let slow = SlowLane::open().expect("threads");
        let held = Arc::new(());
        let theirs = Arc::clone(&held);
        let endless = async move {
            while Arc::strong_count(&theirs) == 2 {
                yield_now().await;
            }
        };
        let pace = Pace::default();
        pace.set_slow(true);
        assert!(timeout(SHORT, slow.run(&pace, endless)).await.is_err());
        while Arc::strong_count(&held) > 1 {
            yield_now().await;
        }
    }
}
