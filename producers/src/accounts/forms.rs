//! What people say that is no command as it is, so not in the vocabulary: where a password or a token is among it, or code.

use std::marker::PhantomData;

use factfold_schemas::json::Validator;
use schemars::JsonSchema;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::invalid;
use crate::{functions::Deployment, problems::Problem};

/// All of them, each with its schema compiled.
pub(crate) struct Forms {
    pub(crate) registration: Form<Registration>,
    pub(crate) login: Form<Login>,
    pub(crate) refreshing: Form<Refreshing>,
    pub(crate) new_password: Form<NewPassword>,
    pub(crate) deployment: Form<Deployment>,
}

/// Reads one kind of them.
pub(crate) struct Form<B> {
    validator: Validator,
    body: PhantomData<fn() -> B>,
}

impl Forms {
    pub(crate) fn new() -> Self {
        Self {
            registration: Form::new(),
            login: Form::new(),
            refreshing: Form::new(),
            new_password: Form::new(),
            deployment: Form::new(),
        }
    }
}

impl<B: DeserializeOwned + JsonSchema> Form<B> {
    fn new() -> Self {
        Self { validator: Validator::of::<B>(), body: PhantomData }
    }

    /// What was said; or all that is wrong with it.
    pub(crate) fn read(&self, said: Value) -> Result<B, Problem> {
        let misfits = self.validator.misfits(&said);
        if !misfits.is_empty() {
            return Err(invalid(&misfits));
        }
        // What no schema can say. The error must not repeat what was said.
        serde_json::from_value(said).map_err(|_| Problem::new("invalid-fields", "the body does not fit"))
    }
}

/// What somebody says who wants an account.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Registration {
    /// The address with which the user will log in.
    #[schemars(length(min = 3, max = 254), extend("format" = "email"))]
    pub(crate) email: String,
    /// What the user is called.
    #[schemars(length(min = 1, max = 200))]
    pub(crate) name: String,
    /// 8 to 128 characters that are not easy to guess.
    #[schemars(length(min = 8, max = 128))]
    pub(crate) password: String,
}

/// What somebody says who wants to come in.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    /// The address of the account.
    #[schemars(length(min = 3, max = 254), extend("format" = "email"))]
    pub(crate) email: String,
    /// Its password.
    #[schemars(length(min = 1, max = 128))]
    pub(crate) password: String,
}

/// What somebody says who wants to go on.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refreshing {
    /// The refresh token, as it was given last.
    #[schemars(length(min = 1, max = 4096))]
    pub(crate) refresh_token: String,
}

/// What somebody says who wants another password.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPassword {
    /// The present password.
    #[schemars(length(min = 1, max = 128))]
    pub(crate) current_password: String,
    /// The one that it is to be: 8 to 128 characters that are not easy to guess.
    #[schemars(length(min = 8, max = 128))]
    pub(crate) new_password: String,
}
