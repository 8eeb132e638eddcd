//! Reads: what a message asks for.

use factfold_projections::{Cursor, PageRequest};
use factfold_schemas::{
    ids::{Id, Kind},
    json::Misfit,
};

use super::messages::given_id;
use crate::problems::{FieldError, Problem};

/// The id in this field.
pub(super) fn id<K: Kind>(field: &str, text: &str) -> Result<Id<K>, Problem> {
    given_id(field, text).map_err(wrong)
}

/// Which page is asked for; what is not set has its default.
pub(super) fn page(size: u32, token: &str) -> Result<PageRequest, Problem> {
    let after = match token {
        "" => None,
        token => Some(token.parse::<Cursor>().map_err(|error| misfit("page_token", error))?),
    };
    let limit = match size {
        0 => PageRequest::LIMIT_DEFAULT,
        size => size.try_into().unwrap_or(u16::MAX),
    };
    PageRequest::new(limit, after).map_err(|error| misfit("page_size", error))
}

/// What is wrong with this field.
pub(super) fn misfit(field: &str, detail: impl std::fmt::Display) -> Problem {
    wrong(Misfit::new(format!("/{field}"), detail.to_string()))
}

fn wrong(misfit: Misfit) -> Problem {
    Problem::invalid(vec![FieldError::within("", &misfit)])
}
