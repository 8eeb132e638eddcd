//! Tests that run a whole system as processes, or stop the stack, take turns: on a small machine two of them at once would
//! measure each other.

use tokio::sync::{Mutex, MutexGuard};

static TURN: Mutex<()> = Mutex::const_new(());

/// A test's turn: it is over when this is dropped.
pub(crate) type Turn = MutexGuard<'static, ()>;

/// Waits for one's turn.
pub(crate) async fn take() -> Turn {
    TURN.lock().await
}
