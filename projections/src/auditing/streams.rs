//! What must hold from one event of a stream to the next.

use std::collections::HashMap;

use factfold_schemas::{ids::StreamId, position::Position};

use super::{Audited, money::Account, stock::Pieces};
use crate::projector::Record;

/// The streams of a partition.
#[derive(Default)]
pub(super) struct Streams {
    versions: HashMap<StreamId, u64>,
    orders: HashMap<StreamId, Account>,
    goods: HashMap<StreamId, Pieces>,
    last: Option<Position>,
}

impl Streams {
    pub(super) fn see(&mut self, at: Position, record: &Record, audited: &mut Audited) {
        let (stream, version) = match record {
            Record::Goods(event) => {
                let goods = self.goods.entry(event.stream.clone()).or_default();
                goods.see(&event.data, |what| audited.add(at, what));
                (&event.stream, event.version)
            }
            Record::Orders(event) => {
                let order = self.orders.entry(event.stream.clone()).or_default();
                order.see(&event.data, |what| audited.add(at, what));
                (&event.stream, event.version)
            }
            Record::Functions(event) => (&event.stream, event.version),
            Record::Users(event) => (&event.stream, event.version),
            Record::Outcome(_) => return,
        };
        self.last = Some(at);
        let last = self.versions.entry(stream.clone()).or_default();
        if version != *last + 1 {
            audited.add(at, format!("it is version {version} of {stream}, after version {last}"));
        }
        *last = version;
    }

    /// Looks at what must hold in the end.
    pub(super) fn end(self, audited: &mut Audited) {
        let Some(last) = self.last else { return };
        for (stream, goods) in self.goods {
            if let Err(what) = goods.end() {
                audited.add(last, format!("{stream}: {what}"));
            }
        }
    }
}
