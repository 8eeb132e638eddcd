//! Pages of a list: a limit, and a cursor that says where the last page ended. A cursor names the last item, not a
//! row's place, so it stays good while items are added, and across versions of a read model.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use factfold_schemas::functions::FunctionName;
use jiff::Timestamp;
use uuid::Uuid;

/// Which part of a list is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest<C = Cursor> {
    /// How many items: 1 to [`PageRequest::LIMIT_MAX`].
    pub limit: u16,
    /// Where the page before ended; `None` for the first page.
    pub after: Option<C>,
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
}

impl<C> PageRequest<C> {
    /// A page of so many items.
    pub fn new(limit: u16, after: Option<C>) -> Result<Self, InvalidLimit> {
        if (1..=PageRequest::LIMIT_MAX).contains(&limit) {
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
        i64::from(self.limit.clamp(1, PageRequest::LIMIT_MAX)) + 1
    }
}

impl<C> Default for PageRequest<C> {
    fn default() -> Self {
        Self { limit: PageRequest::LIMIT_DEFAULT, after: None }
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

impl<T, C> Page<T, C> {
    /// The page of these rows, of which there is one too many when another page follows.
    pub(crate) fn of(mut items: Vec<T>, request: &PageRequest<C>, key: impl Fn(&T) -> C) -> Self {
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

/// The last item of a page of what is listed by name. To clients it is as opaque.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameCursor(pub(crate) FunctionName);

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

impl fmt::Display for NameCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0.as_str()))
    }
}

impl FromStr for NameCursor {
    type Err = InvalidCursor;
    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidCursor)?;
        let name = str::from_utf8(&bytes).ok().and_then(|name| name.parse().ok());
        name.map(Self).ok_or(InvalidCursor)
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

    /// Nor does the cursor of one sort of list pass for that of another.
    #[test]
    fn a_name_reads_back_and_nothing_else_does() {
        let name = |name: &str| NameCursor(name.parse().expect("a name"));
        for name in [name("a"), name("add-2"), name(&"a".repeat(24)), name(&"z".repeat(48))] {
            assert_eq!(name.to_string().parse::<NameCursor>().expect("a cursor"), name);
            assert!(name.to_string().parse::<Cursor>().is_err(), "{name}");
        }
        let newest = Cursor { created_at: Timestamp::UNIX_EPOCH, id: Uuid::from_u128(1) };
        for wrong in ["", "x", "add", "QQ", &newest.to_string()] {
            assert!(wrong.parse::<NameCursor>().is_err(), "{wrong}");
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
        assert!(PageRequest::<Cursor>::new(0, None).is_err());
        assert!(PageRequest::<Cursor>::new(201, None).is_err());
    }
}
