//! Envelopes: what a client may say around a command when it sends it as a CloudEvent. Source, time and author are the
//! gateway's to set; what only the system itself says is refused; nothing is ignored.

use factfold_schemas::{
    cloudevents::Outgoing,
    codec::data_schema,
    command::{ATTRIBUTE_BYTES_MAX, Header, NOT_BEFORE_MAX, is_plain},
    functions::FunctionName,
    ids::{GoodsId, OrderId, StreamId, UserId},
    topics::Service,
};
use jiff::Timestamp;

use crate::{
    gateway::Gateway,
    problems::{FieldError, Problem},
    reading::{cloudevents::Entry, idempotency::Identity, trace::Trace, write::Write},
    vocabulary::Refused,
};

/// Attributes that mean something here. The gateway sets `source`, `time`, `authtype` and `authid` itself, whatever is
/// given; W3C allows whoever does not need `tracestate` to drop it.
pub(crate) const KNOWN: [&str; 17] = [
    "specversion",
    "id",
    "type",
    "source",
    "subject",
    "time",
    "datacontenttype",
    "dataschema",
    "traceparent",
    "tracestate",
    "correlationid",
    "causationid",
    "authtype",
    "authid",
    "notbefore",
    "expirytime",
    "expectedversion",
];
/// Attributes that only the system itself sets.
const INTERNAL: [&str; 3] = ["replyto", "commandposition", "scheduledposition"];

/// A command that is ready to be stored.
pub(crate) struct Envelope {
    pub(crate) id: String,
    pub(crate) service: Service,
    pub(crate) record: Outgoing,
}

impl Gateway {
    /// Checks all entries, and names everything that is wrong in any of them. Each comes with what makes it the same
    /// command when it is repeated.
    pub(crate) async fn envelopes(
        &self,
        write: &Write,
        entries: Vec<(Entry, Identity)>,
    ) -> Result<Vec<Envelope>, Problem> {
        for (entry, _) in &entries {
            self.allow(write, entry)?;
        }
        let (mut envelopes, mut errors) = (Vec::with_capacity(entries.len()), Vec::new());
        for (entry, identity) in entries {
            match self.envelope(write, entry, &identity).await {
                Ok(envelope) => envelopes.push(envelope),
                Err(Wrong::Fields(fields)) => errors.extend(fields),
                Err(Wrong::Whole(problem)) => return Err(problem),
            }
        }
        if errors.is_empty() { Ok(envelopes) } else { Err(Problem::invalid(errors)) }
    }

    /// What the caller may not send at all.
    fn allow(&self, write: &Write, entry: &Entry) -> Result<(), Problem> {
        if let Some(name) = INTERNAL.into_iter().find(|name| entry.attributes.contains_key(*name)) {
            let error = entry.attribute_error(name, "is only for the system itself");
            let place = error.pointer.map(|pointer| format!("{pointer} ")).unwrap_or_default();
            return Err(Problem::new("forbidden", format!("{place}{}", error.detail)));
        }
        self.vocabulary.allow(&write.caller, entry.attribute("type").unwrap_or_default())
    }

    async fn envelope(
        &self,
        write: &Write,
        mut entry: Entry,
        identity: &Identity,
    ) -> Result<Envelope, Wrong> {
        let mut errors = surplus(&entry);
        if entry.attribute("specversion") != Some("1.0") {
            errors.push(entry.attribute_error("specversion", "must be 1.0"));
        }
        if !matches!(entry.attribute("datacontenttype"), None | Some("application/json")) {
            errors.push(entry.attribute_error("datacontenttype", "must be application/json"));
        }
        let not_before = parsed::<Timestamp>(&entry, "notbefore", "must be an RFC 3339 time", &mut errors);
        if not_before.is_some_and(|not_before| not_before > Timestamp::now() + NOT_BEFORE_MAX) {
            errors.push(entry.attribute_error("notbefore", "must be at most a year ahead"));
        }
        let expires = parsed::<Timestamp>(&entry, "expirytime", "must be an RFC 3339 time", &mut errors);
        if expires.is_some() && expires <= not_before {
            errors.push(entry.attribute_error("expirytime", "must be later than notbefore"));
        }
        let expected_version = parsed::<u64>(&entry, "expectedversion", "must be a version", &mut errors);
        let traceparent = parsed::<Trace>(&entry, "traceparent", "must be a W3C traceparent", &mut errors);

        let type_name = entry.attribute("type").unwrap_or_default().to_owned();
        let Some(service) = self.vocabulary.service(&type_name) else {
            let known = self.vocabulary.names().join(", ");
            errors.push(entry.attribute_error("type", format_args!("must be one of {known}")));
            return Err(Wrong::Fields(errors));
        };
        if entry
            .attribute("dataschema")
            .is_some_and(|schema| schema != data_schema(service, &type_name).to_string())
        {
            errors.push(entry.attribute_error("dataschema", "is not the schema of this type"));
        }
        let stream = stream(&entry, service, &mut errors);
        let data = std::mem::take(&mut entry.data);
        let command = match self.vocabulary.check(&type_name, data) {
            Ok(command) => Some(command),
            Err(Refused::Misfits(misfits)) => {
                errors.extend(misfits.iter().map(|misfit| entry.data_error(misfit)));
                None
            }
            Err(too_large @ Refused::TooLarge(_)) => {
                return Err(Wrong::Whole(too_large.into_problem(|misfit| entry.data_error(misfit))));
            }
        };
        let (Some(stream), Some(command), true) = (stream, command, errors.is_empty()) else {
            return Err(Wrong::Fields(errors));
        };

        let command = self.sealed(command, &stream).await.map_err(Wrong::Whole)?;

        let text = |name| entry.attribute(name).map(str::to_owned);
        let id = text("id").unwrap_or_else(|| identity.command_id().to_string());
        let own = write.header(id.clone());
        let header = Header {
            correlation: text("correlationid"),
            causation: text("causationid"),
            traceparent: traceparent.map(|trace| trace.to_string()).or(own.traceparent.clone()),
            not_before,
            expires,
            expected_version,
            ..own
        };
        let record = header.record(service, &stream, command.type_name, command.value);
        Ok(Envelope { id, service, record })
    }
}

/// Why an entry is not taken.
enum Wrong {
    Fields(Vec<FieldError>),
    Whole(Problem),
}

/// Attributes that are unknown, too long, or no text.
fn surplus(entry: &Entry) -> Vec<FieldError> {
    let wrong = |(name, value): (&String, &String)| {
        if !KNOWN.contains(&name.as_str()) {
            return Some(entry.attribute_error(name, "is unknown here"));
        }
        if !is_plain(value) {
            return Some(entry.attribute_error(name, "must not hold control characters"));
        }
        let too_long = value.len() > ATTRIBUTE_BYTES_MAX;
        too_long
            .then(|| entry.attribute_error(name, format_args!("has more than {ATTRIBUTE_BYTES_MAX} bytes")))
    };
    entry.attributes.iter().filter_map(wrong).collect()
}

fn parsed<T: std::str::FromStr>(
    entry: &Entry,
    name: &str,
    expected: &str,
    errors: &mut Vec<FieldError>,
) -> Option<T> {
    let value = entry.attribute(name)?.parse().ok();
    if value.is_none() {
        errors.push(entry.attribute_error(name, expected));
    }
    value
}

/// Over HTTP the stream is the subject.
fn stream(entry: &Entry, service: Service, errors: &mut Vec<FieldError>) -> Option<StreamId> {
    let subject = entry.attribute("subject").unwrap_or_default();
    let (stream, expected) = match service {
        Service::Functions => (FunctionName::of_stream(subject).map(FunctionName::stream), "function-<name>"),
        Service::Goods => (GoodsId::of_stream(subject).map(|id| id.stream()), "goods-<uuid>"),
        Service::Orders => (OrderId::of_stream(subject).map(|id| id.stream()), "order-<uuid>"),
        Service::Users => (UserId::of_stream(subject).map(|id| id.stream()), "user-<uuid>"),
    };
    if stream.is_none() {
        errors.push(
            entry.attribute_error("subject", format_args!("must be the stream: {expected}, in lower case")),
        );
    }
    stream
}
