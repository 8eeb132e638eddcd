//! What the routes of projections say about themselves.

use factfold_projections::Projection;
use serde_json::json;

use super::{Progress, Rebuild};
use crate::{
    documents::{
        components::Components,
        description::{Answer, Description, Place},
        example::Example,
    },
    reading::body::JSON,
};

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

pub(in crate::routes) fn rebuild(components: &mut Components) -> Description {
    let names = Projection::ALL.map(Projection::name);
    Description::plain("Build a read model anew")
        .detail(
            "Beside the one that is shown, from the first event on; it is shown once it has come as far. Where that is under \
             way already, nothing new is begun.",
        )
        .parameter(Place::Path, "name", true, "The read model.", json!({ "type": "string", "enum": names }))
        .answers(Answer {
            status: 202,
            description: "It is under way.",
            content: vec![(JSON, components.of::<Rebuild>())],
            headers: Vec::new(),
        })
        .refused(&["not-found", "invalid-parameter", "read-side-unavailable"])
        .example(
            Example::of("The goods")
                .path("name", "goods")
                .status(202)
                .answer(json!({ "name": "goods", "version": 2 })),
        )
}
