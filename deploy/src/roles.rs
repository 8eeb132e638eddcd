//! The roles (gateway, workers, projectors) of one machine, in one process, on top of a stack.
//! It must never start or stop Kafka or PostgreSQL: that is [`crate::stack`].

use crate::addresses::Addresses;
use crate::shutdown::Shutdown;

/// Runs every role against `addresses` until `shutdown` asks to stop, then stops them.
///
/// The roles are wired in here as they arrive; without them, the stack alone is kept running.
pub async fn run(_addresses: &Addresses, shutdown: &mut Shutdown) -> anyhow::Result<()> {
    shutdown.requested().await;
    Ok(())
}
