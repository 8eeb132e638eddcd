//! What a route says about itself: what it takes, what it answers, how it refuses, and examples. The handler of a route and
//! its description stand in one line of [`crate::routes`], so neither can be there without the other.

use serde_json::{Value, json};

use super::{components::Components, example::Example};
use crate::{
    answers::Undecided,
    reading::body::{JSON, MERGE_PATCH},
};

/// A route, described.
#[derive(Debug)]
pub(crate) struct Description {
    pub(crate) summary: &'static str,
    /// More, where a sentence is not enough; Markdown.
    pub(crate) detail: &'static str,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) body: Option<Body>,
    pub(crate) answers: Vec<Answer>,
    /// Names of the catalogue. What the access rule of the route brings is added by itself.
    pub(crate) problems: Vec<&'static str>,
    pub(crate) examples: Vec<Example>,
}

/// A parameter of a request.
#[derive(Debug, Clone)]
pub(crate) enum Parameter {
    /// One that several routes have: a name in `components.parameters`.
    Common(&'static str),
    /// One of this route.
    Own { name: String, place: Place, is_required: bool, schema: Value },
}

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub(crate) enum Place {
    Path,
    Query,
    Header,
}

/// The body of a request.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) is_required: bool,
    /// Media types with their schemas.
    pub(crate) content: Vec<(&'static str, Value)>,
}

/// An answer that is no problem.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) description: &'static str,
    /// The media types with their schemas; none of an answer without a body.
    pub(crate) content: Vec<(&'static str, Value)>,
    /// Names in `components.headers`.
    pub(crate) headers: Vec<&'static str>,
}

impl Description {
    /// A route that asks nothing but the gateway itself.
    pub(crate) fn plain(summary: &'static str) -> Self {
        Self {
            summary,
            detail: "",
            parameters: Vec::new(),
            body: None,
            answers: Vec::new(),
            problems: vec!["internal-error"],
            examples: Vec::new(),
        }
    }

    /// A route that asks a read model.
    pub(crate) fn read(summary: &'static str) -> Self {
        Self::plain(summary).common("Factfold-At-Least").refused(&[
            "unauthenticated",
            "invalid-header",
            "invalid-parameter",
            "invalid-position",
            "not-implemented",
            "read-behind",
            "read-side-unavailable",
            "too-many-waiting",
        ])
    }

    /// A route that sends one command, and waits for its decision.
    pub(crate) fn write(summary: &'static str, components: &mut Components) -> Self {
        let mut write = Self::plain(summary).common("Idempotency-Key").common("Prefer").refused(&[
            "invalid-json",
            "invalid-header",
            "invalid-parameter",
            "request-timeout",
            "body-too-large",
            "unsupported-media-type",
            "invalid-fields",
            "command-id-reused",
            "not-implemented",
            "too-many-waiting",
            "storage-unavailable",
            "outcome-unknown",
        ]);
        write.answers.push(Answer {
            status: 202,
            description: "Stored, but not decided in time: ask at `Location` what became of it.",
            content: vec![(JSON, components.of::<Undecided>())],
            headers: vec!["Factfold-Position", "Location", "Preference-Applied"],
        });
        write
    }

    /// Says more, in Markdown.
    pub(crate) fn detail(mut self, detail: &'static str) -> Self {
        self.detail = detail;
        self
    }

    /// Has a parameter that other routes have too.
    pub(crate) fn common(mut self, name: &'static str) -> Self {
        self.parameters.push(Parameter::Common(name));
        self
    }

    /// Has a parameter of its own.
    pub(crate) fn parameter(
        mut self,
        place: Place,
        name: &str,
        is_required: bool,
        description: &str,
        mut schema: Value,
    ) -> Self {
        schema["description"] = json!(description);
        self.parameters.push(Parameter::Own { name: name.to_owned(), place, is_required, schema });
        self
    }

    /// Has the id of a resource in its path. One that is not there is a problem of this name.
    pub(crate) fn about(self, what: &str, missing: &'static str) -> Self {
        let schema = json!({ "type": "string", "format": "uuid" });
        self.parameter(Place::Path, "id", true, what, schema).refused(&["not-found", missing])
    }

    /// Has the parameters that the handler reads from the query.
    pub(crate) fn query(mut self, parameters: Vec<Parameter>) -> Self {
        self.parameters.extend(parameters);
        self
    }

    /// Takes JSON.
    pub(crate) fn body(mut self, schema: Value) -> Self {
        self.body = Some(Body { is_required: true, content: vec![(JSON, schema)] });
        self
    }

    /// Takes JSON, or nothing at all.
    pub(crate) fn body_or_nothing(mut self, schema: Value) -> Self {
        self.body = Some(Body { is_required: false, content: vec![(JSON, schema)] });
        self
    }

    /// Takes a patch: fields that are absent stay as they are.
    pub(crate) fn patch(mut self, schema: Value) -> Self {
        let content = vec![(MERGE_PATCH, schema.clone()), (JSON, schema)];
        self.body = Some(Body { is_required: true, content });
        self
    }

    /// Answers with this.
    pub(crate) fn answers(mut self, answer: Answer) -> Self {
        self.answers.push(answer);
        self
    }

    /// Answers 200 with this JSON.
    pub(crate) fn gives(self, description: &'static str, schema: Value) -> Self {
        self.answers(Answer { status: 200, description, content: vec![(JSON, schema)], headers: Vec::new() })
    }

    /// A read of one resource: 304 when the client has it already.
    pub(crate) fn shows(self, schema: Value) -> Self {
        let (description, headers) = ("As it is.", vec!["ETag"]);
        self.common("If-None-Match")
            .answers(Answer { status: 200, description, content: vec![(JSON, schema)], headers })
            .not_modified()
    }

    /// Answers 304 to whoever has it already.
    pub(crate) fn not_modified(self) -> Self {
        self.answers(Answer {
            status: 304,
            description: "The client has it already.",
            content: Vec::new(),
            headers: vec!["ETag"],
        })
    }

    /// A read of a page of a list.
    pub(crate) fn lists(self, item: &Value) -> Self {
        self.answers(Answer {
            status: 200,
            description: "A page. `next` goes into `after` of the request for the next one; it is null on the last.",
            content: vec![(JSON, Self::page(item))],
            headers: vec!["Link"],
        })
    }

    /// The schema of a page.
    pub(crate) fn page(item: &Value) -> Value {
        json!({
            "type": "object",
            "properties": {
                "items": { "type": "array", "items": item },
                "next": { "type": ["string", "null"] },
            },
            "required": ["items", "next"],
        })
    }

    /// A write that makes a resource.
    pub(crate) fn creates(self, schema: Value) -> Self {
        let headers = vec!["Location", "ETag", "Factfold-Position", "Preference-Applied"];
        self.decided(201, "Made.", schema.clone(), headers)
    }

    /// A write that changes a resource.
    pub(crate) fn changes(self, schema: Value) -> Self {
        self.common("If-Match").refused(&["version-mismatch"]).decided(
            200,
            "As the decision left it; also when it was so already.",
            schema,
            vec!["ETag", "Factfold-Position", "Preference-Applied"],
        )
    }

    fn decided(
        mut self,
        status: u16,
        description: &'static str,
        schema: Value,
        headers: Vec<&'static str>,
    ) -> Self {
        self.answers.insert(0, Answer { status, description, content: vec![(JSON, schema)], headers });
        self
    }

    /// Refuses with these problems.
    pub(crate) fn refused(mut self, names: &[&'static str]) -> Self {
        self.problems.extend(names);
        self
    }

    /// Shows how it is used.
    pub(crate) fn example(mut self, example: Example) -> Self {
        self.examples.push(example);
        self
    }
}
