//! What each event of a stream changed: the aggregate as people see it, before and after.
//!
//! Places are JSON pointers (RFC 6901). A JSON Patch (RFC 6902) would say what is there now, not what was before, and would
//! number a list anew with each of its steps; nobody applies these changes, people read them.

use std::fmt;

use factfold_schemas::{cloudevents::Incoming, ids::UserId, record::Recorded, topics::Service};
use factfold_vault::Vault;
use serde::Serialize;
use serde_json::{Value, json, value::RawValue};

use crate::{
    decider::{Decider, Entry},
    functions::FunctionsDecider,
    goods::GoodsDecider,
    orders::OrdersDecider,
    users::UsersDecider,
};

/// They change with every event, and say nothing of it.
const ALWAYS: [&str; 2] = ["/version", "/updated_at"];

/// A place with another value than before.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// Where: `/lines/0/unit_price`; the empty pointer is all of it.
    pub path: String,
    /// What was there, if something was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What is there now, if something is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

impl Change {
    /// Opens what it says about this person, for somebody who may see it.
    pub fn reveal(&mut self, subject: UserId, vault: &Vault) {
        // A text is sealed under the name of its field.
        let field = self.path.rsplit('/').next().unwrap_or_default().to_owned();
        for value in self.before.iter_mut().chain(&mut self.after) {
            let mut fields = json!({ field.as_str(): value.take() });
            vault.reveal(subject, &mut fields);
            *value = fields[&field].take();
        }
    }
}

/// `stock 10 → 8`
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = |value: &Option<Value>| value.as_ref().map_or("nothing".to_owned(), Value::to_string);
        let path = self.path.strip_prefix('/').unwrap_or("all");
        write!(f, "{path} {} → {}", value(&self.before), value(&self.after))
    }
}

/// An event as it is shown, and what it changed.
#[derive(Debug, Clone, Serialize)]
pub struct Changed {
    /// A CloudEvent.
    pub event: Box<RawValue>,
    /// Nothing where it is none of the stream's events.
    pub changes: Vec<Change>,
}

/// Follows the events of one stream from its beginning on, as its decider folds them.
pub struct Fold<D: Decider>(Option<Entry<D::State>>);

impl<D: Decider> Default for Fold<D> {
    fn default() -> Self {
        Self(None)
    }
}

impl<D: Decider> Fold<D> {
    /// The aggregate after the next event, which may be none; nothing where that is no event of the service.
    pub fn after(&mut self, record: &Incoming<'_>) -> Option<Option<&Entry<D::State>>> {
        let event = Recorded::<D::Event>::read(record).ok()?;
        let updated_at = event.cause.time;
        let created_at = self.0.as_ref().map_or(updated_at, |entry| entry.created_at);
        let state = D::evolve(self.0.take().map(|entry| entry.state), &event.data);
        self.0 = state.map(|state| Entry { version: event.version, created_at, updated_at, state });
        Some(self.0.as_ref())
    }
}

/// The same, of whatever service: what people see.
pub struct Resources(Box<Follow>);

type Follow = dyn FnMut(&Incoming<'_>) -> Option<Value> + Send;

impl Resources {
    /// From the beginning of this stream on.
    pub fn of(service: Service, stream: &str) -> Self {
        match service {
            Service::Functions => follow::<FunctionsDecider>(stream),
            Service::Goods => follow::<GoodsDecider>(stream),
            Service::Orders => follow::<OrdersDecider>(stream),
            Service::Users => follow::<UsersDecider>(stream),
        }
    }

    /// The aggregate as people see it after the next event; `None` where that is no event of the stream.
    pub fn after(&mut self, record: &Incoming<'_>) -> Option<Value> {
        (self.0)(record)
    }
}

fn follow<D: Decider>(stream: &str) -> Resources
where
    D::Id: 'static,
{
    let (id, mut fold) = (D::aggregate(stream), Fold::<D>::default());
    Resources(Box::new(move |record| {
        let id = id?;
        let entry = fold.after(record)?;
        Some(entry.map_or(Value::Null, |entry| D::resource(id, entry)))
    }))
}

/// The same, for whoever wants to know what each event changed.
pub struct Changes {
    resources: Resources,
    before: Value,
}

impl Changes {
    /// From the beginning of this stream on.
    pub fn of(service: Service, stream: &str) -> Self {
        Self { resources: Resources::of(service, stream), before: Value::Null }
    }

    /// What the next event changed; nothing where it is no event of the stream.
    pub fn by(&mut self, record: &Incoming<'_>) -> Vec<Change> {
        let Some(after) = self.resources.after(record) else { return Vec::new() };
        let mut changes = between(&self.before, &after);
        changes.retain(|change| !ALWAYS.contains(&change.path.as_str()));
        self.before = after;
        changes
    }
}

/// Where two values differ. Lists of one length differ in their items, others as a whole.
pub fn between(before: &Value, after: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    compare(String::new(), Some(before), Some(after), &mut changes);
    changes
}

fn compare(path: String, before: Option<&Value>, after: Option<&Value>, changes: &mut Vec<Change>) {
    match (before, after) {
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            let gone = before.keys().filter(|field| !after.contains_key(*field));
            for field in after.keys().chain(gone) {
                let path = format!("{path}/{}", field.replace('~', "~0").replace('/', "~1"));
                compare(path, before.get(field), after.get(field), changes);
            }
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) if before.len() == after.len() => {
            for (index, (before, after)) in before.iter().zip(after).enumerate() {
                compare(format!("{path}/{index}"), Some(before), Some(after), changes);
            }
        }
        (before, after) if before == after => {}
        (before, after) => changes.push(Change { path, before: before.cloned(), after: after.cloned() }),
    }
}

#[cfg(test)]
mod tests {
    use factfold_schemas::personal::Personal;
    use uuid::Uuid;

    use super::*;

    fn change(path: &str, before: impl Into<Option<Value>>, after: impl Into<Option<Value>>) -> Change {
        Change { path: path.to_owned(), before: before.into(), after: after.into() }
    }

    #[test]
    fn what_changed_is_named_and_nothing_else() {
        let before =
            json!({ "stock": 10, "name": "Tea", "lines": [{ "n": 1, "a/b": null }], "roles": ["a"] });
        let after =
            json!({ "stock": 8, "name": "Tea", "lines": [{ "n": 1, "a/b": 2 }], "roles": [], "new": 1 });
        let expected = [
            change("/stock", json!(10), json!(8)),
            change("/lines/0/a~1b", Value::Null, json!(2)),
            change("/roles", json!(["a"]), json!([])),
            change("/new", None, json!(1)),
        ];
        let mut found = between(&before, &after);
        found.sort_by_key(|change| expected.iter().position(|expected| expected.path == change.path));
        assert_eq!(found, expected);
        assert_eq!(between(&after, &before).last(), Some(&change("/new", json!(1), None)));
        assert_eq!(between(&after, &after), []);
        assert_eq!(between(&Value::Null, &json!({})), [change("", Value::Null, json!({}))]);
    }

    #[test]
    fn what_is_sealed_is_opened_on_both_sides_wherever_it_stands() {
        let (vault, subject) = (Vault::in_memory().expect("a vault"), UserId::new(Uuid::from_u128(1)));
        let sealed = |text: &str| {
            let sealed = vault.seal(subject, "name", &Personal::new(text)).expect("sealed");
            json!(sealed.as_str())
        };
        let mut field = change("/name", sealed("Ada"), sealed("Ada Lovelace"));
        field.reveal(subject, &vault);
        assert_eq!(field, change("/name", json!("Ada"), json!("Ada Lovelace")));
        let mut whole = change("", Value::Null, json!({ "name": sealed("Ada") }));
        whole.reveal(subject, &vault);
        assert_eq!(whole, change("", Value::Null, json!({ "name": "Ada" })));
    }
}
