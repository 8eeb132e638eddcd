//! What each event of a stream changed: the aggregate as people see it, before and after.

use factfold_consumers::{
    decider::{Decider, Entry},
    goods::GoodsDecider,
    orders::OrdersDecider,
    users::UsersDecider,
};
use factfold_schemas::{cloudevents::Incoming, record::Recorded, topics::Service};
use serde_json::Value;

/// They change with every event, and say nothing of it.
const ALWAYS: [&str; 2] = ["version", "updated_at"];

/// A field that has another value than before.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Change {
    pub(super) field: String,
    pub(super) before: Value,
    pub(super) after: Value,
}

/// Follows the events of one stream, as its decider folds them.
pub(super) struct Changes(Box<Follow>);

type Follow = dyn FnMut(&Incoming<'_>) -> Vec<Change>;

impl Changes {
    /// From the beginning of this stream on.
    pub(super) fn of(service: Service, stream: &str) -> Self {
        match service {
            Service::Goods => follow::<GoodsDecider>(stream),
            Service::Orders => follow::<OrdersDecider>(stream),
            Service::Users => follow::<UsersDecider>(stream),
        }
    }

    /// What the next event changed; nothing where it made the aggregate, or is no event.
    pub(super) fn by(&mut self, record: &Incoming<'_>) -> Vec<Change> {
        (self.0)(record)
    }
}

fn follow<D: Decider>(stream: &str) -> Changes {
    let id = D::aggregate(stream);
    let (mut entry, mut before) = (None::<Entry<D::State>>, Value::Null);
    Changes(Box::new(move |record| {
        let (Some(id), Ok(event)) = (id, Recorded::<D::Event>::read(record)) else { return Vec::new() };
        let updated_at = event.cause.time;
        let created_at = entry.as_ref().map_or(updated_at, |entry| entry.created_at);
        let state = D::evolve(entry.take().map(|entry| entry.state), &event.data);
        entry = state.map(|state| Entry { version: event.version, created_at, updated_at, state });
        let after = entry.as_ref().map_or(Value::Null, |entry| D::resource(id, entry));
        let changes = between(&before, &after);
        before = after;
        changes
    }))
}

fn between(before: &Value, after: &Value) -> Vec<Change> {
    let (Some(before), Some(after)) = (before.as_object(), after.as_object()) else { return Vec::new() };
    let changed = after.iter().filter(|(field, _)| !ALWAYS.contains(&field.as_str()));
    let changed = changed.map(|(field, after)| Change {
        field: field.clone(),
        before: before.get(field).cloned().unwrap_or_default(),
        after: after.clone(),
    });
    changed.filter(|change| change.before != change.after).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_changed_is_named_and_nothing_else() {
        let before = json!({ "version": 1, "updated_at": "a", "stock": 10, "name": "Tea" });
        let after = json!({ "version": 2, "updated_at": "b", "stock": 8, "name": "Tea", "gone": true });
        let change = |field: &str, before, after| Change { field: field.to_owned(), before, after };
        let expected = [change("stock", json!(10), json!(8)), change("gone", Value::Null, json!(true))];
        assert_eq!(between(&before, &after), expected);
        assert_eq!(between(&Value::Null, &after), []);
    }
}
