//! `factfold functions list`, `show`, `versions`, `source`: what there is.

use std::process::ExitCode;

use anyhow::Context as _;
use factfold_schemas::functions::{Function, FunctionBound, FunctionName, FunctionScheduled};
use reqwest::Method;
use serde::Deserialize;

use super::api::Api;
use crate::{
    failure::Failure,
    output::{self, Lines},
};

#[derive(Deserialize)]
struct Page {
    items: Vec<Function>,
    next: Option<String>,
}

pub(super) async fn list(api: &Api, removed: bool, json: bool) -> Result<ExitCode, Failure> {
    let (mut all, mut after) = (Vec::new(), None::<String>);
    loop {
        let next = after.map(|after| format!("&after={after}")).unwrap_or_default();
        let path = format!("/v1/functions?limit=50&removed={removed}{next}");
        let page: Page = api.json(api.request(Method::GET, &path)?).await?;
        all.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if json {
        output::json(&all)?;
        return Ok(ExitCode::SUCCESS);
    }
    if all.is_empty() {
        eprintln!("there are no functions: factfold functions new add --lang js");
        return Ok(ExitCode::SUCCESS);
    }
    let rows = all.iter().map(|function| {
        let deployed = function.current().or(function.revisions.last());
        [
            function.name.to_string(),
            function.revision.map_or("-".to_owned(), |revision| revision.to_string()),
            deployed.map(|deployed| deployed.language.to_string()).unwrap_or_default(),
            deployed.and_then(|deployed| deployed.path.clone()).unwrap_or_else(|| "-".to_owned()),
            function.binding.as_ref().map_or("-".to_owned(), |bound| bound.topic.clone()),
            function.updated_at.to_string(),
        ]
    });
    output::table(["name", "revision", "language", "path", "bound to", "changed"], rows)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn show(function: &Function) -> anyhow::Result<()> {
    let line = |name: &str, value: &str| output::line(&format!("{name:<10} {value}"));
    line("name", function.name.as_str())?;
    match function.current() {
        None => line("revision", "none: it was removed")?,
        Some(deployed) => {
            line("revision", &deployed.revision.to_string())?;
            line("language", &deployed.language.to_string())?;
            line("code", &format!("{} bytes, SHA-256 {}", deployed.code.bytes, deployed.code.sha256))?;
            let path = deployed.path.as_ref().map(|path| format!(", POST {path}")).unwrap_or_default();
            line("answers", &format!("POST /fn/{}{path}", function.name))?;
            line("callers", if deployed.public { "everybody" } else { "whoever has an access token" })?;
            let limits = deployed.limits;
            let (mib, kib) = (limits.memory_bytes >> 20, limits.output_bytes >> 10);
            line(
                "limits",
                &format!(
                    "{} ms, {mib} MiB, {kib} KiB of output, {} calls at once",
                    limits.time_ms, limits.calls_max
                ),
            )?;
        }
    }
    if let Some(FunctionBound { topic, types, from, binding }) = &function.binding {
        let types = if types.is_empty() { "all types".to_owned() } else { types.join(", ") };
        let from = from.map_or("the beginning".to_owned(), |time| time.to_string());
        line("bound to", &format!("{topic}, {types}, from {from} (binding {binding})"))?;
    }
    if let Some(FunctionScheduled { cron, time_zone, input, next, schedule }) = &function.schedule {
        let says = if input.is_null() { String::new() } else { format!(", with {input}") };
        line("ticks", &format!("{cron} in {time_zone}{says} (schedule {schedule})"))?;
        line("next tick", &next.map_or("none".to_owned(), |time| time.to_string()))?;
    }
    for (name, value) in &function.configuration.settings {
        line("setting", &format!("{name} = {value}"))?;
    }
    for name in function.configuration.secrets.keys() {
        line("secret", name)?;
    }
    line("changed", &function.updated_at.to_string())
}

pub(super) fn versions(function: &Function) -> anyhow::Result<()> {
    let rows = function.revisions.iter().rev().map(|deployed| {
        let answers = if function.revision == Some(deployed.revision) { "answers" } else { "" };
        [
            deployed.revision.to_string(),
            deployed.language.to_string(),
            deployed.code.bytes.to_string(),
            deployed.code.sha256[..12].to_owned(),
            answers.to_owned(),
        ]
    });
    output::table(["revision", "language", "bytes", "sha256", ""], rows)
}

pub(super) async fn source(
    api: &Api,
    name: FunctionName,
    revision: Option<u32>,
) -> Result<ExitCode, Failure> {
    let which = revision.map(|revision| format!("?revision={revision}")).unwrap_or_default();
    let request = api.request(Method::GET, &format!("/v1/functions/{name}/source{which}"))?;
    let bytes = api.answer(request).await?.bytes().await.context("the gateway's answer")?;
    let mut out = Lines::new();
    out.write(&bytes)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
