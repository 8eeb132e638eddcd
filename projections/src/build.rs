//! A build of a read model: tables in a schema of their own, folded from the beginning of the log. Any number of them can be
//! beside each other; people see one.

use std::fmt;

use factfold_schemas::topics::Namespace;
use sqlx::{
    Row as _,
    postgres::{PgConnectOptions, PgRow},
};

use crate::{Error, Projection, postgres::connect_options};

/// Which build of which read model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Build {
    /// The read model.
    pub projection: Projection,
    /// 1, 2, 3 … among its builds; never given twice.
    pub version: i32,
}

/// `goods 2`
impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.projection, self.version)
    }
}

impl Build {
    /// The build in the columns `projection` and `version`; `None` when only a newer code knows its read model.
    pub(crate) fn of(row: &PgRow) -> Result<Option<Self>, sqlx::Error> {
        let version = row.try_get("version")?;
        let projection = row.try_get::<&str, _>("projection")?.parse().ok();
        Ok(projection.map(|projection| Self { projection, version }))
    }

    /// The Postgres schema of its tables: `factfold_orders_1`.
    pub(crate) fn schema(self, namespace: &Namespace) -> String {
        format!("{}_{}_{}", namespace.schema(), self.projection, self.version)
    }

    /// How to connect to its tables: they come first, since the views of the same names show the current build.
    pub(crate) fn options(
        self,
        database_url: &str,
        namespace: &Namespace,
    ) -> Result<PgConnectOptions, Error> {
        let search_path = format!("{},{}", self.schema(namespace), namespace.schema());
        Ok(connect_options(database_url, namespace)?.options([("search_path", search_path)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_schema_of_its_own() {
        let build = Build { projection: Projection::OrderTimeline, version: 3 };
        assert_eq!(build.schema(&Namespace::default()), "factfold_order_timeline_3");
        assert_eq!(build.to_string(), "order_timeline 3");
    }
}
