//! Goods, folded from their events. The fold is pure; the rows of a batch are loaded once, and each is written once.

use std::collections::{BTreeMap, BTreeSet};

use factfold_schemas::{
    codec::Named,
    goods::{Event, Goods},
    ids::GoodsId,
    position::Position,
    record::Recorded,
};
use sqlx::PgConnection;

use super::query;
use crate::{
    error::{Contradiction, Violation},
    postgres::Text,
    projector::Stop,
    table::Table,
};

/// The goods that are being folded.
pub(crate) type Rows = BTreeMap<GoodsId, Goods>;

/// Folds these events into the table.
pub(crate) async fn write<'a>(
    connection: &mut PgConnection,
    events: impl Iterator<Item = (Position, &'a Recorded<Event>)> + Clone,
) -> Result<(), Stop> {
    let mut ids: Vec<_> = events.clone().filter_map(|(_, e)| GoodsId::of_stream(e.stream.as_str())).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut rows: Rows =
        query::load(connection, &ids).await?.into_iter().map(|goods| (goods.id, goods)).collect();
    let known: BTreeSet<_> = rows.keys().copied().collect();
    for (at, event) in events {
        apply(&mut rows, at, event)?;
    }
    Ok(store(connection, rows.values(), |goods| !known.contains(&goods.id)).await?)
}

/// One event, which lies there.
pub(crate) fn apply(rows: &mut Rows, at: Position, event: &Recorded<Event>) -> Result<(), Violation> {
    let violation = |contradiction| Violation { at, stream: Some(event.stream.clone()), contradiction };
    fold(rows, event).map_err(violation)
}

fn fold(rows: &mut Rows, event: &Recorded<Event>) -> Result<(), Contradiction> {
    let misfit = |why| Contradiction::Misfit { event: event.data.type_name(), why };
    let id =
        GoodsId::of_stream(event.stream.as_str()).ok_or_else(|| misfit("its stream is not one of goods"))?;
    Contradiction::check_version(rows.get(&id).map_or(0, |goods| goods.version), event.version)?;

    if let Event::GoodsAdded(added) = &event.data {
        let goods = Goods {
            id,
            version: event.version,
            created_at: event.cause.time,
            updated_at: event.cause.time,
            name: added.name.clone(),
            price: added.price,
            stock: added.stock,
            discontinued: false,
        };
        return match rows.insert(id, goods) {
            None => Ok(()),
            Some(_) => Err(misfit("the goods are there already")),
        };
    }

    let goods = rows.get_mut(&id).ok_or_else(|| misfit("there are no such goods"))?;
    match &event.data {
        Event::GoodsAdded(_) => {}
        Event::GoodsRenamed(renamed) => goods.name.clone_from(&renamed.name),
        Event::PriceChanged(changed) => goods.price = changed.price,
        Event::StockAdjusted(adjusted) => goods.stock = adjusted.stock,
        Event::StockReserved(reserved) => goods.stock = reserved.stock,
        Event::StockReleased(released) => goods.stock = released.stock,
        Event::GoodsDiscontinued(_) => goods.discontinued = true,
    }
    goods.version = event.version;
    goods.updated_at = event.cause.time;
    Ok(())
}

/// Writes these rows, of which some are new.
pub(crate) async fn store<'r>(
    connection: &mut PgConnection,
    rows: impl Iterator<Item = &'r Goods>,
    is_new: impl Fn(&Goods) -> bool,
) -> Result<(), sqlx::Error> {
    Table::of("goods", rows)
        .key("id", |goods| goods.id.uuid())
        .column("version", |goods| goods.version.cast_signed())
        .column("created_at", |goods| goods.created_at)
        .column("updated_at", |goods| goods.updated_at)
        .column("name", |goods| Text(&goods.name))
        .column("price", |goods| goods.price.amount)
        .column("currency", |goods| goods.price.currency.to_string())
        .column("stock", |goods| goods.stock)
        .column("discontinued", |goods| goods.discontinued)
        .upsert(connection, is_new)
        .await
}

#[cfg(test)]
mod tests {
    use factfold_schemas::{
        goods::{GoodsAdded, GoodsDiscontinued, GoodsRenamed, PriceChanged, StockAdjusted},
        money::Money,
        topics::Service,
    };

    use super::*;
    use crate::projector::fixtures::cause;

    fn eur(amount: i64) -> Money {
        Money::new(amount, "EUR".parse().expect("a currency"))
    }

    fn id() -> GoodsId {
        GoodsId::new(uuid::Uuid::from_u128(1))
    }

    /// These events, as versions 1, 2, 3 … of one stream.
    fn folded(events: Vec<Event>) -> Result<Goods, Contradiction> {
        let mut rows = Rows::new();
        for (version, data) in (1..).zip(events) {
            let cause = cause(Service::Goods, "c", version);
            fold(
                &mut rows,
                &Recorded { stream: id().stream(), version: version.unsigned_abs(), cause, data },
            )?;
        }
        Ok(rows.remove(&id()).expect("the goods"))
    }

    fn added() -> Event {
        Event::GoodsAdded(GoodsAdded { name: "Tea".to_owned(), price: eur(399), stock: 10 })
    }

    #[test]
    fn the_row_says_what_the_events_said() {
        let goods = folded(vec![
            added(),
            Event::GoodsRenamed(GoodsRenamed { name: "Green tea".to_owned() }),
            Event::PriceChanged(PriceChanged { price: eur(499) }),
            Event::StockAdjusted(StockAdjusted { delta: -3, reason: "broken".to_owned(), stock: 7 }),
            Event::GoodsDiscontinued(GoodsDiscontinued {}),
        ])
        .expect("a sound history");
        let time = |decided| cause(Service::Goods, "c", decided).time;
        let expected = Goods {
            id: id(),
            version: 5,
            created_at: time(1),
            updated_at: time(5),
            name: "Green tea".to_owned(),
            price: eur(499),
            stock: 7,
            discontinued: true,
        };
        assert_eq!(goods, expected);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(matches!(folded(vec![added(), added()]), Err(Contradiction::Misfit { .. })));
        let headless = Event::GoodsDiscontinued(GoodsDiscontinued {});
        assert!(matches!(folded(vec![headless]), Err(Contradiction::Misfit { .. })));
    }

    /// DESIGN, section 4: each fold checks for itself that versions are contiguous.
    #[test]
    fn a_gap_and_a_repetition_are_refused() {
        for version in [1, 3] {
            let mut rows = Rows::new();
            let event = |version, data| Recorded {
                stream: id().stream(),
                version,
                cause: cause(Service::Goods, "c", 1),
                data,
            };
            fold(&mut rows, &event(1, added())).expect("the first event");
            let next = event(version, Event::GoodsDiscontinued(GoodsDiscontinued {}));
            assert!(matches!(fold(&mut rows, &next), Err(Contradiction::Version { expected: 2, .. })));
        }
    }
}
