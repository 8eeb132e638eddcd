//! Orders: who bought what, and whether it was paid. Commands, events, rejections, and the resource that people see.
//!
//! The names of events and of their fields are the storage format: append-only.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    codec::Message,
    ids::{GoodsId, OrderId, UserId},
    money::{Currency, Money},
    rejection::{Reject, RejectionKind},
};

/// The most lines of one order.
pub const LINES_MAX: usize = 100;
/// The most pieces of one line.
pub const QUANTITY_MAX: i64 = 1_000_000;
/// The longest reason or method that comes with a command, in characters.
pub const TEXT_CHARS_MAX: usize = 500;

/// A request to the orders service.
#[derive(
    Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::IntoStaticStr, strum::VariantNames,
)]
pub enum Command {
    /// Order goods.
    CreateOrder(CreateOrder),
    /// Pay the whole of a confirmed order.
    PayOrder(PayOrder),
    /// Give money back, the whole or a part.
    RefundOrder(RefundOrder),
    /// Call an unpaid order off.
    CancelOrder(CancelOrder),
    /// Internal: the goods were set aside for a line.
    RecordReservation(RecordReservation),
    /// Internal: the goods could not be set aside for a line.
    RejectOrder(RejectOrder),
    /// Internal: it was not paid in time.
    ExpireOrder(ExpireOrder),
}

impl Message for Command {
    const FAMILY: &'static str = "orders command";
}

impl Command {
    /// The types that only the system's own reactors and timers send.
    pub const INTERNAL: &'static [&'static str] = &["RecordReservation", "RejectOrder", "ExpireOrder"];
}

/// Order goods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateOrder {
    /// Whose order it is.
    pub user_id: UserId,
    /// What is ordered: 1 to 100 lines, no goods twice.
    #[schemars(length(min = 1, max = 100))]
    pub lines: Vec<RequestedLine>,
}

/// What a customer asks for in one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestedLine {
    /// Which goods.
    pub goods_id: GoodsId,
    /// How many pieces.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub quantity: i64,
}

/// Pay the whole of a confirmed order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PayOrder {
    /// Exactly the order's total.
    pub amount: Money,
    /// How it was paid: `card`, `transfer`, …
    #[schemars(length(min = 1, max = 500))]
    pub method: String,
}

/// Give money back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefundOrder {
    /// How much; all that is left when absent.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::codec::present")]
    #[schemars(with = "Money")]
    pub amount: Option<Money>,
    /// Why, for the auditor.
    #[schemars(length(min = 1, max = 500))]
    pub reason: String,
}

/// Call an unpaid order off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelOrder {
    /// Why, for the auditor.
    #[schemars(length(min = 1, max = 500))]
    pub reason: String,
}

/// The goods were set aside for a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordReservation {
    /// The line within the order, from 0.
    pub line: u16,
    /// The price of one piece, fixed at the reservation.
    pub unit_price: Money,
}

/// The goods could not be set aside for a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RejectOrder {
    /// Why.
    pub reason: RejectionReason,
}

/// It was not paid in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpireOrder {}

/// A fact of the orders service.
#[derive(
    Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::IntoStaticStr, strum::VariantNames,
)]
pub enum Event {
    /// Goods were ordered; nothing is reserved yet.
    OrderCreated(OrderCreated),
    /// The goods of a line are set aside, its price is fixed.
    LineReserved(LineReserved),
    /// Every line is reserved: it can be paid.
    OrderConfirmed(OrderConfirmed),
    /// A line could not be reserved.
    OrderRejected(OrderRejected),
    /// The whole was paid.
    OrderPaid(OrderPaid),
    /// Money was given back.
    OrderRefunded(OrderRefunded),
    /// It was called off before it was paid.
    OrderCancelled(OrderCancelled),
    /// It was not paid in time.
    OrderExpired(OrderExpired),
}

impl Message for Event {
    const FAMILY: &'static str = "orders event";
}

/// Goods were ordered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrderCreated {
    /// Whose order it is.
    pub user_id: UserId,
    /// What is ordered. A line is named by its place here, from 0.
    pub lines: Vec<OrderedLine>,
}

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrderedLine {
    /// Which goods.
    pub goods_id: GoodsId,
    /// How many pieces.
    pub quantity: u32,
}

/// The goods of a line are set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LineReserved {
    /// The line within the order, from 0.
    pub line: u16,
    /// The price of one piece.
    pub unit_price: Money,
}

/// Every line is reserved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrderConfirmed {
    /// What is to be paid.
    pub total: Money,
}

/// A line could not be reserved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrderRejected {
    /// Why.
    pub reason: RejectionReason,
    /// The order's lines, so that what was reserved can be given back.
    pub lines: Vec<OrderedLine>,
}

/// Why an order was rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RejectionReason {
    /// The problem's name: `sold-out`, `unknown-goods`, `not-for-sale`, `currencies-differ`, `total-too-large`.
    pub name: String,
    /// One sentence for people.
    pub detail: String,
    /// The line to blame, from 0.
    pub line: u16,
}

/// The whole was paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrderPaid {
    /// The order's total.
    pub amount: Money,
    /// How it was paid.
    pub method: String,
}

/// Money was given back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrderRefunded {
    /// How much this time.
    pub amount: Money,
    /// How much in all, this time included.
    pub refunded: Money,
    /// Whether nothing of the payment is left.
    pub in_full: bool,
    /// Why.
    pub reason: String,
}

/// It was called off before it was paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrderCancelled {
    /// Why.
    pub reason: String,
    /// The order's lines, so that what was reserved can be given back.
    pub lines: Vec<OrderedLine>,
}

/// It was not paid in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrderExpired {
    /// The order's lines, so that what was reserved can be given back.
    pub lines: Vec<OrderedLine>,
}

/// Where an order is in its life.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantNames,
)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "OrderStatus")]
#[strum(serialize_all = "kebab-case")]
pub enum Status {
    /// Ordered; the goods are being reserved.
    Created,
    /// Reserved, with its price; to be paid.
    Confirmed,
    /// It cannot be had.
    Rejected,
    /// Paid, and not wholly given back.
    Paid,
    /// Paid, and wholly given back.
    Refunded,
    /// Called off before it was paid.
    Cancelled,
    /// Not paid in time.
    Expired,
}

impl Status {
    /// Whether no further status can follow.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Rejected | Self::Refunded | Self::Cancelled | Self::Expired)
    }
}

/// Why the orders service said no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum Rejection {
    /// The effect is already there.
    #[error("nothing to do: it is so already")]
    NoChange,
    /// The id is taken.
    #[error("an order with this id exists already")]
    OrderExists,
    /// Nothing with this id.
    #[error("there is no order with this id")]
    OrderNotFound,
    /// Somebody else's order: to the caller it is not there.
    #[error("there is no order with this id")]
    NotYourOrder,
    /// Somebody orders in another's name.
    #[error("an order is placed in one's own name: user_id must be the caller's")]
    NotYourName,
    /// Nothing is ordered.
    #[error("an order has at least one line")]
    NoLines,
    /// Too much is ordered at once.
    #[error("an order has at most {LINES_MAX} lines, but {given} were given")]
    TooManyLines {
        /// How many lines the command has.
        given: usize,
    },
    /// No pieces, or too many.
    #[error("a quantity is 1 to {QUANTITY_MAX}, but line {line} has {given}")]
    QuantityOutOfRange {
        /// The line to blame, from 0.
        line: usize,
        /// Its quantity.
        given: i64,
    },
    /// The same goods in two lines.
    #[error("line {line} names the same goods as an earlier line: add their quantities up")]
    GoodsTwice {
        /// The later line, from 0.
        line: usize,
    },
    /// A reason or method is empty or too long.
    #[error("`{field}` has 1 to {TEXT_CHARS_MAX} characters")]
    InvalidText {
        /// The field to blame.
        field: String,
    },
    /// A reservation for a line that the order does not have.
    #[error("the order has no line {line}")]
    NoSuchLine {
        /// The line in the command, from 0.
        line: u16,
    },
    /// It cannot be paid yet.
    #[error("the order is not confirmed yet: wait for it with GET /v1/orders/<id>?until=confirmed")]
    OrderNotConfirmed,
    /// It is over, so it can be neither paid nor called off.
    #[error("the order is {status}, so this cannot be done any more")]
    OrderClosed {
        /// Where the order is in its life.
        status: Status,
    },
    /// It is paid already.
    #[error("the order is paid already")]
    AlreadyPaid,
    /// A paid order is refunded, not called off.
    #[error("the order is paid: refund it instead of cancelling it")]
    PaidNotCancellable,
    /// Nothing was paid, so nothing can be given back.
    #[error("the order is {status}: only a paid order can be refunded")]
    NotPaid {
        /// Where the order is in its life.
        status: Status,
    },
    /// All is given back already.
    #[error("the order is refunded in full already")]
    AlreadyRefunded,
    /// An amount of nothing, below nothing, or beyond what JSON readers keep exact.
    #[error("an amount is 1 to 2^53-1 minor units, but {given} was given")]
    InvalidAmount {
        /// The amount in the command.
        given: i64,
    },
    /// Not what the order costs.
    #[error("the order costs {expected}, but {given} was offered")]
    WrongAmount {
        /// The order's total.
        expected: Money,
        /// The amount in the command.
        given: Money,
    },
    /// Another currency than the order's.
    #[error("the order is in {expected}, but {given} was offered")]
    WrongCurrency {
        /// The order's currency.
        expected: Currency,
        /// The currency in the command.
        given: Currency,
    },
    /// More than is left of the payment.
    #[error("of the payment {left} is left, but {given} was to be given back")]
    RefundExceedsPayment {
        /// What is left of the payment.
        left: Money,
        /// The amount in the command.
        given: Money,
    },
}

impl Reject for Rejection {
    fn kind(&self) -> RejectionKind {
        match self {
            Self::NoChange => RejectionKind::NoChange,
            Self::OrderNotFound | Self::NotYourOrder => RejectionKind::NotFound,
            Self::NotYourName
            | Self::NoLines
            | Self::TooManyLines { .. }
            | Self::QuantityOutOfRange { .. }
            | Self::GoodsTwice { .. }
            | Self::InvalidText { .. }
            | Self::NoSuchLine { .. }
            | Self::InvalidAmount { .. }
            | Self::WrongAmount { .. }
            | Self::WrongCurrency { .. }
            | Self::RefundExceedsPayment { .. } => RejectionKind::Invalid,
            Self::OrderExists
            | Self::OrderNotConfirmed
            | Self::OrderClosed { .. }
            | Self::AlreadyPaid
            | Self::PaidNotCancellable
            | Self::NotPaid { .. }
            | Self::AlreadyRefunded => RejectionKind::Conflict,
        }
    }

    fn pointer(&self) -> Option<String> {
        Some(match self {
            Self::NotYourName => "/user_id".to_owned(),
            Self::NoLines | Self::TooManyLines { .. } => "/lines".to_owned(),
            Self::QuantityOutOfRange { line, .. } => format!("/lines/{line}/quantity"),
            Self::GoodsTwice { line } => format!("/lines/{line}/goods_id"),
            Self::InvalidText { field } => format!("/{field}"),
            Self::NoSuchLine { .. } => "/line".to_owned(),
            Self::InvalidAmount { .. } | Self::WrongAmount { .. } | Self::RefundExceedsPayment { .. } => {
                "/amount/amount".to_owned()
            }
            Self::WrongCurrency { .. } => "/amount/currency".to_owned(),
            _ => return None,
        })
    }
}

/// An order as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Order {
    /// The id.
    pub id: OrderId,
    /// The version of the last event of the stream.
    pub version: u64,
    /// When it was created.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub created_at: Timestamp,
    /// When it last changed.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub updated_at: Timestamp,
    /// Whose order it is.
    pub user_id: UserId,
    /// Where it is in its life.
    pub status: Status,
    /// What is ordered.
    pub lines: Vec<Line>,
    /// What is to be paid; fixed when it is confirmed.
    pub total: Option<Money>,
    /// What was paid.
    pub paid: Option<Money>,
    /// What was given back.
    pub refunded: Option<Money>,
    /// Why it was rejected.
    pub rejection: Option<RejectionReason>,
}

/// A line of an order as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "OrderLine")]
pub struct Line {
    /// Which goods.
    pub goods_id: GoodsId,
    /// How many pieces.
    pub quantity: u32,
    /// The price of one piece, once the line is reserved.
    pub unit_price: Option<Money>,
}
