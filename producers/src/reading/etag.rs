//! Entity tags: `"<version>.<representation>"`. `If-Match` compares the version (a rule for the decider), `If-None-Match`
//! all of it.

use axum::http::{HeaderMap, HeaderName, header};

use super::{invalid, list};
use crate::problems::Problem;

/// The shape of resources in JSON. It changes with the shape, so that nobody keeps a copy in the old one.
const REPRESENTATION: u32 = 1;

/// The tag of a resource at this version.
pub(crate) fn of(version: u64) -> String {
    format!("\"{version}.{REPRESENTATION}\"")
}

/// The version that a write expects.
pub(crate) fn expected_version(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    if !headers.contains_key(header::IF_MATCH) {
        return Ok(None);
    }
    let tags = list(headers, &header::IF_MATCH)?;
    match tags.as_slice() {
        // What is changed must be there anyway.
        ["*"] => Ok(None),
        [tag] => version(tag).map(Some).ok_or_else(|| {
            Problem::new(
                "version-mismatch",
                format!("no version ever had the tag {tag}: use the ETag as it came"),
            )
        }),
        _ => Err(invalid(&header::IF_MATCH, "must name one version")),
    }
}

/// Whether the client has this version already.
pub(crate) fn is_known(headers: &HeaderMap, name: &HeaderName, version: u64) -> Result<bool, Problem> {
    let tag = of(version);
    // RFC 9110: weak comparison.
    Ok(list(headers, name)?.into_iter().any(|t| t == "*" || t.strip_prefix("W/").unwrap_or(t) == tag))
}

/// `"3"` and `"3.1"` both name version 3. A weak tag never matches (RFC 9110: `If-Match` compares strongly).
fn version(tag: &str) -> Option<u64> {
    let inner = tag.strip_prefix('"')?.strip_suffix('"')?;
    let (version, representation) = inner.split_once('.').unwrap_or((inner, "0"));
    representation.parse::<u32>().ok()?;
    version.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().expect("a header"))])
    }

    #[test]
    fn if_match_compares_the_version() {
        let expected = |value: &str| expected_version(&headers(header::IF_MATCH, value));
        assert_eq!(expected(&of(3)).expect("a tag"), Some(3));
        assert_eq!(expected("\"3\"").expect("a tag"), Some(3));
        assert_eq!(expected("*").expect("a tag"), None);
        assert_eq!(expected_version(&HeaderMap::new()).expect("no tag"), None);
        for never in ["W/\"3.1\"", "3", "\"x\"", "\"3.x\"", "\"-1\""] {
            assert_eq!(expected(never).expect_err("no version").name(), "version-mismatch", "{never}");
        }
        for not_one in ["\"3\", \"4\"", ""] {
            assert_eq!(expected(not_one).expect_err("not one").name(), "invalid-header", "{not_one}");
        }
    }

    #[test]
    fn if_none_match_compares_all_of_it() {
        let known = |value: &str| {
            is_known(&headers(header::IF_NONE_MATCH, value), &header::IF_NONE_MATCH, 3).expect("readable")
        };
        assert!(known("\"3.1\"") && known("W/\"3.1\"") && known("\"2.1\", \"3.1\"") && known("*"));
        assert!(!known("\"3\"") && !known("\"2.1\""));
    }
}
