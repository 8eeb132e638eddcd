//! What a person sees on stderr while the stack starts and runs. Data never goes here: it
//! belongs on stdout.

use std::io::{Write as _, stderr};
use std::time::Duration;

/// Where progress is said, or not said.
#[derive(Debug, Clone, Copy)]
pub enum Console {
    /// A person watches: say what becomes ready.
    Talking,
    /// A program runs us: say only what went wrong.
    Quiet,
}

impl Console {
    /// Says how things go.
    pub fn say(self, message: &str) {
        if matches!(self, Self::Talking) {
            self.warn(message);
        }
    }

    /// Says that `thing` is ready at `place`, and how long that took.
    pub fn ready(self, thing: &str, took: Duration, place: &str) {
        self.say(&format!("  {thing:<10} ready in {:>4.1} s   {place}", took.as_secs_f64()));
    }

    /// Says what went wrong, also when nobody asked.
    pub fn warn(self, message: &str) {
        // A terminal that was closed must not keep the stack from being stopped in good order.
        let _ = writeln!(stderr(), "{message}");
    }
}

/// Says why nothing comes, to whoever waits for it.
pub fn notice(message: &str) {
    Console::Quiet.warn(message);
}
