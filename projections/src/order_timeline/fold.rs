//! The timeline keeps every event as it is: nothing to fold but the check that none is missing.

use std::collections::BTreeMap;

use factfold_schemas::{
    codec::{Named, encode},
    ids::OrderId,
    nul,
    orders::Event,
    position::Position,
    record::Recorded,
};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::{
    error::{Contradiction, Violation},
    postgres::Text,
    projector::Stop,
    table::{Jsonb, Table},
};

/// The last version of each order.
type Versions = BTreeMap<OrderId, u64>;

/// Writes these events into the table.
pub(crate) async fn write<'a>(
    connection: &mut PgConnection,
    events: impl Iterator<Item = (Position, &'a Recorded<Event>)> + Clone,
) -> Result<(), Stop> {
    let orders = events.clone().filter_map(|(_, event)| OrderId::of_stream(event.stream.as_str()));
    let mut versions = load(connection, orders).await?;
    let mut entries = Vec::new();
    for (at, event) in events {
        let order = follow(&mut versions, event).map_err(|contradiction| Violation {
            at,
            stream: Some(event.stream.clone()),
            contradiction,
        })?;
        entries.push((order, event));
    }
    entries.sort_unstable_by_key(|(order, event)| (*order, event.version));
    Ok(store(connection, &entries).await?)
}

/// Checks that this is the next event of its order.
fn follow(versions: &mut Versions, event: &Recorded<Event>) -> Result<OrderId, Contradiction> {
    let order = OrderId::of_stream(event.stream.as_str()).ok_or(Contradiction::Misfit {
        event: event.data.type_name(),
        why: "its stream is not one of an order",
    })?;
    let last = versions.entry(order).or_default();
    Contradiction::check_version(*last, event.version)?;
    *last = event.version;
    Ok(order)
}

async fn load(
    connection: &mut PgConnection,
    orders: impl Iterator<Item = OrderId>,
) -> Result<Versions, sqlx::Error> {
    let mut orders: Vec<Uuid> = orders.map(OrderId::uuid).collect();
    orders.sort_unstable();
    orders.dedup();
    let rows = sqlx::query(
        "SELECT o.id, t.version FROM UNNEST($1::UUID[]) AS o (id), LATERAL (
             SELECT version FROM order_timeline WHERE order_id = o.id ORDER BY version DESC LIMIT 1
         ) AS t",
    )
    .bind(orders)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| Ok((OrderId::new(row.try_get("id")?), crate::postgres::version(row, "version")?)))
        .collect()
}

async fn store(
    connection: &mut PgConnection,
    entries: &[(OrderId, &Recorded<Event>)],
) -> Result<(), sqlx::Error> {
    let data = |event: &Recorded<Event>| {
        nul::replaced_in_json(String::from_utf8_lossy(&encode(&event.data)).into_owned())
    };
    Table::of("order_timeline", entries)
        .key("order_id", |(order, _)| order.uuid())
        .key("version", |(_, event)| event.version.cast_signed())
        .column("type", |(_, event)| event.data.type_name())
        .column("data", |(_, event)| Jsonb(data(event)))
        .column("at", |(_, event)| event.cause.time)
        .column("auth_kind", |(_, event)| event.cause.auth.as_ref().map(|auth| Text(auth.kind())))
        .column("auth_id", |(_, event)| event.cause.auth.as_ref().and_then(|auth| auth.id()).map(Text))
        .column("correlation", |(_, event)| event.cause.correlation.as_deref().map(Text))
        .column("command_id", |(_, event)| Text(&event.cause.command_id))
        .column("decided", |(_, event)| event.cause.decided.to_string())
        .insert(connection)
        .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projector::{Record, fixtures::event};

    fn follow_version(versions: &mut Versions, version: u64) -> Result<OrderId, Contradiction> {
        match event(10, "c", 1, version).record {
            Record::Orders(event) => follow(versions, &event),
            other => unreachable!("the fixture is an event of an order: {other:?}"),
        }
    }

    /// DESIGN, section 4: each fold checks for itself that versions are contiguous.
    #[test]
    fn a_history_has_no_gaps_and_no_repetitions() {
        let mut versions = Versions::new();
        follow_version(&mut versions, 1).expect("the first");
        follow_version(&mut versions, 2).expect("the second");
        for version in [1, 2, 4] {
            let refused = follow_version(&mut versions, version).expect_err("must be refused");
            assert!(matches!(refused, Contradiction::Version { expected: 3, .. }));
        }
    }
}
