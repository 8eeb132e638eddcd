//! What the routes of documents say about themselves.

use serde_json::{Value, json};

use crate::{
    documents::{
        components::Components,
        description::{Answer, Description, Place},
        example::Example,
    },
    reading::body::JSON,
};

pub(in crate::routes) fn openapi(_: &mut Components) -> Description {
    file("Show this document", &[JSON], json!({ "type": "object" })).example(Example::of("All"))
}

pub(in crate::routes) fn asyncapi(_: &mut Components) -> Description {
    file("Show the AsyncAPI document of the topics", &[JSON], json!({ "type": "object" }))
        .example(Example::of("All"))
}

pub(in crate::routes) fn page(_: &mut Components) -> Description {
    file("Read this document as a page", &["text/html"], json!({ "type": "string" }))
        .example(Example::of("All"))
}

pub(in crate::routes) fn asset(_: &mut Components) -> Description {
    let (kinds, name) = (["text/css", "text/javascript", "image/png"], json!({ "type": "string" }));
    file("Fetch a file of that page", &kinds, json!({ "type": "string" }))
        .parameter(Place::Path, "name", true, "The file's name.", name)
        .refused(&["not-found"])
        .example(Example::of("Its style").path("name", "swagger-ui.css"))
}

fn file(summary: &'static str, media_types: &[&'static str], schema: Value) -> Description {
    Description::plain(summary)
        .common("If-None-Match")
        .refused(&["invalid-header"])
        .answers(Answer {
            status: 200,
            description: "As it is.",
            content: media_types.iter().map(|media_type| (*media_type, schema.clone())).collect(),
            headers: vec!["ETag"],
        })
        .not_modified()
}
