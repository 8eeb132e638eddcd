//! The page of a problem: what it means and what to do, for people and for programs.

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problems::catalogue::find;

    #[test]
    fn a_page_shows_what_is_written_and_nothing_else() {
        let page = Explained::of(find("order-not-confirmed").expect("a problem")).html();
        assert!(page.contains("GET /v1/orders/&lt;id&gt;?until=confirmed"), "{page}");
    }
}
