//! A source text and its syntax tree, and changes to the text that leave every line and column where it is.
//!
//! Must never recurse: a text can be nested as deep as it is long. The parser does not either, which is why it is this one.

use tree_sitter::{Language, Node, Parser, Tree};

use crate::Refused;

/// Parses a text.
pub(super) fn parse(language: &Language, text: &str) -> Result<Tree, Refused> {
    let mut parser = Parser::new();
    let tree = parser.set_language(language).ok().and_then(|()| parser.parse(text, None));
    tree.ok_or_else(|| Refused::whole("the parser gave up"))
}

/// Visits nodes from the first to the last, parents first; the children only where `visit` says so.
pub(super) fn walk<'t>(
    root: Node<'t>,
    mut visit: impl FnMut(Node<'t>) -> Result<Below, Refused>,
) -> Result<(), Refused> {
    let mut cursor = root.walk();
    loop {
        if visit(cursor.node())? == Below::Visit && cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return Ok(());
            }
        }
    }
}

/// What to do with a node's children.
#[derive(PartialEq, Eq)]
pub(super) enum Below {
    Visit,
    Skip,
}

/// The child that is this very word or sign.
pub(super) fn token<'t>(node: Node<'t>, kind: &str) -> Option<Node<'t>> {
    let mut cursor = node.walk();
    node.children(&mut cursor).find(|child| child.kind() == kind)
}

/// Refuses a text because of this node.
pub(super) fn refuse(text: &str, node: Node<'_>, message: impl Into<String>) -> Refused {
    let start = node.start_byte();
    let line = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
    let column = text[line..start].chars().count() + 1;
    Refused {
        line: u32::try_from(node.start_position().row + 1).ok(),
        column: u32::try_from(column).ok(),
        ..Refused::whole(message)
    }
}

/// A text that is being changed.
pub(super) struct Edited {
    bytes: Vec<u8>,
    inserted: Vec<(usize, &'static str)>,
}

impl Edited {
    /// As it is.
    pub(super) fn new(text: &str) -> Self {
        Self { bytes: text.as_bytes().to_vec(), inserted: Vec::new() }
    }

    /// Blanks a part, but for its line ends.
    pub(super) fn blank(&mut self, from: usize, to: usize) {
        for byte in &mut self.bytes[from..to] {
            if !matches!(*byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
    }

    /// Blanks a statement. Two that it stood between stay two.
    pub(super) fn blank_statement(&mut self, node: Node<'_>) {
        self.blank(node.start_byte(), node.end_byte());
        self.put(node.start_byte(), ";");
    }

    /// Writes over what is there.
    pub(super) fn put(&mut self, at: usize, text: &str) {
        self.bytes[at..at + text.len()].copy_from_slice(text.as_bytes());
    }

    /// Adds something, which moves the rest of its line.
    pub(super) fn insert(&mut self, at: usize, text: &'static str) {
        self.inserted.push((at, text));
    }

    /// The text as it is now.
    pub(super) fn finish(mut self) -> Result<String, Refused> {
        self.inserted.sort_by_key(|(at, _)| *at);
        let mut text = Vec::with_capacity(self.bytes.len() + 16);
        let mut from = 0;
        for (at, inserted) in self.inserted {
            text.extend_from_slice(&self.bytes[from..at]);
            text.extend_from_slice(inserted.as_bytes());
            from = at;
        }
        text.extend_from_slice(&self.bytes[from..]);
        String::from_utf8(text).map_err(|_| Refused::whole("the text could not be rewritten"))
    }
}
