//! Reading requests: headers, parameters and bodies become types here, or problems. Behind this, everything is valid.
//!
//! Nothing that is understood may be ignored: what is documented but not built is refused with 501.

pub(crate) mod accept;
pub(crate) mod body;
pub(crate) mod cloudevents;
pub(crate) mod etag;
pub(crate) mod idempotency;
pub(crate) mod parameters;
pub(crate) mod prefer;
pub(crate) mod read;
pub(crate) mod trace;
pub(crate) mod write;

use axum::http::{HeaderMap, HeaderName};

use crate::problems::Problem;

/// The one value of a header; `None` when it is not there.
pub(crate) fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match value.to_str() {
        Ok(value) if values.next().is_none() => Ok(Some(value.trim())),
        Ok(_) => Err(invalid(name, "must be there once")),
        Err(_) => Err(invalid(name, "must be visible ASCII")),
    }
}

/// The elements of a header that is a list, over all its lines.
pub(crate) fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Vec<&'a str>, Problem> {
    let mut elements = Vec::new();
    for line in headers.get_all(name) {
        let line = line.to_str().map_err(|_| invalid(name, "must be visible ASCII"))?;
        elements.extend(line.split(',').map(str::trim).filter(|element| !element.is_empty()));
    }
    Ok(elements)
}

/// A header that cannot be read.
pub(crate) fn invalid(name: &HeaderName, what: &str) -> Problem {
    Problem::new("invalid-header", format!("the header {name} {what}"))
}
