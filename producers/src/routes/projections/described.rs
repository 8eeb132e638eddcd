//! What the routes of projections say about themselves.

use serde_json::json;

use super::Progress;
use crate::documents::{components::Components, description::Description, example::Example};

pub(in crate::routes) fn list(components: &mut Components) -> Description {
    let item = components.of::<Progress>();
    Description::plain("List read models, and how far each has come")
        .lists(&item)
        .refused(&["invalid-parameter", "not-implemented", "read-side-unavailable"])
        .example(Example::of("All").answer(json!({
            "items": [{
                "name": "goods",
                "version": 1,
                "failure": null,
                "partitions": [{ "topic": "goods.events", "partition": 1, "next_offset": 42, "decided": "goods.commands/1@17" }],
            }],
            "next": null,
        })))
}
