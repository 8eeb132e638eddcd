//! Which commands there are, and whether one is fit to be sent. The same rules as the gateway's: whatever is wrong with a
//! body is named at once, before anything is written.

use std::collections::BTreeMap;

use factfold_schemas::{
    command::VALUE_BYTES_MAX,
    functions::FunctionName,
    ids::{EmailId, GoodsId, OrderId, StreamId, UserId},
    json::{Misfit, Validator, internal_types, respelt_command},
    topics::Service,
};
use serde_json::Value;
use uuid::Uuid;

/// The commands that may be sent.
#[derive(Debug)]
pub(crate) struct Vocabulary(BTreeMap<String, (Service, Validator)>);

/// A command that fits: where it goes, and its value as it is stored.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) service: Service,
    pub(crate) type_name: String,
    pub(crate) stream: StreamId,
    pub(crate) value: Vec<u8>,
}

impl Vocabulary {
    /// Those that people send.
    pub(crate) fn new() -> Self {
        let mut all = Self::with_internal();
        all.0.retain(|name, (service, _)| !internal_types(*service).contains(&name.as_str()));
        all
    }

    /// Also those that only the system's own reactors and timers send.
    pub(crate) fn with_internal() -> Self {
        let of_service = |service| {
            let validators = Validator::of_commands(service).into_iter();
            validators.map(move |(name, validator)| (name, (service, validator)))
        };
        Self(Service::ALL.into_iter().flat_map(of_service).collect())
    }

    /// The service that decides commands of this type.
    pub(crate) fn service(&self, type_name: &str) -> Result<Service, Misfit> {
        let (service, _) = self.0.get(type_name).ok_or_else(|| {
            let known = self.0.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            Misfit::new("/type", format!("`{type_name}` is no command that can be sent (known: {known})"))
        })?;
        Ok(*service)
    }

    /// Checks a command, and names everything that is wrong. Without a stream, a creating one gets `fresh` as its id.
    pub(crate) fn check(
        &self,
        type_name: &str,
        stream: Option<&str>,
        fresh: Uuid,
        data: &Value,
    ) -> Result<Checked, Vec<Misfit>> {
        let service = self.service(type_name).map_err(|misfit| vec![misfit])?;
        let mut misfits =
            self.0.get(type_name).map_or_else(Vec::new, |(_, validator)| validator.misfits(data));
        for misfit in &mut misfits {
            misfit.pointer.insert_str(0, "/data");
        }
        let stream = stream_of(service, type_name, stream, fresh).map_err(|misfit| misfits.push(misfit)).ok();
        let (Some(stream), true) = (stream, misfits.is_empty()) else { return Err(misfits) };
        let value = respelt_command(service, type_name, data)
            .map_err(|error| vec![Misfit::new("/data", error.to_string())])?;
        if value.len() > VALUE_BYTES_MAX {
            let detail = format!("has {} bytes: at most {VALUE_BYTES_MAX} are taken", value.len());
            return Err(vec![Misfit::new("/data", detail)]);
        }
        Ok(Checked { service, type_name: type_name.to_owned(), stream, value })
    }
}

/// The stream that is meant: as it was named, by its bare UUID, or a fresh one.
fn stream_of(
    service: Service,
    type_name: &str,
    given: Option<&str>,
    fresh: Uuid,
) -> Result<StreamId, Misfit> {
    let Some(given) = given else {
        return match (service, type_name) {
            (Service::Goods, "AddGoods") => Ok(GoodsId::new(fresh).stream()),
            (Service::Orders, "CreateOrder") => Ok(OrderId::new(fresh).stream()),
            _ => Err(Misfit::new(
                "/stream",
                format!("is missing: {type_name} is about something that is there"),
            )),
        };
    };
    let uuid = Uuid::try_parse(given).ok();
    let known = match service {
        Service::Functions => {
            given.parse().ok().or_else(|| FunctionName::of_stream(given)).map(FunctionName::stream)
        }
        Service::Goods => uuid.map(GoodsId::new).or_else(|| GoodsId::of_stream(given)).map(GoodsId::stream),
        Service::Orders => uuid.map(OrderId::new).or_else(|| OrderId::of_stream(given)).map(OrderId::stream),
        Service::Users => uuid
            .map(UserId::new)
            .or_else(|| UserId::of_stream(given))
            .map(UserId::stream)
            .or_else(|| EmailId::of_stream(given).map(EmailId::stream)),
    };
    known.ok_or_else(|| {
        Misfit::new("/stream", format!("`{given}` is no stream of the {service} service, nor a UUID"))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn misfits(type_name: &str, stream: Option<&str>, data: Value) -> Vec<String> {
        let misfits = Vocabulary::new().check(type_name, stream, Uuid::now_v7(), &data).expect_err("refused");
        misfits.into_iter().map(|misfit| misfit.pointer).collect()
    }

    #[test]
    fn everything_that_is_wrong_is_named_at_once() {
        let data = json!({"amount": {"amount": -1, "currency": "XQZ"}, "colour": "red"});
        let mut named = misfits("PayOrder", None, data);
        named.sort();
        assert_eq!(
            named,
            ["/data/amount/amount", "/data/amount/currency", "/data/colour", "/data/method", "/stream"]
        );
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        assert_eq!(misfits("SellGoods", None, json!({})), ["/type"]);
        assert_eq!(misfits("ExpireOrder", None, json!({})), ["/type"]);
        let goods = GoodsId::generate().stream();
        assert_eq!(misfits("CancelOrder", Some(goods.as_str()), json!({"reason": "x"})), ["/stream"]);
    }

    #[test]
    fn a_stream_can_be_named_by_its_uuid_or_be_fresh() {
        let vocabulary = Vocabulary::new();
        let id = OrderId::generate();
        let check = |name: &str, stream: Option<&str>, data: Value| {
            vocabulary.check(name, stream, Uuid::now_v7(), &data)
        };
        let cancel = |stream: &str| check("CancelOrder", Some(stream), json!({"reason": "x"}));
        assert_eq!(cancel(&id.to_string()).expect("a command").stream, id.stream());
        assert_eq!(cancel(id.stream().as_str()).expect("a command").stream, id.stream());
        let tea = json!({"name": "Tea", "price": {"amount": 250, "currency": "EUR"}, "stock": 1});
        let added = check("AddGoods", None, tea).expect("a command");
        assert!(GoodsId::of_stream(added.stream.as_str()).is_some());
    }
}
