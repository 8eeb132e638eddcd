//! `Prefer` (RFC 7240): how long a write waits for its decision. Preferences that are not ours are ignored, as the RFC
//! demands; an answer names those that were followed.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName};

use super::{invalid, list};
use crate::{
    problems::Problem,
    settings::{WAIT_DEFAULT, WAIT_MAX},
};

/// The header.
pub(crate) const PREFER: HeaderName = HeaderName::from_static("prefer");
/// The header of the answer.
pub(crate) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// What the client prefers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Prefer {
    wait: Option<Duration>,
    respond_async: bool,
}

impl Prefer {
    /// To wait so long.
    pub(crate) fn waiting(time: Duration) -> Self {
        Self { wait: Some(time), respond_async: false }
    }

    pub(crate) fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut prefer = Self::default();
        for element in list(headers, &PREFER)? {
            // Parameters of a preference come after a semicolon; ours have none.
            let preference = element.split(';').next().unwrap_or_default();
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "respond-async" => prefer.respond_async = true,
                // RFC 7240: of a preference that comes twice the first counts.
                "wait" if prefer.wait.is_none() => {
                    let seconds = value
                        .parse::<u64>()
                        .map_err(|_| invalid(&PREFER, "must say wait=<seconds>, as in wait=10"))?;
                    prefer.wait = Some(Duration::from_secs(seconds).min(WAIT_MAX));
                }
                _ => {}
            }
        }
        Ok(prefer)
    }

    /// How long to wait. Both preferences together mean: so long, then 202.
    pub(crate) fn patience(self) -> Duration {
        match self {
            Self { wait: Some(wait), .. } => wait,
            Self { respond_async: true, .. } => Duration::ZERO,
            Self { .. } => WAIT_DEFAULT,
        }
    }

    /// Whether not to wait at all, or for so long only.
    pub(crate) const fn responds_async(self) -> bool {
        self.respond_async
    }

    /// How long to wait, where it says so.
    pub(crate) fn wait(self) -> Duration {
        self.wait.unwrap_or_default()
    }

    /// `Preference-Applied`; `None` when the client preferred nothing.
    pub(crate) fn applied(self) -> Option<String> {
        let wait = self.wait.map(|wait| format!("wait={}", wait.as_secs()));
        match (self.respond_async, wait) {
            (false, wait) => wait,
            (true, None) => Some("respond-async".to_owned()),
            (true, Some(wait)) => Some(format!("respond-async, {wait}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Result<Prefer, Problem> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(PREFER, line.parse().expect("a header"));
        }
        Prefer::read(&headers)
    }

    #[test]
    fn says_how_long_to_wait_and_echoes_what_was_followed() {
        let cases: [(&[&str], u64, Option<&str>); 8] = [
            (&[], 5, None),
            (&["wait=10"], 10, Some("wait=10")),
            (&["wait=99"], 30, Some("wait=30")),
            (&["Wait = 0"], 0, Some("wait=0")),
            (&["respond-async"], 0, Some("respond-async")),
            (&["respond-async, wait=3"], 3, Some("respond-async, wait=3")),
            (&["return=minimal; x=y", "wait=2, wait=9"], 2, Some("wait=2")),
            (&["handling=lenient"], 5, None),
        ];
        for (lines, seconds, applied) in cases {
            let prefer = read(lines).expect("readable");
            assert_eq!(prefer.patience().as_secs(), seconds, "{lines:?}");
            assert_eq!(prefer.applied().as_deref(), applied, "{lines:?}");
        }
        for wrong in ["wait", "wait=soon", "wait=-1", "wait=1.5"] {
            assert!(read(&[wrong]).is_err(), "{wrong}");
        }
    }
}
