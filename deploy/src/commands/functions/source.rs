//! A file with a function's source, and what lies beside it: `add.js`, `add.input.json`, `add.output.json` (JSON Schemas), and
//! `add.test.json`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use factfold_schemas::functions::{FunctionName, Language};
use serde_json::Value;

/// A function's source as it lies in a folder.
pub(super) struct SourceFile {
    pub(super) name: FunctionName,
    pub(super) language: Language,
    pub(super) bytes: Vec<u8>,
    pub(super) input_schema: Option<Value>,
    pub(super) output_schema: Option<Value>,
    path: PathBuf,
}

impl SourceFile {
    /// Reads it. The function is called like the file, where nothing else is said.
    pub(super) fn read(path: &Path, name: Option<FunctionName>) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let name = match name {
            Some(name) => name,
            None => stem.parse().with_context(|| format!("{}: name it with --name", path.display()))?,
        };
        let language = language(path, &bytes)?;
        let beside = |what: &str| json_beside(path, what);
        let (input_schema, output_schema) = (beside("input")?, beside("output")?);
        Ok(Self { name, language, bytes, input_schema, output_schema, path: path.to_owned() })
    }

    /// The cases that it is tried with; `None` where there is no file with them.
    pub(super) fn cases(&self) -> Result<Option<Value>> {
        json_beside(&self.path, "test")
    }
}

/// `add.js` has its cases in `add.test.json`.
pub(super) fn beside(path: &Path, what: &str) -> PathBuf {
    path.with_extension(format!("{what}.json"))
}

fn json_beside(path: &Path, what: &str) -> Result<Option<Value>> {
    let file = beside(path, what);
    if !file.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    serde_json::from_str(&text).map(Some).with_context(|| format!("{} is not JSON", file.display()))
}

/// By the file's extension; of WebAssembly, by what it begins with.
fn language(path: &Path, bytes: &[u8]) -> Result<Language> {
    /// The magic number, and the version of a component.
    /// Source: <https://github.com/WebAssembly/component-model/blob/main/design/mvp/Binary.md>
    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
    const MODULE: &[u8] = b"\0asm\x01\0\0\0";
    Ok(match path.extension().and_then(|extension| extension.to_str()) {
        Some("js" | "mjs") => Language::JavaScript,
        Some("ts") => Language::TypeScript,
        Some("py") => Language::Python,
        Some("wasm") if bytes.starts_with(COMPONENT) => Language::Component,
        Some("wasm") if bytes.starts_with(MODULE) => Language::Command,
        Some("wasm") => bail!("{} is no WebAssembly", path.display()),
        Some("go" | "c" | "rs" | "java") => bail!(
            "{} must be compiled first: its first lines say how, and the .wasm is what is deployed",
            path.display()
        ),
        _ => bail!("{}: expected .js, .ts, .py or .wasm", path.display()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_how_it_is_written() {
        let of =
            |name: &str, bytes: &[u8]| language(Path::new(name), bytes).map_err(|error| error.to_string());
        assert_eq!(of("a/add.js", b""), Ok(Language::JavaScript));
        assert_eq!(of("add.mjs", b""), Ok(Language::JavaScript));
        assert_eq!(of("add.ts", b""), Ok(Language::TypeScript));
        assert_eq!(of("add.py", b""), Ok(Language::Python));
        assert_eq!(of("add.wasm", b"\0asm\x0d\0\x01\0 and more"), Ok(Language::Component));
        assert_eq!(of("add.wasm", b"\0asm\x01\0\0\0 and more"), Ok(Language::Command));
        assert!(of("add.go", b"").expect_err("source").contains("compiled first"));
        assert!(of("add.txt", b"").is_err() && of("add.wasm", b"text").is_err());
        assert!(of("add.rb", b"").is_err() && of("add", b"").is_err());
        assert_eq!(beside(Path::new("a/add.js"), "input"), Path::new("a/add.input.json"));
    }
}
