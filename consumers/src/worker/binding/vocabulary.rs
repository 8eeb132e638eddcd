//! Which commands a function may send. It acts in the name of the system, for anyone, so it must not get whoever deployed it
//! more than what the domain's commands do: no other functions, no roles, nothing that only reactors and checked passwords may.

use std::{collections::BTreeMap, sync::LazyLock};

use factfold_schemas::{
    command::VALUE_BYTES_MAX,
    ids::StreamId,
    json::{Misfit, Validator, internal_types, respelt_command},
    topics::Service,
};
use serde_json::Value;

/// Every type of command there is. Compiled once, whatever number of bindings there is.
static ALL: LazyLock<BTreeMap<String, (Service, Validator)>> = LazyLock::new(|| {
    let of_service = |service| {
        let validators = Validator::of_commands(service).into_iter();
        validators.map(move |(name, validator)| (name, (service, validator)))
    };
    Service::ALL.into_iter().flat_map(of_service).collect()
});

/// A command that fits: where it goes, and its value as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checked {
    pub(super) service: Service,
    pub(super) type_name: String,
    pub(super) stream: StreamId,
    pub(super) value: Vec<u8>,
}

/// Checks a command, and names everything that is wrong with it by its place below the command's own.
pub(super) fn check(type_name: &str, stream: &str, data: &Value) -> Result<Checked, Vec<Misfit>> {
    let refused = |pointer, detail: String| Err(vec![Misfit::new(pointer, detail)]);
    let Some((service, validator)) = ALL.get(type_name) else {
        let known = ALL.iter().filter(|(name, (service, _))| why_not(*service, name).is_none());
        let known = known.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        return refused("/type", format!("is no type of command (known: {known})"));
    };
    if let Some(why) = why_not(*service, type_name) {
        return refused("/type", format!("{type_name} cannot be sent by a function: {why}"));
    }
    let mut misfits = validator.misfits(data);
    misfits.iter_mut().for_each(|misfit| misfit.pointer.insert_str(0, "/data"));
    if Service::of_stream(stream) != Some(*service) {
        misfits.push(Misfit::new("/stream", format!("is no stream of the {service} service")));
    }
    if !misfits.is_empty() {
        return Err(misfits);
    }
    let value = match respelt_command(*service, type_name, data) {
        Ok(value) => value,
        Err(error) => return refused("/data", error.to_string()),
    };
    if value.len() > VALUE_BYTES_MAX {
        let bytes = value.len();
        return refused("/data", format!("has {bytes} bytes: at most {VALUE_BYTES_MAX} are taken"));
    }
    Ok(Checked { service: *service, type_name: type_name.to_owned(), stream: StreamId::new(stream), value })
}

/// Why functions must not send commands of this type.
fn why_not(service: Service, type_name: &str) -> Option<&'static str> {
    if internal_types(service).contains(&type_name) {
        Some("only the system itself does")
    } else if service == Service::Users {
        Some("accounts, and what people may, are people's own affair")
    } else if service == Service::Functions {
        Some("functions are deployed and bound by people")
    } else {
        None
    }
}
