//! The documents, as a browser fetches them.

use reqwest::StatusCode;

use crate::stack::{Stack, header};

/// Each file has its media type, may be kept, and is not sent again to whoever has it.
#[tokio::test]
async fn documents_and_the_page_are_fetched_once() {
    let stack = Stack::start().await;
    let gateway = stack.gateway().await;
    let files = [
        ("/openapi.json", "application/json"),
        ("/asyncapi.json", "application/json"),
        ("/docs", "text/html; charset=utf-8"),
        ("/docs/swagger-ui.css", "text/css"),
        ("/docs/swagger-ui-bundle.js", "text/javascript"),
        ("/docs/swagger-ui-standalone-preset.js", "text/javascript"),
        ("/docs/swagger-initializer.js", "text/javascript"),
        ("/docs/favicon-32x32.png", "image/png"),
    ];
    for (path, media_type) in files {
        let fetched = gateway.get(path).send().await.expect("an answer");
        assert_eq!(fetched.status(), StatusCode::OK, "{path}");
        assert_eq!(header(&fetched, "content-type"), media_type, "{path}");
        assert!(header(&fetched, "cache-control").contains("max-age"), "{path}");
        assert_eq!(header(&fetched, "x-content-type-options"), "nosniff", "{path}");
        let tag = header(&fetched, "etag").to_owned();
        let again = gateway.get(path).header("if-none-match", tag).send().await.expect("an answer");
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{path}");
        assert!(again.bytes().await.expect("nothing").is_empty(), "{path}");
    }
    // Nothing may come from elsewhere, and nothing may be written into the page.
    let page = gateway.get("/docs").send().await.expect("an answer");
    let policy = header(&page, "content-security-policy");
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(gateway.get("/docs/none.js").send().await.expect("an answer").status(), StatusCode::NOT_FOUND);
}
