//! Goods: what is sold. Commands, events, rejections, and the resource that people see.
//!
//! The names of events and of their fields are the storage format: append-only.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    codec::Message,
    ids::{GoodsId, OrderId},
    money::Money,
    rejection::{Reject, RejectionKind},
};

/// The longest name of goods, in characters.
pub const NAME_CHARS_MAX: usize = 200;
/// The longest reason that comes with a command, in characters.
pub const REASON_CHARS_MAX: usize = 500;
/// The largest stock of one kind of goods.
pub const STOCK_MAX: i64 = 1_000_000_000_000;

/// A request to the goods service.
#[derive(
    Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::IntoStaticStr, strum::VariantNames,
)]
pub enum Command {
    /// Offer something new.
    AddGoods(AddGoods),
    /// Change name or price.
    UpdateGoods(UpdateGoods),
    /// Count more or fewer pieces.
    AdjustStock(AdjustStock),
    /// Internal: set pieces aside for a line of an order.
    ReserveStock(ReserveStock),
    /// Internal: give back what was set aside.
    ReleaseStock(ReleaseStock),
    /// Sell no more of it.
    DiscontinueGoods(DiscontinueGoods),
}

impl Message for Command {
    const FAMILY: &'static str = "goods command";
}

impl Command {
    /// The types that only the system's own reactors send.
    pub const INTERNAL: &'static [&'static str] = &["ReserveStock", "ReleaseStock"];
}

/// Offer something new.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddGoods {
    /// What people read.
    #[schemars(length(min = 1, max = 200))]
    pub name: String,
    /// The price of one piece.
    pub price: Money,
    /// How many pieces there are.
    #[schemars(range(min = 0, max = 1_000_000_000_000_i64))]
    pub stock: i64,
}

/// Change name or price; what is left out stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateGoods {
    /// The new name.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::codec::present")]
    #[schemars(with = "String", length(min = 1, max = 200))]
    pub name: Option<String>,
    /// The new price. Orders confirmed before keep theirs.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::codec::present")]
    #[schemars(with = "Money")]
    pub price: Option<Money>,
}

/// Count more or fewer pieces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdjustStock {
    /// Pieces to add; negative to take away.
    #[schemars(range(min = -1_000_000_000_000_i64, max = 1_000_000_000_000_i64))]
    pub delta: i64,
    /// Why, for the auditor.
    #[schemars(length(min = 1, max = 500))]
    pub reason: String,
}

/// A line of an order, as the goods know it: what a reservation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Reservation {
    /// The order.
    pub order_id: OrderId,
    /// The line within the order, from 0.
    pub line: u16,
}

/// Set pieces aside for a line of an order, at today's price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReserveStock {
    /// The order.
    pub order_id: OrderId,
    /// The line within the order, from 0.
    pub line: u16,
    /// How many pieces.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub quantity: i64,
}

/// Give back what was set aside for a line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseStock {
    /// The order.
    pub order_id: OrderId,
    /// The line within the order, from 0.
    pub line: u16,
}

/// Sell no more of it; what is reserved stays reserved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiscontinueGoods {}

/// A fact of the goods service.
#[derive(
    Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::IntoStaticStr, strum::VariantNames,
)]
pub enum Event {
    /// Something new is offered.
    GoodsAdded(GoodsAdded),
    /// It has another name.
    GoodsRenamed(GoodsRenamed),
    /// It has another price.
    PriceChanged(PriceChanged),
    /// Pieces were counted.
    StockAdjusted(StockAdjusted),
    /// Pieces were set aside for a line of an order, and the price was fixed.
    StockReserved(StockReserved),
    /// What was set aside was given back.
    StockReleased(StockReleased),
    /// It is sold no more.
    GoodsDiscontinued(GoodsDiscontinued),
}

impl Message for Event {
    const FAMILY: &'static str = "goods event";
}

/// Something new is offered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GoodsAdded {
    /// What people read.
    pub name: String,
    /// The price of one piece.
    pub price: Money,
    /// How many pieces there are.
    pub stock: i64,
}

/// It has another name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GoodsRenamed {
    /// The new name.
    pub name: String,
}

/// It has another price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PriceChanged {
    /// The new price of one piece.
    pub price: Money,
}

/// Pieces were counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StockAdjusted {
    /// Pieces added, or taken away.
    pub delta: i64,
    /// Why.
    pub reason: String,
    /// What is left to sell.
    pub stock: i64,
}

/// Pieces were set aside for a line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StockReserved {
    /// The order.
    pub order_id: OrderId,
    /// The line within the order, from 0.
    pub line: u16,
    /// How many pieces.
    pub quantity: u32,
    /// The price of one piece, fixed for this line.
    pub unit_price: Money,
    /// What is left to sell.
    pub stock: i64,
}

/// What was set aside was given back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StockReleased {
    /// The order.
    pub order_id: OrderId,
    /// The line within the order, from 0.
    pub line: u16,
    /// How many pieces.
    pub quantity: u32,
    /// What is left to sell.
    pub stock: i64,
}

/// It is sold no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GoodsDiscontinued {}

/// Why the goods service said no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum Rejection {
    /// The effect is already there.
    #[error("nothing to do: it is so already")]
    NoChange,
    /// The id is taken.
    #[error("goods with this id exist already")]
    GoodsExist,
    /// Nothing with this id.
    #[error("there are no goods with this id")]
    GoodsNotFound,
    /// Sold no more.
    #[error("these goods are discontinued")]
    GoodsDiscontinued,
    /// The name is empty or too long.
    #[error("a name has 1 to {NAME_CHARS_MAX} characters")]
    InvalidName,
    /// The reason is empty or too long.
    #[error("a reason has 1 to {REASON_CHARS_MAX} characters")]
    InvalidReason,
    /// The price is negative or too large.
    #[error("a price is 0 to 2^53-1 minor units, but {given} was given")]
    InvalidPrice {
        /// The price in the command.
        given: i64,
    },
    /// The stock, the change or what they add up to is out of bounds.
    #[error("stock is 0 to {STOCK_MAX} pieces, but {given} would be outside")]
    InvalidStock {
        /// The number to blame.
        given: i64,
    },
    /// More would be taken away than is there.
    #[error("there are {available} pieces left: the adjustment would make the stock negative")]
    InsufficientStock {
        /// What is left to sell.
        available: i64,
    },
    /// A reservation of no pieces, or of too many.
    #[error("a quantity is 1 to 1000000, but {given} was given")]
    InvalidQuantity {
        /// The quantity in the command.
        given: i64,
    },
    /// A reservation of goods that nobody added.
    #[error("there are no goods with this id, so line {} of order {} cannot be reserved", .reservation.line, .reservation.order_id)]
    UnknownGoods {
        /// What could not be reserved.
        reservation: Reservation,
    },
    /// A reservation of goods that are sold no more.
    #[error("the goods are discontinued, so line {} of order {} cannot be reserved", .reservation.line, .reservation.order_id)]
    NotForSale {
        /// What could not be reserved.
        reservation: Reservation,
    },
    /// A reservation of more than there is.
    #[error("there are {available} pieces left, so line {} of order {} cannot be reserved", .reservation.line, .reservation.order_id)]
    SoldOut {
        /// What could not be reserved.
        reservation: Reservation,
        /// What is left to sell.
        available: i64,
    },
    /// The line is reserved already, with another quantity.
    #[error("this line is reserved already, with {reserved} pieces")]
    ReservedOtherwise {
        /// What is set aside for the line.
        reserved: u32,
    },
}

impl Reject for Rejection {
    fn kind(&self) -> RejectionKind {
        match self {
            Self::NoChange => RejectionKind::NoChange,
            Self::GoodsNotFound => RejectionKind::NotFound,
            Self::InvalidName
            | Self::InvalidReason
            | Self::InvalidPrice { .. }
            | Self::InvalidStock { .. }
            | Self::InvalidQuantity { .. } => RejectionKind::Invalid,
            Self::GoodsExist
            | Self::GoodsDiscontinued
            | Self::InsufficientStock { .. }
            | Self::UnknownGoods { .. }
            | Self::NotForSale { .. }
            | Self::SoldOut { .. }
            | Self::ReservedOtherwise { .. } => RejectionKind::Conflict,
        }
    }

    fn pointer(&self) -> Option<String> {
        let pointer = match self {
            Self::InvalidName => "/name",
            Self::InvalidReason => "/reason",
            Self::InvalidPrice { .. } => "/price/amount",
            Self::InvalidQuantity { .. } => "/quantity",
            _ => return None,
        };
        Some(pointer.to_owned())
    }
}

impl Rejection {
    /// The line of an order that could not be reserved; `None` for every other rejection.
    pub const fn refused_reservation(&self) -> Option<Reservation> {
        match self {
            Self::UnknownGoods { reservation }
            | Self::NotForSale { reservation }
            | Self::SoldOut { reservation, .. } => Some(*reservation),
            _ => None,
        }
    }
}

/// Goods as people see them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Goods {
    /// The id.
    pub id: GoodsId,
    /// The version of the last event of the stream.
    pub version: u64,
    /// When they were added.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub created_at: Timestamp,
    /// When they last changed.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub updated_at: Timestamp,
    /// What people read.
    pub name: String,
    /// The price of one piece.
    pub price: Money,
    /// What is left to sell.
    pub stock: i64,
    /// Sold no more.
    pub discontinued: bool,
}
