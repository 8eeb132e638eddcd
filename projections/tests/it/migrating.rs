//! The tables: made once, for people to read.

use factfold_projections::{Error, Projection, ReadSide, migrate};
use futures::future::try_join_all;
use sqlx::Row;

use crate::world::World;

/// Any number of processes start at once, and starting again changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn many_migrate_at_once() {
    let world = World::new().await;
    let mut cluster = world.cluster.clone();
    cluster.namespace =
        format!("{}_b", String::from(world.cluster.namespace.clone())).parse().expect("a namespace");
    try_join_all((0..6).map(|_| migrate(&cluster, &world.database_url))).await.expect("none meets another");
    let reads = ReadSide::connect(&cluster, &world.database_url, 1).await.expect("a read side");
    assert_eq!(reads.progress().await.expect("Postgres").len(), Projection::ALL.len());
    migrate(&cluster, &world.database_url).await.expect("nothing to do");
}

/// Views are for people: each and every column says what it is.
#[tokio::test(flavor = "multi_thread")]
async fn every_view_and_column_is_explained() {
    let world = World::new().await;
    let mut database = world.database().await;
    let columns = sqlx::query(
        "SELECT c.relname AS relation, c.relkind = 'v' AS is_view, a.attname AS name, obj_description(c.oid) AS about,
                col_description(c.oid, a.attnum) AS says
         FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
         WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('v', 'r') AND c.relname <> '_sqlx_migrations'",
    )
    .bind(world.schema())
    .fetch_all(&mut database)
    .await
    .expect("the columns");
    let mut views: Vec<String> = Vec::new();
    for column in &columns {
        let (relation, name): (String, String) = (column.get("relation"), column.get("name"));
        for remark in ["about", "says"] {
            let text: Option<String> = column.get(remark);
            assert!(text.is_some_and(|text| !text.is_empty()), "{relation}.{name} is not explained");
        }
        if column.get("is_view") {
            views.push(relation);
        }
    }
    views.sort();
    views.dedup();
    let expected = [
        "_credentials",
        "_sales_orders",
        "command_outcomes",
        "function_revisions",
        "functions",
        "goods",
        "order_lines",
        "order_timeline",
        "orders",
        "sales_by_day",
        "users",
    ];
    assert_eq!(views, expected);
}

/// Analysts may look at the views, and at nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn analysts_may_look_and_not_touch() {
    let world = World::new().await;
    let mut database = world.database().await;
    sqlx::query("SET ROLE factfold_reader").execute(&mut database).await.expect("the role");
    sqlx::query("SELECT * FROM orders JOIN order_lines ON order_id = id")
        .execute(&mut database)
        .await
        .expect("a look");
    sqlx::query("DELETE FROM orders").execute(&mut database).await.expect_err("must be refused");
    sqlx::query("SELECT * FROM users").execute(&mut database).await.expect("a look");
    for hidden in ["checkpoints", "_credentials"] {
        let select = sqlx::AssertSqlSafe(format!("SELECT * FROM {hidden}"));
        sqlx::query(select).execute(&mut database).await.expect_err("must be refused");
    }
}

/// Postgres would cut the name of a schema off, and two versions of a read model would be one.
#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_too_long_is_refused() {
    let world = World::new().await;
    let mut cluster = world.cluster.clone();
    cluster.namespace = "n".repeat(40).parse().expect("a namespace");
    let error = migrate(&cluster, &world.database_url).await.expect_err("must be refused");
    assert!(matches!(error, Error::NamespaceTooLong(_)));
}
