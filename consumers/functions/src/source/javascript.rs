//! From a JavaScript module to the body of a function, which is what the runner can evaluate: its parameter `__x` is the object
//! that gets the default export.
//!
//! Must never refuse a text for its syntax: the runner says that better.

use tree_sitter::{Language, Node};

use super::syntax::{Below, Edited, parse, refuse, token, walk};
use crate::Refused;

/// What stands for `export default`: no longer than that, so that no column moves.
const ASSIGN: &str = "__x.default=";
const NO_IMPORTS: &str = "a function is one file: it can import nothing. Put what it needs into this file, with a bundler for instance";
const NO_PROMISES: &str =
    "the default export is asynchronous, and nothing here is: write it without async and await";
const NO_EXPORT: &str =
    "there is no default export: write `export default function (input, context) { ... }`";

/// The body. It throws what the module throws, in the same places.
pub(super) fn as_body(text: &str) -> Result<String, Refused> {
    let tree = parse(&Language::new(tree_sitter_javascript::LANGUAGE), text)?;
    let root = tree.root_node();
    if root.has_error() {
        return as_broken_body(text, root);
    }
    let mut edited = Edited::new(text);
    let mut default = None;
    let mut cursor = root.walk();
    for statement in root.children(&mut cursor) {
        match statement.kind() {
            "import_statement" => return Err(refuse(text, statement, NO_IMPORTS)),
            "export_statement" => default = export(text, statement, &mut edited)?.or(default),
            _ => {}
        }
    }
    let body = edited.finish()?;
    match default {
        Some(Default::Assigned) => Ok(body),
        // On a line of its own: the last one may be a comment.
        Some(Default::Named(name)) => Ok(format!("{body}\n;{ASSIGN}{name};")),
        None => Err(Refused::whole(NO_EXPORT)),
    }
}

/// How the default export is told.
enum Default<'a> {
    /// In its place.
    Assigned,
    /// By its name, at the end.
    Named(&'a str),
}

fn export<'a>(
    text: &'a str,
    statement: Node<'_>,
    edited: &mut Edited,
) -> Result<Option<Default<'a>>, Refused> {
    if statement.child_by_field_name("source").is_some() {
        return Err(refuse(text, statement, NO_IMPORTS));
    }
    if let Some(clause) = token(statement, "export_clause") {
        edited.blank_statement(statement);
        return Ok(default_of(text, clause).map(Default::Named));
    }
    let Some(word) = token(statement, "export") else { return Ok(None) };
    edited.blank(word.start_byte(), word.end_byte());
    let Some(default) = token(statement, "default") else { return Ok(None) };
    edited.blank(default.start_byte(), default.end_byte());

    let exported = statement.child_by_field_name("declaration").or(statement.child_by_field_name("value"));
    let Some(exported) = exported else { return Ok(None) };
    if token(exported, "async").is_some() {
        return Err(refuse(text, exported, NO_PROMISES));
    }
    let is_declaration = matches!(
        exported.kind(),
        "function_declaration" | "generator_function_declaration" | "class_declaration"
    );
    match exported.child_by_field_name("name").filter(|_| is_declaration) {
        // A function with a name is hoisted, and known to the others by it.
        Some(name) => Ok(Some(Default::Named(&text[name.byte_range()]))),
        None => {
            // `export default` is followed by a gap or a bracket, so there is room, if not on one line.
            if default.start_position().row == word.start_position().row {
                edited.put(word.start_byte(), ASSIGN);
            } else {
                edited.insert(exported.start_byte(), ASSIGN);
            }
            edited.insert(exported.end_byte(), ";");
            Ok(Some(Default::Assigned))
        }
    }
}

/// What `export { ... }` calls `default`.
fn default_of<'a>(text: &'a str, clause: Node<'_>) -> Option<&'a str> {
    let mut cursor = clause.walk();
    clause.named_children(&mut cursor).find_map(|specifier| {
        let alias = specifier.child_by_field_name("alias")?;
        let name = specifier.child_by_field_name("name")?;
        (&text[alias.byte_range()] == "default").then(|| &text[name.byte_range()])
    })
}

/// A text that this parser does not understand. If it is right about that, the runner says what is wrong and where, provided that
/// it does not stumble over an `export` first.
fn as_broken_body(text: &str, root: Node<'_>) -> Result<String, Refused> {
    let mut edited = Edited::new(text);
    let mut export: Option<Node<'_>> = None;
    walk(root, |node| {
        if node.child_count() == 0 && !node.is_extra() {
            match (export.take(), node.kind()) {
                (_, "export") => {
                    edited.blank(node.start_byte(), node.end_byte());
                    export = Some(node);
                }
                (Some(word), "default") => {
                    edited.blank(node.start_byte(), node.end_byte());
                    if word.start_position().row == node.start_position().row {
                        edited.put(word.start_byte(), ASSIGN);
                    }
                }
                _ => {}
            }
        }
        Ok(Below::Visit)
    })?;
    edited.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, body: &str) {
        assert_eq!(as_body(text).expect("a body"), body);
    }

    #[test]
    fn exports_become_assignments_in_their_places() {
        check("export default function (a) {\n}\n", "__x.default=   function (a) {\n};\n");
        check("export default (a) => 1\n", "__x.default=   (a) => 1;\n");
        check("export default(a => 1)", "__x.default=  (a => 1);");
        check("export default function f(a) {}", "               function f(a) {}\n;__x.default=f;");
        check(
            "function f() {}\nexport { f as default }\n",
            "function f() {}\n;                      \n\n;__x.default=f;",
        );
        check("export const a = 1;\nexport default a;", "       const a = 1;\n__x.default=   a;;");
        check(
            "// export default 1\nexport default `export default 2`",
            "// export default 1\n__x.default=   `export default 2`;",
        );
        check("export /*\n*/ default 1", "       /*\n*/         __x.default=1;");
    }

    #[test]
    fn what_cannot_be_is_refused_where_it_stands() {
        let refused = |text| as_body(text).expect_err("refused").to_string();
        assert!(refused("\n  import a from 'a'").starts_with("line 2, column 3: a function is one file"));
        assert!(refused("export * from 'a'").starts_with("line 1, column 1: a function is one file"));
        assert!(
            refused("export default async () => 1")
                .starts_with("line 1, column 16: the default export is async")
        );
        assert!(refused("export default async function a() {}").starts_with("line 1, column 16: "));
        assert_eq!(refused("const a = 1"), NO_EXPORT);
    }

    #[test]
    fn nesting_as_deep_as_the_text_is_long_is_no_danger() {
        for piece in
            ["(", "[", "!", "a=>", "a+", "a?", "`${", "{", "if(a)", "a.", "({a:", "-", "new ", "async "]
        {
            let text = format!("export default {}", piece.repeat((1 << 18) / piece.len()));
            let _ = as_body(&text);
        }
    }
}
