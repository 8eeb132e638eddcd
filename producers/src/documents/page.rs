//! The page that people read: Swagger UI over the OpenAPI document. All of it comes from the binary, and the page may load
//! nothing from anywhere else.

use std::{borrow::Cow, sync::Arc};

use utoipa_swagger_ui::Config;

/// The page. Its paths are relative to `/docs`.
pub(crate) const PAGE: &str = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>factfold</title>
<link rel="icon" href="docs/favicon-32x32.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/swagger-ui-standalone-preset.js"></script>
<script src="docs/swagger-initializer.js"></script>
</body>
</html>
"#;

/// What the page may do. Swagger UI's icons are images in its style sheet.
pub(crate) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                                 connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file of the page, and its media type; `None` when there is none of this name.
pub(crate) fn file(name: &str) -> Option<(Cow<'static, [u8]>, String)> {
    // The badge would ask somebody else's server whether the document is valid.
    let config = Config::new(["openapi.json"]).use_base_layout().validator_url("none");
    let file = utoipa_swagger_ui::serve(name, Arc::new(config)).ok().flatten()?;
    Some((file.bytes, file.content_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_the_page_needs_is_there() {
        let files: Vec<_> = PAGE.split("docs/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(files.len(), 5);
        for name in files {
            assert!(file(name).is_some(), "{name}");
        }
        let (script, media_type) = file("swagger-initializer.js").expect("a file");
        let script = String::from_utf8(script.into_owned()).expect("text");
        assert!(script.contains("openapi.json") && media_type.ends_with("/javascript"), "{media_type}");
    }
}
