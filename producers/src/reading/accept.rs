//! `Accept` (RFC 9110, section 12.5.1), where there is something to choose.

use axum::http::{HeaderMap, header};

use super::list;
use crate::problems::Problem;

/// Which of these media types the client gets: of those it names the first that is offered (qualities are not weighed), and
/// the first one offered when it does not care.
pub(crate) fn accepted(headers: &HeaderMap, offered: &[&'static str]) -> Result<&'static str, Problem> {
    let ranges = list(headers, &header::ACCEPT)?;
    let mut named = ranges.iter().map(|range| range.split(';').next().unwrap_or_default().trim());
    let fits = |range: &str, offer: &str| {
        range == "*/*" || range.eq_ignore_ascii_case(offer) || {
            range.strip_suffix('*').is_some_and(|family| family.len() > 1 && offer.starts_with(family))
        }
    };
    let first = if ranges.is_empty() { offered.first() } else { None };
    let found = first.or_else(|| named.find_map(|range| offered.iter().find(|offer| fits(range, offer))));
    found.copied().ok_or_else(|| {
        Problem::new("not-acceptable", format!("this is to be had as {}", offered.join(" or ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_is_named_and_offered_is_given() {
        let given = |accept: &str| {
            let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().expect("a header"))]);
            accepted(&headers, &["application/json", "text/event-stream"]).ok()
        };
        for (accept, expected) in [
            ("text/event-stream", Some("text/event-stream")),
            ("text/html, text/event-stream;q=0.9, application/json", Some("text/event-stream")),
            ("*/*", Some("application/json")),
            ("text/*", Some("text/event-stream")),
            ("application/xml", None),
            ("*", None),
        ] {
            assert_eq!(given(accept), expected, "{accept}");
        }
        assert_eq!(accepted(&HeaderMap::new(), &["a/b"]).ok(), Some("a/b"));
    }
}
