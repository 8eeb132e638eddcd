//! Arguments that more than one command takes.

use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use factfold_projections::Projection;
use factfold_schemas::{json, topics::Service};
use jiff::{SignedDuration, Timestamp};

/// `goods`, `orders`.
pub(super) fn service() -> impl TypedValueParser<Value = Service> {
    PossibleValuesParser::new(Service::ALL.map(Service::name)).try_map(|name| name.parse::<Service>())
}

/// `goods`, `orders`, `order_timeline` …
pub(super) fn projection() -> impl TypedValueParser<Value = Projection> {
    let names = Projection::ALL.map(Projection::name);
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Projection>())
}

/// The names of a family (`commands`, `events`) of a service, in the order of the alphabet.
pub(super) fn type_names(service: Service, family: &str) -> Vec<String> {
    let prefix = format!("{service}/{family}/");
    json::all().into_keys().filter_map(|path| type_name(path.strip_prefix(&prefix)?)).collect()
}

/// The names of the outcomes.
pub(super) fn outcome_names() -> Vec<String> {
    json::all().into_keys().filter_map(|path| type_name(path.strip_prefix("outcomes/")?)).collect()
}

fn type_name(file: &str) -> Option<String> {
    file.strip_suffix(".1.json").map(str::to_owned)
}

/// Refuses names that are not among the known ones, and says which are.
pub(super) fn check_types(given: &[String], known: &[String]) -> Result<(), crate::failure::Failure> {
    match given.iter().find(|name| !known.contains(name)) {
        None => Ok(()),
        Some(name) => Err(crate::failure::Failure::Usage(anyhow::anyhow!(
            "--type {name}: there is no such type here (known: {})",
            known.join(", ")
        ))),
    }
}

/// `5s`, `1h30m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok());
    parsed.ok_or_else(|| "expected a time as 5s, 2m or 1h30m".to_owned())
}

/// `2026-12-24T18:00:00Z`, or `15m`: so long from now.
pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    let from_now = || Timestamp::now().checked_add(duration(text).ok()?).ok();
    let moment = text.parse().ok().or_else(from_now);
    moment.ok_or_else(|| "expected a time as 2026-12-24T18:00:00Z, or how long from now, as 15m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_some_time_from_now() {
        assert_eq!(moment("2026-12-24T18:00:00Z").expect("a time").to_string(), "2026-12-24T18:00:00Z");
        let from_now = moment("15m").expect("a time").duration_since(Timestamp::now());
        assert!((14 * 60..=15 * 60).contains(&from_now.as_secs()));
        assert!(moment("tomorrow").is_err());
    }

    #[test]
    fn every_family_has_names() {
        assert!(type_names(Service::Orders, "commands").contains(&"PayOrder".to_owned()));
        assert!(type_names(Service::Goods, "events").contains(&"GoodsAdded".to_owned()));
        assert!(outcome_names().contains(&"Rejected".to_owned()));
    }
}
