//! JSON Schemas, generated from the types, one for each type of message. They are checked in under `schemas/json/`; the
//! gateway checks bodies against them, because it must name every bad field at once.

use std::collections::BTreeMap;

use jsonschema::PatternOptions;
use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Value, json};
use strum::VariantNames as _;

pub use crate::misfit::Misfit;
use crate::{
    codec::{DecodeError, Message, data_schema, decode_command, encode},
    email::NormalEmail,
    functions, goods,
    money::Currency,
    nul, orders, record,
    strangers::{Cost, Size},
    topics::Service,
    users,
};

/// How much is said of what is wrong with one value: nobody reads more, and somebody might send a million of it.
const MISFITS_MAX: usize = 100;
/// The most characters that are said of one place.
const DETAIL_CHARS_MAX: usize = 500;
/// How large a compiled pattern of somebody else's schema may be, in bytes.
const PATTERN_BYTES_MAX: usize = 64 * 1024;

/// How much work it may be to look whether a value fits somebody else's schema: some half a second.
const WORK_MAX: u64 = 10_000_000;
/// How many misfits there may be where they are looked for: each is a hundred times as dear as a look.
const MISFITS_FOUND_MAX: u64 = 100_000;
/// How much work may be done at once on a thread that others wait for.
const WORK_AT_ONCE_MAX: u64 = 100_000;

/// How much memory a part of a compiled schema takes, in bytes, about.
const PART_BYTES: u64 = 512;

/// A compiled schema.
#[derive(Debug)]
pub struct Validator {
    compiled: jsonschema::Validator,
    /// What it costs, if it is somebody else's.
    cost: Option<Cost>,
}

impl Validator {
    /// The validator of any type that has a schema.
    pub fn of<T: JsonSchema>() -> Self {
        Self::of_schema(&schema_of::<T>())
    }

    /// The validators of every type of command of a service, by name.
    pub fn of_commands(service: Service) -> BTreeMap<String, Self> {
        let schemas = match service {
            Service::Functions => split::<functions::Command>(service),
            Service::Goods => split::<goods::Command>(service),
            Service::Orders => split::<orders::Command>(service),
            Service::Users => split::<users::Command>(service),
        };
        schemas.into_iter().map(|(name, schema)| (name, Self::of_schema(&schema))).collect()
    }

    /// The validator of a schema that was generated from types.
    pub fn of_schema(schema: &Value) -> Self {
        let options = jsonschema::options()
            .should_validate_formats(true)
            .with_format("iso-4217", |text: &str| text.parse::<Currency>().is_ok())
            .with_format("email", |text: &str| NormalEmail::parse(text).is_ok());
        let compiled = options.build(schema).expect("a schema that was generated from a type");
        Self { compiled, cost: None }
    }

    /// The validator of a schema that somebody gave us: it reaches for nothing outside of itself, its patterns are matched in
    /// linear time, and what it costs is bounded ([`Cost`]).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of_stranger(schema: &Value) -> Result<Self, String> {
        let patterns =
            PatternOptions::regex().size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX);
        let options = jsonschema::options().with_pattern_options(patterns);
        let cost = Some(Cost::of(schema)?);
        let compiled = options.build(schema).map_err(|error| error.to_string())?;
        Ok(Self { compiled, cost })
    }

    /// Whether comparing this value takes longer than others should wait for.
    pub fn takes_long(&self, value: &Value) -> bool {
        self.cost.is_some_and(|cost| cost.work(Size::of(value)) > WORK_AT_ONCE_MAX)
    }

    /// How much memory it takes, in bytes, about.
    pub fn memory(&self) -> u64 {
        self.cost.map_or(0, |cost| cost.parts * PART_BYTES + cost.patterns * PATTERN_BYTES_MAX as u64)
    }

    /// What is wrong with this value, of the first hundred places; empty when it fits.
    pub fn misfits(&self, value: &Value) -> Vec<Misfit> {
        let mut misfits = self.all_misfits(value);
        misfits.truncate(MISFITS_MAX);
        for Misfit { detail, .. } in &mut misfits {
            if let Some((end, _)) = detail.char_indices().nth(DETAIL_CHARS_MAX) {
                detail.truncate(end);
                detail.push('…');
            }
        }
        misfits
    }

    fn all_misfits(&self, value: &Value) -> Vec<Misfit> {
        if let Some(cost) = self.cost {
            let size = Size::of(value);
            let whole = |detail: &str| vec![Misfit::new("", detail)];
            if cost.work(size) > WORK_MAX {
                return whole("it is too large to be compared with so large a schema");
            }
            if self.compiled.is_valid(value) {
                return nul::misfits(value);
            }
            if cost.misfits(size) > MISFITS_FOUND_MAX {
                return whole("it does not fit, and is too large to say where");
            }
        }
        let mut misfits =
            Misfit::all(&self.compiled.iter_errors(value).take(MISFITS_MAX).collect::<Vec<_>>());
        misfits.extend(nul::misfits(value));
        misfits
    }
}

/// Every schema of the system, by its path below `schemas/json/`.
pub fn all() -> BTreeMap<String, Value> {
    let families = [
        (Service::Functions, "commands", split::<functions::Command>(Service::Functions)),
        (Service::Functions, "events", split::<functions::Event>(Service::Functions)),
        (Service::Goods, "commands", split::<goods::Command>(Service::Goods)),
        (Service::Goods, "events", split::<goods::Event>(Service::Goods)),
        (Service::Orders, "commands", split::<orders::Command>(Service::Orders)),
        (Service::Orders, "events", split::<orders::Event>(Service::Orders)),
        (Service::Users, "commands", split::<users::Command>(Service::Users)),
        (Service::Users, "events", split::<users::Event>(Service::Users)),
    ];
    let mut all: BTreeMap<String, Value> = families
        .into_iter()
        .flat_map(|(service, family, schemas)| {
            schemas
                .into_iter()
                .map(move |(name, schema)| (format!("{service}/{family}/{name}.1.json"), schema))
        })
        .collect();
    for (name, mut schema) in variants::<record::Outcome>() {
        schema["$id"] = json!(format!("urn:factfold:outcomes:{name}:1"));
        all.insert(format!("outcomes/{name}.1.json"), schema);
    }
    all.insert("functions/Function.json".to_owned(), schema_of::<functions::Function>());
    all.insert("goods/Goods.json".to_owned(), schema_of::<goods::Goods>());
    all.insert("orders/Order.json".to_owned(), schema_of::<orders::Order>());
    all.insert("users/User.json".to_owned(), schema_of::<users::User>());
    all
}

/// The types of a service's events.
pub fn event_types(service: Service) -> &'static [&'static str] {
    match service {
        Service::Functions => functions::Event::VARIANTS,
        Service::Goods => goods::Event::VARIANTS,
        Service::Orders => orders::Event::VARIANTS,
        Service::Users => users::Event::VARIANTS,
    }
}

/// The types of a service's commands that only the system itself sends.
pub fn internal_types(service: Service) -> &'static [&'static str] {
    match service {
        Service::Functions => functions::Command::INTERNAL,
        Service::Goods => goods::Command::INTERNAL,
        Service::Orders => orders::Command::INTERNAL,
        Service::Users => users::Command::INTERNAL,
    }
}

/// A command's value as the types write it, so that equal commands have equal digests.
pub fn respelt_command(service: Service, type_name: &str, data: &Value) -> Result<Vec<u8>, DecodeError> {
    fn respelt<C: Message>(type_name: &str, data: &Value) -> Result<Vec<u8>, DecodeError> {
        decode_command::<C>(type_name, data.to_string().as_bytes()).map(|command| encode(&command))
    }
    match service {
        Service::Functions => respelt::<functions::Command>(type_name, data),
        Service::Goods => respelt::<goods::Command>(type_name, data),
        Service::Orders => respelt::<orders::Command>(type_name, data),
        Service::Users => respelt::<users::Command>(type_name, data),
    }
}

/// The schema of any type.
pub fn schema_of<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}

fn split<M: JsonSchema>(service: Service) -> BTreeMap<String, Value> {
    let mut schemas = variants::<M>();
    for (name, schema) in &mut schemas {
        schema["$id"] = json!(data_schema(service, name).to_string());
    }
    schemas
}

/// The schema of each variant of a message, by the variant's name: in serde's form an enum is `oneOf` objects that have
/// one property each, named like the variant.
fn variants<M: JsonSchema>() -> BTreeMap<String, Value> {
    let mut whole = schema_of::<M>();
    let dialect = whole["$schema"].clone();
    let variants = whole["oneOf"].as_array_mut().map(std::mem::take).unwrap_or_default();
    variants
        .into_iter()
        .filter_map(|mut variant| {
            let description = variant["description"].take();
            let properties = variant["properties"].as_object_mut()?;
            let (name, mut schema) = std::mem::take(properties).into_iter().next()?;
            schema["$schema"] = dialect.clone();
            schema["title"] = json!(name);
            schema["description"] = description;
            Some((name, schema))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_misfit_is_named_where_a_person_looks_for_it() {
        let commands = Validator::of_commands(Service::Goods);
        let value = json!({
            "name": "", "price": {"amount": -1, "currency": "XQZ"}, "colour": "red", "a/b": 1, "stock": null
        });
        let mut misfits = commands["AddGoods"].misfits(&value);
        misfits.sort_by(|a, b| a.pointer.cmp(&b.pointer));
        let said: Vec<_> = misfits.iter().map(|m| (m.pointer.as_str(), m.detail.as_str())).collect();
        assert_eq!(
            said,
            [
                ("/a~1b", "is unknown here: remove it, or check its spelling"),
                ("/colour", "is unknown here: remove it, or check its spelling"),
                ("/name", "must have at least 1 character(s)"),
                ("/price/amount", "must be at least 0, but -1 was given"),
                ("/price/currency", "must be a currency of ISO 4217 (as EUR), but \"XQZ\" was given"),
                ("/stock", "must be a whole number, but null was given"),
            ]
        );
        let price = commands["UpdateGoods"].misfits(&json!({"price": {"amount": 1, "currency": "eur"}}));
        assert_eq!(price.len(), 1, "{price:?}");
        assert!(price[0].detail.contains("ISO 4217"), "{price:?}");
        let missing = commands["AdjustStock"].misfits(&json!({"delta": 1}));
        assert_eq!(missing, [Misfit::new("/reason", "is missing")]);
    }

    #[test]
    fn every_command_that_says_something_about_a_person_is_known_to_be_personal() {
        let marked =
            |(name, schema): (String, Value)| schema.to_string().contains("x-personal").then_some(name);
        let personal: Vec<_> =
            split::<users::Command>(Service::Users).into_iter().filter_map(marked).collect();
        assert_eq!(personal, users::Command::PERSONAL);
    }
}
