//! All objects, and what each was like when. In memory is one place in a temporary file for each; there each entry names the
//! one before it.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufWriter, Write as _},
    os::unix::fs::FileExt as _,
};

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{event::Attribute, object::Object};

const FILE: &str = "the temporary file of objects";
/// Behind an entry: where the one before it ends, and how long this one is.
const LINK_BYTES: usize = 16;

/// The objects that were seen.
pub(super) struct Objects {
    /// Where the last entry of each ends; 0 is none.
    last: BTreeMap<Object, u64>,
    file: BufWriter<File>,
    end: u64,
}

/// An object with all that is known of it.
#[derive(Debug, Serialize)]
pub(super) struct Whole {
    id: Object,
    #[serde(rename = "type")]
    kind: &'static str,
    attributes: Vec<Box<RawValue>>,
}

/// How an object is from this time on.
#[derive(Serialize)]
struct Change<'a> {
    #[serde(flatten)]
    attribute: &'a Attribute,
    time: &'a str,
}

impl Objects {
    /// None yet.
    pub(super) fn new() -> Result<Self> {
        let file = tempfile::tempfile().context(FILE)?;
        Ok(Self { last: BTreeMap::new(), file: BufWriter::new(file), end: 0 })
    }

    /// There is this object.
    pub(super) fn see(&mut self, object: Object) {
        self.last.entry(object).or_default();
    }

    /// From this time on it is so.
    pub(super) fn change(&mut self, object: Object, time: &str, attribute: &Attribute) -> Result<()> {
        let entry = serde_json::to_vec(&Change { attribute, time })?;
        let last = self.last.entry(object).or_default();
        self.file.write_all(&entry).context(FILE)?;
        self.file.write_all(&last.to_le_bytes()).context(FILE)?;
        self.file.write_all(&(entry.len() as u64).to_le_bytes()).context(FILE)?;
        self.end += (entry.len() + LINK_BYTES) as u64;
        *last = self.end;
        Ok(())
    }

    /// All of them, always in the same order.
    pub(super) fn all(self) -> Result<impl Iterator<Item = Result<Whole>>> {
        let file = self.file.into_inner().context(FILE)?;
        Ok(self.last.into_iter().map(move |(id, last)| {
            let attributes = entries(&file, last).context(FILE)?;
            Ok(Whole { id, kind: id.kind(), attributes })
        }))
    }
}

/// The entries of one object, from the oldest.
fn entries(file: &File, last: u64) -> Result<Vec<Box<RawValue>>> {
    let (mut entries, mut end) = (Vec::new(), last);
    while end > 0 {
        let link_at = end - LINK_BYTES as u64;
        let mut link = [[0; 8]; 2];
        file.read_exact_at(link.as_flattened_mut(), link_at)?;
        let [before, length] = link.map(u64::from_le_bytes);
        let mut entry = vec![0; usize::try_from(length)?];
        file.read_exact_at(&mut entry, link_at - length)?;
        entries.push(serde_json::from_slice(&entry)?);
        end = before;
    }
    entries.reverse();
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use factfold_schemas::ids::{GoodsId, UserId};
    use serde_json::json;

    use super::*;

    #[test]
    fn each_object_has_what_was_said_of_it_in_order() {
        let (mut objects, user) = (Objects::new().expect("a file"), Object::User(UserId::generate()));
        let (tea, coffee) = (Object::Goods(GoodsId::generate()), Object::Goods(GoodsId::generate()));
        let stock = |pieces: i64| Attribute { name: "stock".to_owned(), value: pieces.into() };
        objects.see(user);
        for (object, time, pieces) in [(tea, "1", 10), (coffee, "2", 20), (tea, "3", 11), (tea, "4", 12)] {
            objects.see(object);
            objects.change(object, time, &stock(pieces)).expect("written");
        }
        let all: Vec<_> = objects.all().expect("written").collect::<Result<_>>().expect("read");
        let at = |time: &str, pieces: i64| json!({ "name": "stock", "value": pieces, "time": time });
        let expected = json!([
            { "id": tea, "type": "goods", "attributes": [at("1", 10), at("3", 11), at("4", 12)] },
            { "id": coffee, "type": "goods", "attributes": [at("2", 20)] },
            { "id": user, "type": "user", "attributes": [] },
        ]);
        assert_eq!(serde_json::to_value(all).expect("JSON"), expected);
    }
}
