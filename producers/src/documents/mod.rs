//! The documents that other tools read: OpenAPI for the routes, AsyncAPI for the topics. Both are made from what runs: the
//! table of operations, the description beside each handler, the catalogue of problems, the types themselves.
//!
//! Nothing may be written down here that one of those already says.

mod asyncapi;
pub(crate) mod components;
pub(crate) mod description;
pub(crate) mod example;
mod openapi;
pub(crate) mod page;
pub(crate) mod sample;

use self::components::Components;
pub use self::{asyncapi::asyncapi, example::Example, openapi::openapi};
use crate::{access::Operation, routes};

/// The examples of every route, in the order in which they build on each other.
pub fn examples() -> Vec<(Operation, Vec<Example>)> {
    let mut components = Components::new();
    routes::all()
        .map(|(operation, route)| (operation, (route.description)(&mut components).examples))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, env, fs, path::Path};

    use serde_json::Value;

    use super::*;
    use crate::problems::catalogue;

    /// They are checked in beside the schemas, so that a change of what others rely on is seen when it is reviewed. (Seen
    /// failing without an example that was there.)
    #[test]
    fn documents_are_checked_in_as_the_types_say() {
        for (name, document) in [("openapi.json", openapi()), ("asyncapi.json", asyncapi())] {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas").join(name);
            let text = serde_json::to_string_pretty(&document).expect("JSON") + "\n";
            if env::var_os("FACTFOLD_BLESS").is_some() {
                fs::write(&file, &text).expect("written");
            }
            let checked_in = fs::read_to_string(&file).unwrap_or_default();
            assert!(
                checked_in == text,
                "{name} is out of date: FACTFOLD_BLESS=1 cargo test -p factfold-producers --lib documents"
            );
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        for document in [openapi(), asyncapi()] {
            let mut references = BTreeSet::new();
            collect(&document, &mut references);
            assert!(references.len() > 5);
            for reference in references {
                let pointer = reference.strip_prefix('#').expect("a reference within the document");
                assert!(document.pointer(pointer).is_some(), "{reference}");
            }
        }
    }

    fn collect(value: &Value, references: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                references.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
                members.values().for_each(|value| collect(value, references));
            }
            Value::Array(items) => items.iter().for_each(|value| collect(value, references)),
            _ => {}
        }
    }

    /// (Seen failing with a route that has none.)
    #[test]
    fn every_route_has_an_example_and_names_only_problems_that_there_are() {
        let mut components = Components::new();
        for (operation, route) in routes::all() {
            let description = (route.description)(&mut components);
            assert!(!description.examples.is_empty(), "{operation:?} needs an example, which the tests run");
            let names: BTreeSet<_> = description.examples.iter().map(|example| example.name).collect();
            assert_eq!(names.len(), description.examples.len(), "{operation:?}: two examples have one name");
            for name in description.problems {
                assert!(catalogue::find(name).is_some(), "{operation:?}: `{name}` is no problem");
            }
        }
    }
}
