//! What Postgres and we have to agree on: where the tables are, what time looks like, how a row becomes a value.

use std::{borrow::Cow, str::FromStr};

use factfold_schemas::{
    command::Auth,
    money::{Currency, Money},
    nul,
    topics::Namespace,
};
use jiff::Timestamp;
use sqlx::{
    ConnectOptions as _, Decode, Encode, Postgres, Row, Transaction, Type,
    encode::IsNull,
    error::BoxDynError,
    postgres::{
        PgArgumentBuffer, PgConnectOptions, PgRow, PgTypeInfo, PgValueFormat, PgValueRef, types::Oid,
    },
};

use crate::Error;

/// How to connect, with unqualified names leading to the catalogue of this namespace. It is also the name under which
/// operators see the connection. Statements are not logged: of a slow one, as of an index of millions of rows, what took so long
/// is shown by whoever asked for it.
pub(crate) fn connect_options(database_url: &str, namespace: &Namespace) -> Result<PgConnectOptions, Error> {
    let catalogue = namespace.schema();
    let options = PgConnectOptions::from_str(database_url).map_err(Error::DatabaseUrl)?;
    let options = options.application_name(&catalogue).options([("search_path", &catalogue)]);
    Ok(options.disable_statement_logging())
}

/// Ends a transaction, the way that the work in it did. One that is only dropped stays open, with every lock that it has, until its
/// connection is used again.
pub(crate) async fn end<T, E: From<sqlx::Error>>(
    transaction: Transaction<'_, Postgres>,
    worked: Result<T, E>,
) -> Result<T, E> {
    match worked {
        Ok(done) => transaction.commit().await.map(|()| done).map_err(E::from),
        Err(error) => {
            // Where that fails the connection is broken, which ends it too.
            let _ = transaction.rollback().await;
            Err(error)
        }
    }
}

/// A `timestamptz`. Postgres keeps microseconds, Kafka milliseconds: nothing is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Time(pub(crate) Timestamp);

impl Time {
    /// 2000-01-01, from where Postgres counts, in microseconds since 1970.
    const EPOCH_US: i64 = 946_684_800_000_000;

    /// In Postgres' binary form.
    pub(crate) fn to_be_bytes(self) -> [u8; 8] {
        (self.0.as_microsecond() - Self::EPOCH_US).to_be_bytes()
    }
}

// The ids of built-in types never change: `pg_type.dat` of Postgres.
const TIMESTAMPTZ: Oid = Oid(1184);

impl Type<Postgres> for Time {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(TIMESTAMPTZ)
    }
}

impl Encode<'_, Postgres> for Time {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(&self.to_be_bytes());
        Ok(IsNull::No)
    }
}

impl Decode<'_, Postgres> for Time {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        match value.format() {
            PgValueFormat::Binary => {
                let micros = i64::from_be_bytes(value.as_bytes()?.try_into()?);
                let since_1970 = micros.checked_add(Self::EPOCH_US).ok_or("a time out of range")?;
                Ok(Self(Timestamp::from_microsecond(since_1970)?))
            }
            PgValueFormat::Text => Ok(Self(value.as_str()?.parse()?)),
        }
    }
}

/// A text, without the one character that Postgres has not got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Text<'a>(pub(crate) &'a str);

impl<'a> Text<'a> {
    /// As Postgres gets it.
    pub(crate) fn replaced(self) -> Cow<'a, str> {
        nul::replaced(self.0)
    }
}

/// The time in this column.
pub(crate) fn time(row: &PgRow, column: &str) -> Result<Timestamp, sqlx::Error> {
    Ok(row.try_get::<Time, _>(column)?.0)
}

/// The version in this column.
pub(crate) fn version(row: &PgRow, column: &str) -> Result<u64, sqlx::Error> {
    Ok(row.try_get::<i64, _>(column)?.unsigned_abs())
}

/// The text in this column, as what it spells.
pub(crate) fn parsed<T>(row: &PgRow, column: &str) -> Result<Option<T>, sqlx::Error>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    let text: Option<&str> = row.try_get(column)?;
    text.map(str::parse).transpose().map_err(|error| undecodable(column, error))
}

/// The same, in a column that is never null.
pub(crate) fn required<T>(row: &PgRow, column: &str) -> Result<T, sqlx::Error>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    parsed(row, column)?.ok_or_else(|| undecodable(column, "unexpected NULL"))
}

/// The error for a column that holds something else than it must.
pub(crate) fn undecodable(column: &str, error: impl Into<BoxDynError>) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_owned(), source: error.into() }
}

/// The amount in one column, with the currency in another.
pub(crate) fn money(row: &PgRow, amount: &str, currency: &str) -> Result<Option<Money>, sqlx::Error> {
    let (amount, currency) = (row.try_get::<Option<i64>, _>(amount)?, parsed::<Currency>(row, currency)?);
    Ok(amount.zip(currency).map(|(amount, currency)| Money::new(amount, currency)))
}

/// On whose behalf something was done.
pub(crate) fn auth(row: &PgRow) -> Result<Option<Auth>, sqlx::Error> {
    let (kind, id) = (row.try_get::<Option<String>, _>("auth_kind")?, row.try_get("auth_id")?);
    Ok(kind.map(|kind| Auth::new(kind, id)))
}
