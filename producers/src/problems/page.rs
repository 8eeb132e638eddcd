//! The page of a problem: what it means and what to do, for people and for programs.

use axum::http::{HeaderMap, header};
use schemars::JsonSchema;
use serde::Serialize;

use super::catalogue::Entry;

/// What a problem means, and what to do.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ProblemExplained")]
pub(crate) struct Explained {
    /// What problems of this kind have as their `type`.
    r#type: String,
    /// What it means, in a few words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What to do.
    remedy: &'static str,
}

impl Explained {
    pub(crate) fn of(entry: &Entry) -> Self {
        let Entry { name, status, title, remedy } = *entry;
        Self { r#type: format!("/problems/{name}"), title, status, remedy }
    }

    /// As a page.
    pub(crate) fn html(&self) -> String {
        let Self { r#type, title, status, remedy } = self;
        let [title, remedy] = [title, remedy].map(|text| escape(text));
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{title}</title></head>\n<body>\n\
             <h1>{title}</h1>\n<p>{remedy}</p>\n<p><code>{type}</code>, HTTP {status}</p>\n\
             <p><a href=\"../docs\">What can be asked here</a></p>\n</body>\n</html>\n"
        )
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Whether a person asks, with a browser: it prefers HTML to JSON. Whoever says nothing is a program.
pub(crate) fn prefers_html(headers: &HeaderMap) -> bool {
    let accepted: Vec<(String, f32)> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(|range| {
            let (media_type, parameters) = range.split_once(';').unwrap_or((range, ""));
            let quality =
                parameters.split(';').find_map(|one| one.trim().strip_prefix("q=")?.trim().parse().ok());
            (media_type.trim().to_ascii_lowercase(), quality.unwrap_or(1.0))
        })
        .collect();
    let quality = |ranges: &[&str]| {
        ranges
            .iter()
            .find_map(|range| Some(accepted.iter().find(|(named, _)| named == range)?.1))
            .unwrap_or(0.0)
    };
    quality(&["text/html", "text/*"]) > quality(&["application/json", "application/*"])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problems::catalogue::find;

    #[test]
    fn browsers_get_a_page_and_programs_get_json() {
        let prefers = |accept: &str| {
            prefers_html(&HeaderMap::from_iter([(header::ACCEPT, accept.parse().expect("a header"))]))
        };
        assert!(prefers("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"));
        assert!(prefers("application/json;q=0.5, text/html"));
        for program in
            ["*/*", "application/json", "application/json, text/html;q=0.9", "text/html;q=0", "nonsense"]
        {
            assert!(!prefers(program), "{program}");
        }
        assert!(!prefers_html(&HeaderMap::new()));
    }

    #[test]
    fn a_page_shows_what_is_written_and_nothing_else() {
        let page = Explained::of(find("order-not-confirmed").expect("a problem")).html();
        assert!(page.contains("GET /v1/orders/&lt;id&gt;?until=confirmed"), "{page}");
    }
}
