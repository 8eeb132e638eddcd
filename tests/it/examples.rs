//! The examples in the documents: each is run against a whole system, and answered as the document says.

use std::collections::{BTreeMap, HashMap};

use factfold_producers::{
    access::{Operation, Role},
    documents::{Example, examples, openapi},
};
use factfold_schemas::{json::Validator, position::Position};
use reqwest::Method;
use serde_json::{Value, json};

use crate::system::{Answer, Client, System};

/// Every example of every route. (Seen failing with a header that was not there, and with a field too many in an example.)
#[tokio::test(flavor = "multi_thread")]
async fn every_example_is_answered_as_the_documents_say() {
    let system = System::start().await;
    let mut reader = Reader::new(&system);
    let mut waiting: Vec<(Operation, Example)> = examples()
        .into_iter()
        .flat_map(|(operation, examples)| {
            assert!(!examples.is_empty(), "{operation:?} has no example");
            examples.into_iter().map(move |example| (operation, example))
        })
        .collect();
    let kept: Vec<&str> =
        waiting.iter().flat_map(|(_, example)| &example.keeps).map(|(_, sample)| *sample).collect();
    while !waiting.is_empty() {
        // The first of the table of which nothing is missing: what it builds on has been run.
        let next = waiting.iter().position(|(operation, example)| {
            let text = spoken(*operation, example);
            let own = |sample: &str| example.keeps.iter().any(|(_, kept)| *kept == sample);
            kept.iter().all(|sample| own(sample) || !text.contains(sample) || reader.knows(sample))
        });
        let (operation, example) =
            waiting.remove(next.unwrap_or_else(|| panic!("these wait for each other: {waiting:?}")));
        reader.run(operation, &example).await;
    }
    system.stop().await;
}

/// All that an example says, in which samples may stand.
fn spoken(operation: Operation, example: &Example) -> String {
    format!("{:?} {example:?}", example.target(operation))
}

/// Somebody who reads the documents, and tries what they say.
struct Reader<'a> {
    system: &'a System,
    document: Value,
    clients: HashMap<Role, Client>,
    /// What the answers had in the place of the documents' samples.
    found: Vec<(&'static str, String)>,
    /// The last write in each partition.
    written: BTreeMap<String, Position>,
}

impl<'a> Reader<'a> {
    fn new(system: &'a System) -> Self {
        let (clients, found, written) = (HashMap::new(), Vec::new(), BTreeMap::new());
        Self { system, document: openapi(), clients, found, written }
    }

    fn knows(&self, sample: &str) -> bool {
        self.found.iter().any(|(known, _)| *known == sample)
    }

    fn filled(&self, text: &str) -> String {
        self.found.iter().fold(text.to_owned(), |text, (sample, real)| text.replace(sample, real))
    }

    fn client(&mut self, role: Option<Role>) -> Client {
        match role {
            None => self.system.impostor(None),
            Some(role) => self.clients.entry(role).or_insert_with(|| self.system.client(&[role])).clone(),
        }
    }

    async fn run(&mut self, operation: Operation, example: &Example) {
        let (method, path) = example.target(operation).expect("a route");
        let said = format!("{operation:?}, {}", example.name);
        let mut headers: Vec<(&str, String)> =
            example.headers.iter().map(|(name, value)| (*name, self.filled(value))).collect();
        headers.push(("content-type", example.media_type.to_owned()));
        // Somebody else may have written what this is about.
        let positions: Vec<_> = self.written.values().map(ToString::to_string).collect();
        if method == Method::GET && path.starts_with("/v1/") && !positions.is_empty() {
            headers.push(("factfold-at-least", positions.join(", ")));
        }
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let body = example.body.as_ref().map(|body| self.filled(&body.to_string()).parse().expect("JSON"));
        // An example that brings a token of its own is asked with that.
        let is_own = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        let client = self.client(example.role(operation).filter(|_| !is_own));
        let answer = client.ask(method.clone(), &self.filled(&path), body, &headers).await;
        assert_eq!(answer.status.as_u16(), example.status, "{said}: {}", answer.body);

        let (_, path) = operation.http().expect("a route");
        let described = &self.document["paths"][path][method.as_str().to_ascii_lowercase()];
        if let Some(body) = &example.body {
            self.fits(&described["requestBody"]["content"][example.media_type]["schema"], body, &said);
        }
        self.is_as_described(&described["responses"][answer.status.as_str()], &answer, &said);
        if let Some(shown) = &example.answer {
            assert!(same_shape(shown, &answer.body), "{said}: shown {shown}, answered {}", answer.body);
        }
        for (pointer, sample) in &example.keeps {
            let real = answer.body.pointer(pointer).and_then(Value::as_str);
            let real = real.unwrap_or_else(|| panic!("{said}: no {pointer} in {}", answer.body));
            self.found.push((sample, real.to_owned()));
        }
        if let Some(positions) = answer.headers.get("factfold-position") {
            for position in positions.to_str().expect("text").split(", ") {
                let position: Position = position.parse().expect("a position");
                self.written.insert(format!("{}/{}", position.topic, position.partition), position);
            }
        }
    }

    fn is_as_described(&self, described: &Value, answer: &Answer, said: &str) {
        for (name, header) in described["headers"].as_object().into_iter().flatten() {
            let header = self.document.pointer(&header["$ref"].as_str().expect("a reference")[1..]);
            let is_required = header.expect("a header")["required"] == true;
            assert!(!is_required || answer.headers.contains_key(name), "{said}: no {name}");
        }
        let Some(content) = described.get("content") else {
            assert_eq!(answer.body, "", "{said}: there is nothing to say");
            return;
        };
        let media_type = answer.header("content-type").split(';').next().expect("a media type");
        let schema =
            content.get(media_type).unwrap_or_else(|| panic!("{said}: {media_type} is not in {described}"));
        self.fits(&schema["schema"], &answer.body, said);
    }

    fn fits(&self, schema: &Value, value: &Value, said: &str) {
        let schema = json!({ "allOf": [schema], "components": self.document["components"] });
        let misfits = Validator::of_schema(&schema).misfits(value);
        assert!(misfits.is_empty(), "{said}: {misfits:?} in {value}");
    }
}

/// Whether both have the same fields of the same types. What is null, or an empty list, can be more another time.
fn same_shape(shown: &Value, real: &Value) -> bool {
    match (shown, real) {
        (Value::Object(shown), Value::Object(real)) => {
            shown.len() == real.len()
                && shown
                    .iter()
                    .all(|(name, shown)| real.get(name).is_some_and(|real| same_shape(shown, real)))
        }
        (Value::Array(shown), Value::Array(real)) => {
            real.iter().all(|real| shown.iter().any(|shown| same_shape(shown, real)))
        }
        (Value::Null, _) | (_, Value::Null) => true,
        (shown, real) => std::mem::discriminant(shown) == std::mem::discriminant(real),
    }
}
