//! From an author's text to what a runner reads. Lines and columns stay where they are, so that an error points into the
//! author's own text.
//!
//! Must never judge more than it has to: what is wrong with a text, the runner says, inside the sandbox.

mod javascript;
mod syntax;
mod typescript;

use crate::{Language, Refused};

/// What the runner of this language reads.
///
/// # Errors
/// When the text is not UTF-8, or says something that cannot be rewritten.
pub(crate) fn prepare(language: Language, code: &[u8]) -> Result<String, Refused> {
    let text = std::str::from_utf8(code).map_err(|error| {
        let line = code[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        Refused { line: u32::try_from(line).ok(), ..Refused::whole("it is not UTF-8") }
    })?;
    // A mark that some editors put at the start is no part of the text.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match language {
        Language::Javascript => javascript::as_body(text),
        Language::Typescript => javascript::as_body(&typescript::strip(text)?),
        _ => Ok(text.to_owned()),
    }
}
