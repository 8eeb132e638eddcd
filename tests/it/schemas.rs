//! `factfold schemas check`, as a release script runs it: against the schemas of an older checkout. And the documents, as one
//! prints them.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use factfold_schemas::json;
use serde_json::{Value, json};

use crate::binary::binary;

const PAID: &str = "orders/events/OrderPaid.1.json";

fn check(against: &Path) -> (Option<i32>, String) {
    let Output { status, stdout, .. } = Command::new(binary())
        .args(["schemas", "check", "--against"])
        .arg(against)
        .output()
        .expect("it runs");
    (status.code(), String::from_utf8(stdout).expect("text"))
}

#[test]
fn an_older_checkout_is_compatible_until_an_event_loses_a_field() {
    let older = tempfile::tempdir().expect("a folder");
    assert_eq!(check(older.path()), (Some(2), String::new()), "no schemas are no reason to be content");
    for (path, schema) in json::all() {
        let file = older.path().join(path);
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        fs::write(file, schema.to_string()).expect("written");
    }
    assert_eq!(check(older.path()), (Some(0), String::new()));

    let file = older.path().join(PAID);
    let mut paid: Value = serde_json::from_slice(&fs::read(&file).expect("a schema")).expect("JSON");
    paid["properties"]["tip"] = json!({ "type": "integer" });
    fs::write(file, paid.to_string()).expect("written");
    let lost = format!("{PAID}#/properties/tip: the field is gone, or has another name\n");
    assert_eq!(check(older.path()), (Some(1), lost));
}

#[test]
fn the_documents_are_printed_as_they_are_checked_in() {
    for (command, file) in [("openapi", "openapi.json"), ("asyncapi", "asyncapi.json")] {
        let printed = Command::new(binary()).arg(command).output().expect("it runs");
        let checked_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas").join(file);
        assert!(printed.stdout == fs::read(checked_in).expect("a document"), "{command}");
    }
}
