//! Samples: what the documents show in the place of ids and resources. The resources are made from the types that run, so they
//! cannot have another shape.

use factfold_schemas::{
    goods::Goods,
    ids::{GoodsId, OrderId, UserId},
    money::Money,
    orders::{Line, Order, Status},
    personal::Personal,
    users::{self, Role, ShownSession, User},
};
use jiff::Timestamp;

/// Goods that are for sale.
pub(crate) const TEA: &str = "01a206cc-0019-70ec-84ec-29fb5a69ad89";
/// Goods that will be sold no more.
pub(crate) const COFFEE: &str = "01a206cc-0a51-7d0e-9c55-4a2f6a0b3e10";
/// An order that is paid, and paid back.
pub(crate) const ORDER: &str = "01a206cc-147e-759f-8a5f-556e713b500c";
/// Its stream.
pub(crate) const ORDER_STREAM: &str = "order-01a206cc-147e-759f-8a5f-556e713b500c";
/// An order that is called off.
pub(crate) const OTHER_ORDER: &str = "01a206cc-2034-7107-9fc8-558f1a01185d";
/// The customer.
pub(crate) const CUSTOMER: &str = "0190aaaa-0000-7000-8000-00000000000a";
/// The id of a command.
pub(crate) const COMMAND: &str = "01a206cc-1c78-763f-a5b7-c8934350d17d";
/// Where it lies.
pub(crate) const POSITION: &str = "goods.commands/1@42";

/// Somebody who registers.
pub(crate) const SOMEBODY: &str = "01a206cc-2f10-7a53-93d1-6d2c40b3a711";
/// Under this address.
pub(crate) const SOMEBODYS_EMAIL: &str = "ada@example.org";
/// With this password.
pub(crate) const PASSWORD: &str = "seven odd purple teapots";
/// What shows who one is, once one has logged in.
pub(crate) const BEARER: &str = "Bearer eyJ0eXAiOiJKV1QiLCJhbGciOiJFZERTQSJ9.access.token";
/// The token in it.
pub(crate) const ACCESS_TOKEN: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJFZERTQSJ9.access.token";
/// What a refresh token is called here.
pub(crate) const REFRESH_TOKEN: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJFZERTQSJ9.refresh.token";

const SESSION: &str = "01a206cc-31aa-7c02-8f00-5b9a3f0c1d22";
const TIME: &str = "2026-11-23T05:06:07.623Z";

/// So many cents.
pub(crate) fn eur(amount: i64) -> Money {
    Money::new(amount, "EUR".parse().expect("a currency"))
}

/// Goods as they are shown.
pub(crate) fn goods(id: &str, version: u64, name: &str, price: i64, stock: i64) -> Goods {
    Goods {
        id: id.parse::<GoodsId>().expect("an id"),
        version,
        created_at: time(),
        updated_at: time(),
        name: name.to_owned(),
        price: eur(price),
        stock,
        discontinued: false,
    }
}

/// Somebody who has registered.
pub(crate) fn user() -> User {
    User {
        id: SOMEBODY.parse().expect("an id"),
        version: 2,
        created_at: time(),
        updated_at: time(),
        status: users::Status::Active,
        email: Some(Personal::new(SOMEBODYS_EMAIL)),
        name: Some(Personal::new("Ada")),
        roles: vec![Role::Customer],
        sessions: Vec::new(),
    }
}

/// Where somebody is logged in.
pub(crate) fn session() -> ShownSession {
    ShownSession { id: SESSION.parse().expect("an id"), refreshed: 0, expires_at: time() }
}

/// An order of two pieces of tea as it is shown.
pub(crate) fn order(id: &str, version: u64, status: Status) -> Order {
    let is_priced = !matches!(status, Status::Created | Status::Cancelled);
    let is_paid = matches!(status, Status::Paid | Status::Refunded);
    Order {
        id: id.parse::<OrderId>().expect("an id"),
        version,
        created_at: time(),
        updated_at: time(),
        user_id: CUSTOMER.parse::<UserId>().expect("an id"),
        status,
        lines: vec![Line {
            goods_id: TEA.parse().expect("an id"),
            quantity: 2,
            unit_price: is_priced.then(|| eur(549)),
        }],
        total: is_priced.then(|| eur(1098)),
        paid: is_paid.then(|| eur(1098)),
        refunded: (status == Status::Refunded).then(|| eur(1098)),
        rejection: None,
    }
}

/// When it happened.
pub(crate) fn time() -> Timestamp {
    TIME.parse().expect("a time")
}
