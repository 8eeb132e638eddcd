//! What a function's context has besides a call's own: settings and secrets.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ConfigurationField, ConfigureFunction, Rejection, SETTINGS_BYTES_MAX, SETTINGS_MAX};
use crate::personal::Personal;

/// What a function's context has besides the call's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Configuration {
    /// Settings by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, Value>,
    /// Secrets by their names, each sealed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, Personal>,
}

impl Configuration {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.settings.is_empty() && self.secrets.is_empty()
    }

    /// What it is after this command.
    ///
    /// # Errors
    /// When a name is none, there is too much, or a secret is not sealed.
    pub fn after(&self, command: &ConfigureFunction) -> Result<Self, Rejection> {
        let invalid = |field, detail: String| Rejection::InvalidConfiguration { field, detail };
        let names = command.settings.keys().map(|name| (ConfigurationField::Settings, name));
        let names = names.chain(command.secrets.keys().map(|name| (ConfigurationField::Secrets, name)));
        for (field, name) in names {
            if !is_setting_name(name) {
                let name: String = name.chars().take(60).collect();
                let detail = format!(
                    "`{name}` is no name: use up to 64 letters, digits and `_`, not beginning with a digit"
                );
                return Err(invalid(field, detail));
            }
        }
        let mut after = self.clone();
        for (name, value) in &command.settings {
            if value.is_null() {
                after.settings.remove(name);
            } else {
                after.settings.insert(name.clone(), value.clone());
            }
        }
        for (name, secret) in &command.secrets {
            match secret {
                None => drop(after.secrets.remove(name)),
                Some(secret) if secret.is_sealed() => {
                    drop(after.secrets.insert(name.clone(), secret.clone()))
                }
                Some(_) => {
                    return Err(invalid(ConfigurationField::Secrets, format!("`{name}` is not sealed")));
                }
            }
        }
        let too_much =
            format!("a function has at most {SETTINGS_MAX}, and {SETTINGS_BYTES_MAX} bytes of them together");
        let bytes = |value: Result<String, _>| value.map_or(usize::MAX, |text: String| text.len());
        let is_too_much = |count, text| count > SETTINGS_MAX || bytes(text) > SETTINGS_BYTES_MAX;
        if is_too_much(after.settings.len(), serde_json::to_string(&after.settings)) {
            return Err(invalid(ConfigurationField::Settings, too_much));
        }
        if is_too_much(after.secrets.len(), serde_json::to_string(&after.secrets)) {
            return Err(invalid(ConfigurationField::Secrets, too_much));
        }
        Ok(after)
    }
}

/// What a setting or a secret can be called, in every language of functions.
fn is_setting_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
