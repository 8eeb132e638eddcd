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
    postgres::{Text, Time},
    projector::Stop,
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
    fn column<'a, T>(
        entries: &[(OrderId, &'a Recorded<Event>)],
        of: impl Fn(&'a Recorded<Event>) -> T,
    ) -> Vec<T> {
        entries.iter().map(|(_, event)| of(event)).collect()
    }
    // What `encode` gives is JSON; as a text it needs no second parse on our side.
    let data = column(entries, |event| {
        nul::replaced_in_json(String::from_utf8_lossy(&encode(&event.data)).into_owned())
    });
    sqlx::query(
        "INSERT INTO order_timeline
             (order_id, version, type, data, at, auth_kind, auth_id, correlation, command_id, decided)
         SELECT order_id, version, type, data::JSONB, at, auth_kind, auth_id, correlation, command_id, decided
         FROM UNNEST($1::UUID[], $2::BIGINT[], $3::TEXT[], $4::TEXT[], $5::TIMESTAMPTZ[],
                     $6::TEXT[], $7::TEXT[], $8::TEXT[], $9::TEXT[], $10::TEXT[])
             AS e (order_id, version, type, data, at, auth_kind, auth_id, correlation, command_id, decided)",
    )
    .bind(entries.iter().map(|(order, _)| order.uuid()).collect::<Vec<_>>())
    .bind(column(entries, |event| event.version.cast_signed()))
    .bind(column(entries, |event| event.data.type_name()))
    .bind(data)
    .bind(column(entries, |event| Time(event.cause.time)))
    .bind(column(entries, |event| event.cause.auth.as_ref().map(|auth| Text(auth.kind()))))
    .bind(column(entries, |event| event.cause.auth.as_ref().and_then(|auth| auth.id()).map(Text)))
    .bind(column(entries, |event| event.cause.correlation.as_deref().map(Text)))
    .bind(column(entries, |event| Text(&event.cause.command_id)))
    .bind(column(entries, |event| event.cause.decided.to_string()))
    .execute(connection)
    .await
    .map(drop)
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
