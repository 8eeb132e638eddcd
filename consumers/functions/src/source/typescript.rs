//! Takes the types out of TypeScript: what is left is JavaScript, every character of it where it was.
//!
//! Must never give anything a meaning: what is more than a type (an enum, a namespace, a parameter property) is refused, and so is
//! a text that is not understood, since blanking parts of it would be guessing.

use tree_sitter::{Language, Node};

use super::syntax::{Below, Edited, parse, refuse, token, walk};
use crate::Refused;

/// The text without types.
pub(super) fn strip(text: &str) -> Result<String, Refused> {
    let tree = parse(&Language::new(tree_sitter_typescript::LANGUAGE_TYPESCRIPT), text)?;
    let root = tree.root_node();
    if root.has_error() {
        return Err(syntax_error(text, root));
    }
    let mut edited = Edited::new(text);
    walk(root, |node| visit(text, node, &mut edited))?;
    edited.finish()
}

fn visit(text: &str, node: Node<'_>, edited: &mut Edited) -> Result<Below, Refused> {
    match node.kind() {
        "enum_declaration" => Err(more(text, node, "an enum", "an object and a union type")),
        "internal_module" | "module" => Err(more(text, node, "a namespace", "an object")),
        "import_alias" | "import_require_clause" => Err(more(text, node, "such an import", "`const`")),
        "type_assertion" => Err(refuse(text, node, "write `value as Type` instead of `<Type>value`")),

        "interface_declaration"
        | "type_alias_declaration"
        | "ambient_declaration"
        | "function_signature"
        | "abstract_method_signature"
        | "method_signature"
        | "index_signature" => {
            edited.blank_statement(node);
            Ok(Below::Skip)
        }
        "export_statement" | "import_statement" if is_type_only(node) => {
            edited.blank_statement(node);
            Ok(Below::Skip)
        }
        "export_specifier" | "import_specifier" if token(node, "type").is_some() => {
            Ok(blank_with_comma(node, edited))
        }

        "type_annotation"
        | "type_parameters"
        | "type_arguments"
        | "implements_clause"
        | "type_predicate_annotation"
        | "asserts_annotation"
        | "override_modifier" => Ok(blank(node, edited)),
        "accessibility_modifier" => Ok(blank(node, edited)),

        "as_expression" | "satisfies_expression" => {
            without_type(text, node, edited);
            Ok(Below::Visit)
        }
        "non_null_expression" => {
            blank_token(node, "!", edited);
            Ok(Below::Visit)
        }
        // In a type these were blanked with it: here they stand in an expression.
        "as" | "satisfies" | "const" => Ok(Below::Skip),

        "required_parameter" | "optional_parameter" => parameter(text, node, edited),
        "variable_declarator" => {
            blank_token(node, "!", edited);
            Ok(Below::Visit)
        }
        "public_field_definition"
            if token(node, "declare").is_some() || token(node, "abstract").is_some() =>
        {
            edited.blank_statement(node);
            Ok(Below::Skip)
        }
        "public_field_definition" | "method_definition" => {
            for sign in ["?", "!", "readonly"] {
                blank_token(node, sign, edited);
            }
            Ok(Below::Visit)
        }
        "abstract_class_declaration" => {
            blank_token(node, "abstract", edited);
            Ok(Below::Visit)
        }
        "arrow_function" => {
            keep_arrow_on_the_line(text, node, edited);
            Ok(Below::Visit)
        }
        _ => Ok(Below::Visit),
    }
}

fn is_type_only(statement: Node<'_>) -> bool {
    let of_a_type = |node: Node<'_>| {
        matches!(
            node.kind(),
            "interface_declaration" | "type_alias_declaration" | "ambient_declaration" | "function_signature"
        )
    };
    token(statement, "type").is_some() || statement.child_by_field_name("declaration").is_some_and(of_a_type)
}

fn parameter(text: &str, node: Node<'_>, edited: &mut Edited) -> Result<Below, Refused> {
    if token(node, "accessibility_modifier").is_some() || token(node, "readonly").is_some() {
        return Err(more(text, node, "a parameter property", "a field, and assign to it in the constructor"));
    }
    if node.child_by_field_name("pattern").is_some_and(|pattern| pattern.kind() == "this") {
        return Ok(blank_with_comma(node, edited));
    }
    blank_token(node, "?", edited);
    Ok(Below::Visit)
}

/// `value as Type`, without the type. Nothing that follows on a later line becomes part of the value.
fn without_type(text: &str, node: Node<'_>, edited: &mut Edited) {
    let Some(value) = node.child(0) else { return };
    edited.blank(value.end_byte(), node.end_byte());
    let rest = &text[node.end_byte()..];
    let next = rest.trim_start();
    let is_on_a_later_line = rest[..rest.len() - next.len()].contains('\n');
    if is_on_a_later_line && next.starts_with(['(', '[', '`']) {
        edited.put(node.end_byte() - 1, ";");
    }
}

/// An arrow must stand on the line of the bracket before it, even if a type between them took several.
fn keep_arrow_on_the_line(text: &str, node: Node<'_>, edited: &mut Edited) {
    let (Some(parameters), Some(returned)) =
        (node.child_by_field_name("parameters"), node.child_by_field_name("return_type"))
    else {
        return;
    };
    if text[parameters.end_byte()..returned.end_byte()].contains('\n') {
        edited.blank(parameters.end_byte() - 1, parameters.end_byte());
        // Types are blanked as the walk comes to them; an inserted bracket stays.
        edited.insert(returned.end_byte(), ")");
    }
}

fn blank(node: Node<'_>, edited: &mut Edited) -> Below {
    edited.blank(node.start_byte(), node.end_byte());
    Below::Skip
}

fn blank_token(node: Node<'_>, kind: &str, edited: &mut Edited) {
    if let Some(found) = token(node, kind) {
        edited.blank(found.start_byte(), found.end_byte());
    }
}

fn blank_with_comma(node: Node<'_>, edited: &mut Edited) -> Below {
    let comma = node.next_sibling().filter(|next| next.kind() == ",");
    edited.blank(node.start_byte(), comma.unwrap_or(node).end_byte());
    Below::Skip
}

fn more(text: &str, node: Node<'_>, what: &str, instead: &str) -> Refused {
    refuse(
        text,
        node,
        format!("{what} is more than a type, and only types are taken out here: write {instead} instead"),
    )
}

/// The first place that is not understood.
fn syntax_error(text: &str, root: Node<'_>) -> Refused {
    let mut first = None;
    // Nothing is refused on this walk: it only looks.
    let _ = walk(root, |node| {
        if first.is_none() && node.is_missing() {
            first = Some(refuse(text, node, format!("`{}` is missing here", node.kind())));
        } else if first.is_none() && node.is_error() {
            let near = text[node.start_byte()..].split(['\n', '\r']).next().unwrap_or_default();
            let near: String = near.chars().take(40).collect();
            first = Some(refuse(text, node, format!("a syntax error near `{near}`")));
        }
        Ok(if first.is_none() && node.has_error() { Below::Visit } else { Below::Skip })
    });
    first.unwrap_or_else(|| Refused::whole("a syntax error"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left, with its gaps closed.
    #[track_caller]
    fn check(text: &str, left: &str) {
        let stripped = strip(text).unwrap_or_else(|refused| panic!("{text}: {refused}"));
        let squeezed: Vec<_> = stripped.split_whitespace().collect();
        assert_eq!(squeezed.join(" "), left, "{stripped:?}");
    }

    #[test]
    fn types_go_and_the_rest_stays_in_its_place() {
        assert_eq!(strip("let a: number = 1;").expect("stripped"), "let a         = 1;");
        check("interface A { b: string }\ntype C = A | 'x';\ndeclare const d: A;", "; ; ;");
        check(
            "function f<T>(a: T, b?: string, ...c: T[]): T { return a }",
            "function f (a , b , ...c ) { return a }",
        );
        check("const f = <T,>(a: T): a is T => a!.b![0]", "const f = (a ) => a .b [0]");
        check(
            "let x = (y as unknown as string[]).map(String) satisfies string[]",
            "let x = (y ).map(String)",
        );
        check("f<string>(a); new Map<string, number>()", "f (a); new Map ()");
        check(
            "abstract class A<T> extends B<T> implements C { private readonly a: number = 1; b?: T; c!: T; declare d: T; abstract e(): void; static override f(this: A<T>, g: T): void {} [k: string]: T }",
            "class A extends B { a = 1; b ; c ; ; ; ; ; static f( g ) {} ; }",
        );
        check(
            "export type A = 1; export interface B {} export default function (a: A): B { return a as B }",
            "; ; export default function (a ) { return a }",
        );
        check("import type { A } from './a'; let a = { b: 1 } as const;", "; let a = { b: 1 } ;");
        check("function f(a: string): void; function f(a: any) {}", "; function f(a ) {}");
        check("try {} catch (e: unknown) {}", "try {} catch (e ) {}");
        check(
            "let a = b ? c : d; let { e }: { e: number } = f; for (const g of h as any[]) {}",
            "let a = b ? c : d; let { e } = f; for (const g of h ) {}",
        );
    }

    #[test]
    fn statements_and_arrows_stay_whole() {
        check("a = b as C\n(d)", "a = b ;\n(d)".replace('\n', " ").as_str());
        check("let f = (a): {\n b: string } => a", "let f = (a ) => a");
    }

    #[test]
    fn what_is_more_than_a_type_is_refused_where_it_stands() {
        let refused = |text| strip(text).expect_err("refused").to_string();
        assert!(
            refused("let a = 1\n  enum B { C }").starts_with("line 2, column 3: an enum is more than a type")
        );
        assert!(refused("namespace A { export const b = 1 }").starts_with("line 1, column 1: a namespace"));
        assert!(
            refused("class A { constructor(private b: string) {} }")
                .starts_with("line 1, column 23: a parameter property")
        );
        assert!(refused("let a = <string>b").starts_with("line 1, column 9: write `value as Type`"));
        assert!(refused("let a: = 1;\n").starts_with("line 1, column "));
    }
}
