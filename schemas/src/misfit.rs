//! What does not fit a schema, in words for the person who sent it. It must never show more of the value than the one
//! place that is wrong.

use jsonschema::{ValidationError, error::ValidationErrorKind as Kind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::email::InvalidEmail;

/// A value that does not fit its schema, in one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Misfit {
    /// JSON pointer to the place.
    pub pointer: String,
    /// What is wrong there.
    pub detail: String,
}

impl Misfit {
    /// What is wrong at this place.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }

    /// What is wrong with one place is said once: its format says more than the pattern behind it.
    pub(crate) fn all(errors: &[ValidationError<'_>]) -> Vec<Self> {
        let is_pattern = |error: &ValidationError<'_>| matches!(error.kind(), Kind::Pattern { .. });
        let is_said = |error: &ValidationError<'_>| {
            let same_place = |other: &&ValidationError<'_>| other.instance_path() == error.instance_path();
            is_pattern(error) && errors.iter().filter(same_place).any(|other| !is_pattern(other))
        };
        errors.iter().filter(|error| !is_said(error)).flat_map(Self::from_error).collect()
    }

    /// In the validator's words the place of a missing or unknown field is the object around it; a person looks for it at
    /// the field.
    fn from_error(error: &ValidationError<'_>) -> Vec<Self> {
        let place = error.instance_path().to_string();
        match error.kind() {
            Kind::Required { property } => {
                vec![Self::new(child(&place, property.as_str().unwrap_or_default()), "is missing")]
            }
            Kind::AdditionalProperties { unexpected } => unexpected
                .iter()
                .map(|name| {
                    Self::new(child(&place, name), "is unknown here: remove it, or check its spelling")
                })
                .collect(),
            kind => vec![Self::new(place, sentence(kind, error))],
        }
    }
}

fn sentence(kind: &Kind, error: &ValidationError<'_>) -> String {
    let given = error.instance();
    match kind {
        Kind::Type { .. } => {
            format!("{error_type}, but {} was given", shown(given), error_type = expected(error))
        }
        Kind::Minimum { limit } => format!("must be at least {limit}, but {} was given", shown(given)),
        Kind::Maximum { limit } => format!("must be at most {limit}, but {} was given", shown(given)),
        Kind::MinLength { limit } => format!("must have at least {limit} character(s)"),
        Kind::MaxLength { limit } => format!("must have at most {limit} characters"),
        Kind::MinItems { limit } => format!("must have at least {limit} item(s)"),
        Kind::MaxItems { limit } => format!("must have at most {limit} items"),
        // Where nothing may be said, every field is one too many.
        Kind::FalseSchema => "is unknown here: remove it, or check its spelling".to_owned(),
        Kind::Format { format } if format == "uuid" => {
            format!("must be a UUID, but {} was given", shown(given))
        }
        Kind::Format { format } if format == "iso-4217" => {
            format!("must be a currency of ISO 4217 (as EUR), but {} was given", shown(given))
        }
        Kind::Format { format } if format == "email" => InvalidEmail.to_string(),
        _ => error.to_string(),
    }
}

fn expected(error: &ValidationError<'_>) -> String {
    match error.kind() {
        Kind::Type { kind: jsonschema::error::TypeKind::Single(kind) } => match kind.to_string().as_str() {
            "integer" => "must be a whole number".to_owned(),
            "object" => "must be an object".to_owned(),
            "array" => "must be a list".to_owned(),
            "string" => "must be a text".to_owned(),
            other => format!("must be a {other}"),
        },
        _ => "has the wrong type".to_owned(),
    }
}

/// A scalar as it came, shortened; of anything larger only what it is.
fn shown(value: &Value) -> String {
    match value {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::String(text) if text.chars().count() > 60 => {
            format!("\"{}…\"", text.chars().take(60).collect::<String>())
        }
        scalar => scalar.to_string(),
    }
}

pub(crate) fn child(place: &str, name: &str) -> String {
    format!("{place}/{}", name.replace('~', "~0").replace('/', "~1"))
}
