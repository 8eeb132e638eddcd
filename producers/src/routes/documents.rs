//! The documents: OpenAPI, AsyncAPI, and the page over them. They change with the binary only: browsers may keep them, and ask
//! whether they still are the same.

pub(super) mod described;

use std::{borrow::Cow, sync::LazyLock};

use axum::{
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use crate::{
    answers::set,
    documents::{
        asyncapi, openapi,
        page::{self, PAGE, POLICY},
    },
    problems::{Answer, Problem},
    reading::{body::JSON, list, parameters::PathText},
};

/// How long a browser uses what it has before it asks again.
const CACHE: &str = "public, max-age=300";

/// `GET /openapi.json`
pub(super) async fn show_openapi(headers: HeaderMap) -> Answer {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| openapi().to_string());
    cached(&headers, JSON, Cow::Borrowed(DOCUMENT.as_bytes()))
}

/// `GET /asyncapi.json`
pub(super) async fn show_asyncapi(headers: HeaderMap) -> Answer {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| asyncapi().to_string());
    cached(&headers, JSON, Cow::Borrowed(DOCUMENT.as_bytes()))
}

/// `GET /docs`
pub(super) async fn show_page(headers: HeaderMap) -> Answer {
    let mut response = cached(&headers, "text/html; charset=utf-8", Cow::Borrowed(PAGE.as_bytes()))?;
    set(&mut response, header::CONTENT_SECURITY_POLICY, POLICY);
    Ok(response)
}

/// `GET /docs/{name}`
pub(super) async fn show_file(headers: HeaderMap, PathText(name): PathText) -> Answer {
    let (bytes, media_type) =
        page::file(&name).ok_or_else(|| Problem::new("not-found", "the page has no file of this name"))?;
    cached(&headers, &media_type, bytes)
}

/// The file, or 304 when the client has it already.
fn cached(headers: &HeaderMap, media_type: &str, bytes: Cow<'static, [u8]>) -> Answer {
    let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&Sha256::digest(&bytes)[..12]));
    let known = list(headers, &header::IF_NONE_MATCH)?;
    let mut response = if known.into_iter().any(|known| known.strip_prefix("W/").unwrap_or(known) == tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Response::new(bytes.into_owned().into())
    };
    let fields: [(HeaderName, &str); 4] = [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, CACHE),
        (header::ETAG, &tag),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    for (name, value) in fields {
        set(&mut response, name, value);
    }
    Ok(response)
}
