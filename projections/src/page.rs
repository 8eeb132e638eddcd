//! Pages of a list: a limit, and a cursor that says where the last page ended. A cursor names the last item, not a
//! row's place, so it stays good while items are added, and across versions of a read model.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use uuid::Uuid;

/// Which part of a list is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    /// How many items: 1 to [`PageRequest::LIMIT_MAX`].
    pub limit: u16,
    /// Where the page before ended; `None` for the first page.
    pub after: Option<Cursor>,
}

/// A limit that is too small or too large.
#[derive(Debug, thiserror::Error)]
#[error("a page has 1 to {max} items, but {given} were asked for", max = PageRequest::LIMIT_MAX)]
pub struct InvalidLimit {
    given: u16,
}

impl PageRequest {
    /// The most items of one page.
    pub const LIMIT_MAX: u16 = 200;
    /// How many items when nothing is said.
    pub const LIMIT_DEFAULT: u16 = 50;

    /// A page of so many items.
    pub fn new(limit: u16, after: Option<Cursor>) -> Result<Self, InvalidLimit> {
        if (1..=Self::LIMIT_MAX).contains(&limit) {
            Ok(Self { limit, after })
        } else {
            Err(InvalidLimit { given: limit })
        }
    }

    /// How many items.
    pub const fn limit(&self) -> u16 {
        self.limit
    }

    /// One row more than is shown tells whether there is a next page.
    pub(crate) fn rows(&self) -> i64 {
        i64::from(self.limit.clamp(1, Self::LIMIT_MAX)) + 1
    }
}

impl Default for PageRequest {
    fn default() -> Self {
        Self { limit: Self::LIMIT_DEFAULT, after: None }
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T, C = Cursor> {
    /// The items.
    pub items: Vec<T>,
    /// Where to go on; `None` when this was the last page.
    pub next: Option<C>,
}

impl<T> Page<T> {
    /// The page of these rows, of which there is one too many when another page follows.
    pub(crate) fn of(mut items: Vec<T>, request: &PageRequest, key: impl Fn(&T) -> Cursor) -> Self {
        let more = items.len() as i64 >= request.rows();
        if more {
            items.pop();
        }
        let next = items.last().filter(|_| more).map(key);
        Self { items, next }
    }
}

/// The last item of a page: when it was created, and its id. To clients it is an opaque text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    pub(crate) created_at: Timestamp,
    pub(crate) id: Uuid,
}

/// A text that is no cursor.
#[derive(Debug, thiserror::Error)]
#[error("this is not a cursor: use `next` of the page before, as it came")]
pub struct InvalidCursor;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.created_at.as_microsecond().to_be_bytes());
        bytes[8..].copy_from_slice(self.id.as_bytes());
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;
    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let parse = || {
            let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
            let (time, id) = bytes.split_first_chunk::<8>()?;
            // Nothing here is older than 1970, and Postgres does not take every time that fits in the bytes.
            let created_at = Some(i64::from_be_bytes(*time)).filter(|time| *time >= 0);
            let created_at = Timestamp::from_microsecond(created_at?).ok()?;
            Some(Self { created_at, id: Uuid::from_slice(id).ok()? })
        };
        parse().ok_or(InvalidCursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_nothing_else_does() {
        let cursor =
            Cursor { created_at: "2026-11-23T10:00:00.123456Z".parse().expect("a time"), id: Uuid::now_v7() };
        assert_eq!(cursor.to_string().parse::<Cursor>().expect("a cursor"), cursor);
        for wrong in ["", "x", "AAAA", &format!("{cursor}A"), &"_".repeat(32)] {
            assert!(wrong.parse::<Cursor>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_page_says_whether_there_is_another() {
        let request = PageRequest::new(2, None).expect("a limit");
        let key = |n: &u32| Cursor { created_at: Timestamp::UNIX_EPOCH, id: Uuid::from_u128(u128::from(*n)) };
        let page = Page::of(vec![1, 2, 3], &request, key);
        assert_eq!((page.items, page.next), (vec![1, 2], Some(key(&2))));
        let page = Page::of(vec![1, 2], &request, key);
        assert_eq!((page.items, page.next), (vec![1, 2], None));
        assert!(PageRequest::new(0, None).is_err());
        assert!(PageRequest::new(201, None).is_err());
    }
}
