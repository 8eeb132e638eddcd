//! What a function's context has besides the call's own: its settings, and its secrets, opened. Must never reach a log or a topic.

use std::collections::BTreeMap;

use factfold_schemas::functions::Function;
use factfold_vault::Vault;
use serde::Serialize;
use serde_json::{Value, json};

/// The configuration of a function at one version, as a part of its context.
pub(crate) struct Configured {
    version: u64,
    /// `{"settings":{…},"secrets":{…}`
    fields: String,
}

impl Configured {
    /// That of this function; nothing while the key of secrets is not known here. A secret that no key opens is left out, and our
    /// log says so.
    pub(crate) fn of(function: &Function, vault: &Vault) -> Option<Self> {
        if !function.configuration.secrets.is_empty() && !vault.can_open_secrets() {
            return None;
        }
        let mut secrets = BTreeMap::new();
        for (name, sealed) in &function.configuration.secrets {
            match vault.open_secret(function.name, name, sealed) {
                Some(secret) => drop(secrets.insert(name, secret)),
                None => tracing::warn!(
                    function.name = %function.name, secret = name,
                    "it was sealed for something else: the function does without it until it is set anew"
                ),
            }
        }
        let (settings, secrets) = (text(&function.configuration.settings), text(&secrets));
        let fields = format!(r#"{{"settings":{settings},"secrets":{secrets}"#);
        Some(Self { version: function.version, fields })
    }

    /// Whether it is still that of this function.
    pub(crate) fn is_of(&self, function: &Function) -> bool {
        self.version == function.version
    }

    /// The whole context: this, before what the call says, which is an object of JSON.
    pub(crate) fn before(&self, context: &str) -> String {
        let rest = context.strip_prefix('{').unwrap_or(context);
        let comma = if rest == "}" { "" } else { "," };
        format!("{}{comma}{rest}", self.fields)
    }
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("names and values are plain data")
}

/// As it is where nobody has configured anything.
pub(crate) fn without(context: &Value) -> Value {
    let mut context = context.clone();
    if let Value::Object(fields) = &mut context {
        for name in ["settings", "secrets"] {
            fields.entry(name).or_insert_with(|| json!({}));
        }
    }
    context
}

#[cfg(test)]
mod tests {
    use factfold_schemas::{
        functions::{Configuration, ConfigureFunction, FunctionName},
        personal::Personal,
    };
    use jiff::Timestamp;

    use super::*;

    fn function(name: &str, vault: &Vault) -> Function {
        let name: FunctionName = name.parse().expect("a name");
        let secret = Some(Personal::new("hush"));
        let mut command = ConfigureFunction {
            settings: [("currency".to_owned(), json!("EUR"))].into(),
            secrets: [("TOKEN".to_owned(), secret)].into(),
        };
        vault.protect_secrets(name, &mut command).expect("sealed");
        Function {
            name,
            version: 2,
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
            revision: Some(1),
            revisions: Vec::new(),
            binding: None,
            schedule: None,
            configuration: Configuration::default().after(&command).expect("it fits"),
        }
    }

    #[test]
    fn the_function_is_told_what_nobody_else_can_read() {
        let vault = Vault::in_memory().expect("a vault");
        let mut add = function("add", &vault);
        assert!(!json!(add).to_string().contains("hush"));
        let told = |function: &Function| -> Value {
            let context = Configured::of(function, &vault).expect("the key").before(r#"{"call":"1"}"#);
            serde_json::from_str(&context).expect("JSON")
        };
        let expected =
            json!({ "call": "1", "settings": { "currency": "EUR" }, "secrets": { "TOKEN": "hush" } });
        assert_eq!(told(&add), expected);
        assert!(
            serde_json::from_str::<Value>(&Configured::of(&add, &vault).expect("the key").before("{}"))
                .is_ok()
        );
        let elsewhere = Vault::in_memory().expect("another");
        assert!(Configured::of(&add, &elsewhere).is_none(), "it waits for the key");
        // Put into another's place it says nothing.
        add.name = "thief".parse().expect("a name");
        assert_eq!(told(&add)["secrets"], json!({}));
    }
}
