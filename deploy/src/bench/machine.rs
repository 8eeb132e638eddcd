//! Whether the machine had something else to do: then a figure says as much about that as about the system.

use std::{fs, time::Duration};

/// A transaction that took longer stood still: the disk had to catch up, as a rule.
pub(super) const STALL: Duration = Duration::from_secs(1);
const LOOK_FOR: Duration = Duration::from_millis(500);

/// The part of the machine's processors that is busy while we do nothing, from 0 to 1; `None` where `/proc/stat` is missing.
pub(super) async fn busy_beside_us() -> Option<f64> {
    let before = ticks()?;
    tokio::time::sleep(LOOK_FOR).await;
    let after = ticks()?;
    let (all, idle) = (after.0.checked_sub(before.0)?, after.1.checked_sub(before.1)?);
    (all > 0).then(|| 1.0 - idle as f64 / all as f64)
}

/// All time that the processors have spent, and the part of it in which they had nothing to do. Source: proc(5).
fn ticks() -> Option<(u64, u64)> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    let times: Vec<u64> = line.split_whitespace().filter_map(|time| time.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal; guests are counted in user already.
    let all = times.iter().take(8).sum();
    Some((all, times.get(3)? + times.get(4)?))
}
