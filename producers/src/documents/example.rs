//! Examples: requests that are shown in the documents, and run by a test against a whole system, in the order of the table.
//! They build on each other: what an answer calls by a fresh id is called by a sample in the documents, and whoever runs the
//! examples puts the one in the place of the other.

use axum::http::Method;
use serde_json::Value;

use crate::{
    access::{Operation, Role, Who},
    reading::body::JSON,
};

/// A request, and what its answer looks like.
#[derive(Debug, Clone)]
pub struct Example {
    /// What it shows, in a few words.
    pub name: &'static str,
    /// Who asks; without it, somebody who may.
    by: Option<Role>,
    /// What stands in the path, by the parameter's name.
    pub(crate) path: Vec<(&'static str, &'static str)>,
    /// The parameters of the query.
    pub(crate) query: Vec<(&'static str, &'static str)>,
    /// More headers.
    pub headers: Vec<(&'static str, &'static str)>,
    /// The body's media type.
    pub media_type: &'static str,
    /// The body.
    pub body: Option<Value>,
    /// The status of the answer.
    pub status: u16,
    /// An answer of the same shape; nothing of one that is no JSON.
    pub answer: Option<Value>,
    /// Where the answer has what later examples call by a sample: a JSON pointer, and that sample.
    pub keeps: Vec<(&'static str, &'static str)>,
}

impl Example {
    /// An example that is answered with 200.
    pub(crate) fn of(name: &'static str) -> Self {
        Self {
            name,
            by: None,
            path: Vec::new(),
            query: Vec::new(),
            headers: Vec::new(),
            media_type: JSON,
            body: None,
            status: 200,
            answer: None,
            keeps: Vec::new(),
        }
    }

    /// With the role of the one who asks.
    pub(crate) fn by(mut self, role: Role) -> Self {
        self.by = Some(role);
        self
    }

    /// About the resource with this id.
    pub(crate) fn about(self, id: &'static str) -> Self {
        self.path("id", id)
    }

    /// With this in the path.
    pub(crate) fn path(mut self, name: &'static str, value: &'static str) -> Self {
        self.path.push((name, value));
        self
    }

    /// With this parameter.
    pub(crate) fn query(mut self, name: &'static str, value: &'static str) -> Self {
        self.query.push((name, value));
        self
    }

    /// With this header.
    pub(crate) fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// With this body.
    pub(crate) fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// With a body of this media type.
    pub(crate) fn body_as(mut self, media_type: &'static str, body: Value) -> Self {
        self.media_type = media_type;
        self.body(body)
    }

    /// Answered with this status.
    pub(crate) fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Answered like this.
    pub(crate) fn answer(mut self, answer: impl serde::Serialize) -> Self {
        self.answer = Some(serde_json::to_value(answer).expect("an answer is plain data"));
        self
    }

    /// The answer names here what the documents call by this sample.
    pub(crate) fn keeps(mut self, pointer: &'static str, sample: &'static str) -> Self {
        self.keeps.push((pointer, sample));
        self
    }

    /// The role of the one who asks; `None` of whoever needs no token.
    pub fn role(&self, operation: Operation) -> Option<Role> {
        self.by.or(match operation.who() {
            Who::Everyone | Who::System => None,
            Who::Owner => Some(Role::Customer),
            Who::Roles(roles) => roles.first().copied(),
        })
    }

    /// The method, and the path with its query.
    pub fn target(&self, operation: Operation) -> Option<(Method, String)> {
        let (method, path) = operation.http()?;
        let filled = |path: String, (name, value): &(&str, &str)| path.replace(&format!("{{{name}}}"), value);
        let path = self.path.iter().fold(path.to_owned(), filled);
        let query: Vec<_> = self.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Some((method, if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }))
    }
}
