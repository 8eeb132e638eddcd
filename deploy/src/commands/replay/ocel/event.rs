//! An event as OCEL sees it: when, what, and which objects it is about.

use std::borrow::Cow;

use factfold_projections::log_reader::{
    Record,
    envelope::{self, Data},
};
use rdkafka::message::Message;
use serde::Serialize;
use serde_json::Value;

use super::object::Object;

/// The attributes of the envelope that say why, and by whom.
const ENVELOPE: [&str; 5] = ["streamversion", "causationid", "correlationid", "authtype", "authid"];

/// An event.
#[derive(Debug, Serialize)]
pub(super) struct Event<'a> {
    id: Cow<'a, str>,
    #[serde(rename = "type")]
    pub(super) name: &'a str,
    /// When its command was decided, by the broker's clock: a copy of the log has the same time.
    pub(super) time: Cow<'a, str>,
    pub(super) attributes: Vec<Attribute>,
    relationships: Vec<Relationship>,
    /// The object whose event it is.
    #[serde(skip)]
    pub(super) stream: Option<Object>,
}

/// Something that is said in one word or number.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Attribute {
    pub(super) name: String,
    pub(super) value: Value,
}

/// That an event is about an object, and what as.
#[derive(Debug, PartialEq, Serialize)]
struct Relationship {
    #[serde(rename = "objectId")]
    object: Object,
    qualifier: String,
}

impl<'a> Event<'a> {
    /// The event in this record.
    pub(super) fn of<M: Message>(record: &Record<'a, M>) -> Self {
        let header = |name: &str| record.header(&format!("ce_{name}"));
        let mut event = Self {
            id: header("id").map_or_else(|| record.position().to_string().into(), Cow::Borrowed),
            name: header("type").unwrap_or("unknown"),
            time: header("time").map_or_else(|| envelope::time(record.time()).into(), Cow::Borrowed),
            attributes: Vec::new(),
            relationships: Vec::new(),
            stream: record.key().and_then(|key| Object::of_stream(str::from_utf8(key).ok()?)),
        };
        event.relate(event.stream, "stream");
        if let Data::Json(data) = envelope::data(record) {
            match serde_json::from_slice(&data).unwrap_or_default() {
                Value::Object(fields) => fields.into_iter().for_each(|(name, value)| event.say(&name, value)),
                other => event.say("data", other),
            }
        }
        event.attribute("position", record.position().to_string().into());
        for name in ENVELOPE {
            let Some(text) = header(name) else { continue };
            let number = text.parse::<u64>().ok().filter(|_| name == "streamversion");
            event.attribute(name, number.map_or_else(|| text.into(), Value::from));
        }
        let author = header("authid").filter(|_| header("authtype") == Some("user"));
        event.relate(author.and_then(|id| Object::named("user", id)), "author");
        event
    }

    /// All objects that it is about.
    pub(super) fn objects(&self) -> impl Iterator<Item = Object> {
        self.relationships.iter().map(|relationship| relationship.object)
    }

    /// What stands in its data under this name. Ids are relationships; a list is an attribute as it is, and its ids are
    /// relationships too.
    fn say(&mut self, name: &str, value: Value) {
        match value {
            Value::Null => {}
            Value::Object(fields) => {
                for (field, value) in fields {
                    self.say(&format!("{name}.{field}"), value);
                }
            }
            Value::Array(elements) => {
                elements.iter().for_each(|element| self.relate_all(element));
                self.attribute(name, Value::Array(elements).to_string().into());
            }
            value => match object_in(name, &value) {
                Some((object, qualifier)) => self.relate(Some(object), qualifier),
                None => self.attribute(name, value),
            },
        }
    }

    fn relate_all(&mut self, element: &Value) {
        for (field, value) in element.as_object().into_iter().flatten() {
            if let Some((object, qualifier)) = object_in(field, value) {
                self.relate(Some(object), qualifier);
            }
        }
    }

    fn relate(&mut self, object: Option<Object>, qualifier: &str) {
        let relationship = object.map(|object| Relationship { object, qualifier: qualifier.to_owned() });
        self.relationships.extend(relationship.filter(|new| !self.relationships.contains(new)));
    }

    fn attribute(&mut self, name: &str, value: Value) {
        self.attributes.push(Attribute { name: name.to_owned(), value });
    }
}

/// The object that a field such as `goods_id` names.
fn object_in<'a>(field: &'a str, value: &Value) -> Option<(Object, &'a str)> {
    let qualifier = field.strip_suffix("_id")?;
    let kind = qualifier.rsplit('.').next()?;
    Some((Object::named(kind, value.as_str()?)?, qualifier))
}

#[cfg(test)]
mod tests {
    use factfold_schemas::topics::Service;
    use rdkafka::{
        Timestamp,
        message::{Header, OwnedHeaders, OwnedMessage},
    };
    use serde_json::json;

    use super::*;

    #[test]
    fn what_an_event_names_is_related_and_what_it_says_is_an_attribute() {
        let (order, goods, user) = (
            "0190aaaa-0000-7000-8000-000000000001",
            "0190aaaa-0000-7000-8000-000000000002",
            "0190aaaa-0000-7000-8000-000000000003",
        );
        let data = json!({
            "user_id": user,
            "total": { "amount": 998, "currency": "EUR" },
            "nothing": null,
            "lines": [{ "goods_id": goods, "quantity": 2 }],
        });
        let headers = [
            ("ce_id", "one"),
            ("ce_type", "OrderCreated"),
            ("ce_time", "2026-01-31T12:00:00Z"),
            ("ce_streamversion", "1"),
            ("ce_authtype", "user"),
            ("ce_authid", user),
        ];
        let headers = headers.into_iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        let (key, value) = (format!("order-{order}"), data.to_string());
        let time = Timestamp::CreateTime(0);
        let message = OwnedMessage::new(
            Some(value.into_bytes()),
            Some(key.into_bytes()),
            "orders.events".to_owned(),
            time,
            3,
            7,
            Some(headers),
        );
        let event = Event::of(&Record { topic: Service::Orders.events(), message: &message });
        let attribute = |name: &str, value| json!({ "name": name, "value": value });
        let relationship = |kind: &str, id: &str, qualifier: &str| json!({ "objectId": format!("{kind}-{id}"), "qualifier": qualifier });
        let expected = json!({
            "id": "one",
            "type": "OrderCreated",
            "time": "2026-01-31T12:00:00Z",
            "attributes": [
                attribute("total.amount", json!(998)),
                attribute("total.currency", json!("EUR")),
                attribute("lines", data["lines"].to_string().into()),
                attribute("position", json!("orders.events/3@7")),
                attribute("streamversion", json!(1)),
                attribute("authtype", json!("user")),
                attribute("authid", json!(user)),
            ],
            "relationships": [
                relationship("order", order, "stream"),
                relationship("user", user, "user"),
                relationship("goods", goods, "goods"),
                relationship("user", user, "author"),
            ],
        });
        assert_eq!(serde_json::to_value(&event).expect("JSON"), expected);
    }
}
