//! Questions to the read model `users`.

use factfold_schemas::{
    ids::{EmailId, UserId},
    personal::Personal,
    users::{RegistrationFailure, Role, Status, User},
};
use sqlx::{PgExecutor, Row, postgres::PgRow, types::Json};
use uuid::Uuid;

use crate::{
    page::{Cursor, Page, PageRequest},
    postgres::{Time, parsed, required, time, undecodable, version},
};

/// Which users are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UserFilter {
    /// Only those whose account is here in its life.
    pub status: Option<Status>,
    /// Only those who have this role.
    pub role: Option<Role>,
}

/// An account, with what only the system itself looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRow {
    /// The account as people see it, its personal data sealed.
    pub user: User,
    /// The pseudonym of its address.
    pub email_id: EmailId,
    /// Why its registration came to nothing.
    pub failure: Option<RegistrationFailure>,
    pub(crate) password_hash: Option<String>,
    pub(crate) password_number: u32,
}

/// How a user proves who that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Who.
    pub user_id: UserId,
    /// The pseudonym of the address.
    pub email_id: EmailId,
    /// The argon2id hash of the password.
    pub password_hash: String,
    /// How often the password was changed.
    pub password_number: u32,
}

const SELECT: &str = "SELECT * FROM users JOIN _credentials ON user_id = id";

/// The account with this id.
pub(crate) async fn find(database: impl PgExecutor<'_>, id: UserId) -> Result<Option<UserRow>, sqlx::Error> {
    Ok(load(database, &[id]).await?.pop())
}

/// Those of these accounts that are there, in no order.
pub(super) async fn load(database: impl PgExecutor<'_>, ids: &[UserId]) -> Result<Vec<UserRow>, sqlx::Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!("{SELECT} WHERE id = ANY($1)")))
        .bind(ids)
        .fetch_all(database)
        .await?;
    rows.iter().map(row).collect()
}

/// How whoever holds this address comes in.
pub(crate) async fn find_credentials(
    database: impl PgExecutor<'_>,
    email_id: EmailId,
) -> Result<Option<Credentials>, sqlx::Error> {
    let found = sqlx::query(sqlx::AssertSqlSafe(format!(
        "{SELECT} WHERE email_id = $1 AND status = 'active' ORDER BY created_at DESC, id DESC LIMIT 1"
    )))
    .bind(email_id.uuid())
    .fetch_optional(database)
    .await?;
    found.as_ref().map(credentials).transpose().map(Option::flatten)
}

/// How this user comes in, while the account is open.
pub(crate) async fn find_credentials_of(
    database: impl PgExecutor<'_>,
    id: UserId,
) -> Result<Option<Credentials>, sqlx::Error> {
    let found = sqlx::query(sqlx::AssertSqlSafe(format!("{SELECT} WHERE id = $1 AND status = 'active'")))
        .bind(id.uuid())
        .fetch_optional(database)
        .await?;
    found.as_ref().map(credentials).transpose().map(Option::flatten)
}

/// A page of users, newest first. Without a status, those whose registration came to nothing are left out.
pub(crate) async fn list(
    database: impl PgExecutor<'_>,
    filter: &UserFilter,
    page: &PageRequest,
) -> Result<Page<User>, sqlx::Error> {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
        "{SELECT}
         WHERE CASE WHEN $1::TEXT IS NULL THEN status <> 'rejected' ELSE status = $1 END
           AND ($2::TEXT IS NULL OR $2 = ANY(roles))
           AND ($3::TIMESTAMPTZ IS NULL OR (created_at, id) < ($3, $4::UUID))
         ORDER BY created_at DESC, id DESC
         LIMIT $5"
    )))
    .bind(filter.status.map(|status| status.to_string()))
    .bind(filter.role.map(|role| role.to_string()))
    .bind(page.after.map(|cursor| Time(cursor.created_at)))
    .bind(page.after.map(|cursor| cursor.id))
    .bind(page.rows())
    .fetch_all(database)
    .await?;
    let items = rows.iter().map(|shown| Ok(row(shown)?.user)).collect::<Result<_, sqlx::Error>>()?;
    Ok(Page::of(items, page, |user| Cursor { created_at: user.created_at, id: user.id.uuid() }))
}

fn row(row: &PgRow) -> Result<UserRow, sqlx::Error> {
    let personal =
        |column| Ok::<_, sqlx::Error>(row.try_get::<Option<String>, _>(column)?.map(Personal::new));
    let roles: Vec<String> = row.try_get("roles")?;
    let roles = roles.iter().map(|role| role.parse().map_err(|error| undecodable("roles", error)));
    let user = User {
        id: UserId::new(row.try_get("id")?),
        version: version(row, "version")?,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
        status: required(row, "status")?,
        email: personal("email")?,
        name: personal("name")?,
        roles: roles.collect::<Result<_, _>>()?,
        sessions: row.try_get::<Json<_>, _>("sessions")?.0,
    };
    Ok(UserRow {
        user,
        email_id: EmailId::new(row.try_get("email_id")?),
        failure: parsed(row, "failure")?,
        password_hash: row.try_get("password_hash")?,
        password_number: row.try_get::<i32, _>("password_number")?.unsigned_abs(),
    })
}

/// An account that is closed has none.
fn credentials(of: &PgRow) -> Result<Option<Credentials>, sqlx::Error> {
    let UserRow { user, email_id, password_hash, password_number, .. } = row(of)?;
    let held = |password_hash| Credentials { user_id: user.id, email_id, password_hash, password_number };
    Ok(password_hash.map(held))
}
