//! The vocabulary: which commands there are, and what they must look like. One place for the routes and for `/v1/commands`,
//! so that both have the same rules.

use std::collections::HashMap;

use factfold_schemas::{
    codec::{Message, encode},
    command::VALUE_BYTES_MAX,
    functions, goods,
    json::{Misfit, Validator},
    orders,
    topics::Service,
    users,
};
use serde_json::{Map, Value};
use serde_path_to_error::{Path, Segment};

use crate::{
    access::{Caller, Operation},
    problems::{FieldError, Problem},
};

/// Every type of command, by its name.
#[derive(Debug)]
pub(crate) struct Vocabulary(HashMap<String, Entry>);

#[derive(Debug)]
struct Entry {
    service: Service,
    operation: Operation,
    validator: Validator,
}

/// A command that fits its schema, in the one spelling in which it is stored: what is equal has equal digests.
#[derive(Debug, Clone)]
pub(crate) struct Checked {
    pub(crate) service: Service,
    pub(crate) type_name: &'static str,
    pub(crate) value: Vec<u8>,
}

/// Why a command is not taken.
#[derive(Debug)]
pub(crate) enum Refused {
    /// Fields are wrong.
    Misfits(Vec<Misfit>),
    /// It is too long.
    TooLarge(usize),
}

impl Vocabulary {
    pub(crate) fn new() -> Self {
        let entries = Service::ALL.into_iter().flat_map(|service| {
            Validator::of_commands(service).into_iter().map(move |(name, validator)| {
                let operation = Operation::sending(&name).expect("every command has a line in the table");
                (name, Entry { service, operation, validator })
            })
        });
        Self(entries.collect())
    }

    /// The service that decides commands of this type; `None` when there is no such type.
    pub(crate) fn service(&self, type_name: &str) -> Option<Service> {
        self.0.get(type_name).map(|entry| entry.service)
    }

    /// The names of the types that clients may send.
    pub(crate) fn names(&self) -> Vec<&str> {
        let public = self.0.iter().filter(|(_, entry)| entry.operation.takes_events());
        let mut names: Vec<_> = public.map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names
    }

    /// Refuses callers who may not send commands of this type. One that is unknown is nobody's secret.
    pub(crate) fn allow(&self, caller: &Caller, type_name: &str) -> Result<(), Problem> {
        let Some(Entry { operation, .. }) = self.0.get(type_name) else { return Ok(()) };
        operation.allow(caller)?;
        if operation.takes_events() {
            return Ok(());
        }
        let route = operation.http().map(|(method, path)| format!("{method} {path}")).unwrap_or_default();
        Err(Problem::new("forbidden", format!("{type_name} is not sent as an event: use {route}")))
    }

    /// Checks a command's data, and names everything that is wrong.
    pub(crate) fn check(&self, type_name: &str, data: Value) -> Result<Checked, Refused> {
        let Some(entry) = self.0.get(type_name) else {
            return Err(Refused::Misfits(vec![Misfit::new("", format!("`{type_name}` is no command"))]));
        };
        let misfits = entry.validator.misfits(&data);
        if !misfits.is_empty() {
            return Err(Refused::Misfits(misfits));
        }
        let (type_name, value) = match entry.service {
            Service::Functions => respell::<functions::Command>(type_name, data),
            Service::Goods => respell::<goods::Command>(type_name, data),
            Service::Orders => respell::<orders::Command>(type_name, data),
            Service::Users => respell::<users::Command>(type_name, data),
        }
        .map_err(|misfit| Refused::Misfits(vec![misfit]))?;
        if value.len() > VALUE_BYTES_MAX {
            return Err(Refused::TooLarge(value.len()));
        }
        Ok(Checked { service: entry.service, type_name, value })
    }
}

/// Where the command's data is the body.
impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        refused.into_problem(|misfit| FieldError::within("", misfit))
    }
}

impl Refused {
    /// The problem; `error` says where a misfit stands.
    pub(crate) fn into_problem(self, error: impl Fn(&Misfit) -> FieldError) -> Problem {
        match self {
            Self::Misfits(misfits) => Problem::invalid(misfits.iter().map(error).collect()),
            Self::TooLarge(bytes) => Problem::new(
                "body-too-large",
                format!("the command has {bytes} bytes, but at most {VALUE_BYTES_MAX} are allowed"),
            ),
        }
    }
}

/// The value as the types write it. What no schema can say (a whole number written `1.0`) is found here.
fn respell<M: Message>(type_name: &str, data: Value) -> Result<(&'static str, Vec<u8>), Misfit> {
    let tagged = Value::Object(Map::from_iter([(type_name.to_owned(), data)]));
    let message: M = serde_path_to_error::deserialize(tagged)
        .map_err(|error| Misfit::new(pointer(error.path()), error.inner().to_string()))?;
    Ok((message.type_name(), encode(&message)))
}

/// The JSON pointer of a path, without the variant's name that it begins with.
fn pointer(path: &Path) -> String {
    let segments = path.iter().filter_map(|segment| match segment {
        Segment::Map { key } => Some(key.replace('~', "~0").replace('/', "~1")),
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Enum { .. } | Segment::Unknown => None,
    });
    segments.map(|segment| format!("/{segment}")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_equal_is_spelt_the_same() {
        let vocabulary = Vocabulary::new();
        let check = |text: &str| {
            vocabulary
                .check("AdjustStock", serde_json::from_str(text).expect("JSON"))
                .expect("a command")
                .value
        };
        assert_eq!(check(r#"{"delta":1,"reason":"é"}"#), check(r#"{ "reason": "\u00e9", "delta": 1 }"#));
    }

    #[test]
    fn what_no_schema_can_say_still_has_its_place() {
        let line = json!({"goods_id": uuid::Uuid::nil(), "quantity": 1.0});
        let order = json!({"user_id": uuid::Uuid::nil(), "lines": [line]});
        let Err(Refused::Misfits(misfits)) = Vocabulary::new().check("CreateOrder", order) else {
            panic!("a float is no quantity");
        };
        assert_eq!(misfits[0].pointer, "/lines/0/quantity");
    }

    #[test]
    fn a_long_command_is_refused() {
        // Characters are counted by the schema, bytes here: the longest texts fit.
        let reason = "𝄞".repeat(500);
        assert!(Vocabulary::new().check("AdjustStock", json!({"delta": 1, "reason": reason})).is_ok());
    }
}
