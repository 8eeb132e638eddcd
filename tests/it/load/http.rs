//! One client over HTTP: it repeats under the same key what was not answered, until it is.

use std::time::Instant;

use factfold_checker::checks::told::{Answer, Told};
use factfold_schemas::position::Position;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;
use uuid::Uuid;

use super::{Dice, Load};

/// A client with its token.
pub(crate) struct Session<'a> {
    pub(crate) load: &'a Load,
    pub(crate) token: String,
    pub(crate) client: Client,
}

/// What a request says.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Value,
    pub(crate) key: String,
}

impl Wanted {
    pub(crate) fn post(path: impl Into<String>, body: Value) -> Self {
        Self { method: Method::POST, path: path.into(), body, key: Uuid::new_v4().to_string() }
    }

    pub(crate) fn patch(path: impl Into<String>, body: Value) -> Self {
        Self { method: Method::PATCH, ..Self::post(path, body) }
    }
}

impl Session<'_> {
    /// Writes, as clients do: mostly once, now and then again under the same key, one after the other or at the same
    /// time; and now and then something else under that key. Gives the resource and its position, if it is done.
    pub(crate) async fn write(&self, dice: &mut Dice, wanted: &Wanted) -> Option<(Value, Position)> {
        if dice.one_in(12) {
            let (one, other) = tokio::join!(self.write_once(wanted), self.write_once(wanted));
            return one.or(other);
        }
        let answer = self.write_once(wanted).await;
        if dice.one_in(6) {
            self.write_once(wanted).await;
        }
        if dice.one_in(30) && wanted.body.get("reason").is_some() {
            let mut other = wanted.clone();
            other.body["reason"] = Value::from("another under a used key");
            self.write_once(&other).await;
        }
        answer
    }

    /// Writes until there is an answer.
    async fn write_once(&self, wanted: &Wanted) -> Option<(Value, Position)> {
        loop {
            let address = self.load.address().await;
            let request = self.client.request(wanted.method.clone(), format!("{address}{}", wanted.path));
            let request = request.header("idempotency-key", &wanted.key).json(&wanted.body);
            let asked = Instant::now();
            let Some((status, position, body)) = self.send(request).await else {
                self.load.moment().await;
                continue;
            };
            let name = body["type"].as_str().and_then(|name| name.strip_prefix("/problems/"));
            let name = name.unwrap_or_default().to_owned();
            let command_id = body["command_id"].as_str().map(str::to_owned);
            let Some(position) = position.and_then(|position| position.parse::<Position>().ok()) else {
                match status {
                    429 | 503 | 504 => {
                        if status != 504 {
                            self.load.refused(asked.elapsed());
                        }
                        self.load.moment().await;
                        continue;
                    }
                    400..500 => {}
                    _ => self.load.surprise(format!("{status} for {wanted:?}: {body}")),
                }
                return None;
            };
            let detail = || body["detail"].as_str().unwrap_or_default().to_owned();
            let answer = match (status, name.as_str()) {
                (202, _) => Answer::Stored,
                (200 | 201, _) if body.get("id").is_some() => Answer::Done { resource: Some(body.clone()) },
                (200 | 201, _) => Answer::Done { resource: None },
                (_, "dead-lettered") => {
                    Answer::DeadLettered { reason: body["reason"].as_str().unwrap_or_default().to_owned() }
                }
                (400..500, _) => Answer::Rejected { name, detail: detail() },
                _ => {
                    self.load.surprise(format!("{status} with a position for {wanted:?}: {body}"));
                    Answer::Stored
                }
            };
            self.load.answered(Told { position, command_id, answer });
            return (status < 300 && body.get("id").is_some()).then_some((body, position));
        }
    }

    /// Reads what has seen this position, until there is an answer; `None` when there is nothing at this path.
    pub(crate) async fn read(&self, path: &str, at_least: Position) -> Option<Value> {
        while !self.load.is_over() {
            let address = self.load.address().await;
            let request = self.client.get(format!("{address}{path}"));
            let request = request.header("factfold-at-least", at_least.to_string());
            match self.send(request).await {
                Some((200, _, body)) => return Some(body),
                Some((404, ..)) => return None,
                Some((503, ..)) | None => self.load.moment().await,
                Some((status, _, body)) => {
                    self.load.surprise(format!("{status} for {path}: {body}"));
                    return None;
                }
            }
        }
        None
    }

    /// The status, the position and the body; `None` when the connection broke.
    async fn send(&self, request: RequestBuilder) -> Option<(u16, Option<String>, Value)> {
        let response: Response = request.bearer_auth(&self.token).send().await.ok()?;
        let position = response.headers().get("factfold-position");
        let position = position.and_then(|position| position.to_str().ok()).map(str::to_owned);
        let status = response.status().as_u16();
        let body = response.bytes().await.ok()?;
        Some((status, position, serde_json::from_slice(&body).unwrap_or_default()))
    }
}
