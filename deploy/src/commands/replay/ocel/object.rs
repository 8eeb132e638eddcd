//! What events are about.

use factfold_schemas::ids::{EmailId, GoodsId, OrderId, UserId};
use serde::{Serialize, Serializer};

/// Something that events are about, small enough to be remembered by the million.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Object {
    Email(EmailId),
    Goods(GoodsId),
    Order(OrderId),
    User(UserId),
}

impl Object {
    /// Whose events these are.
    pub(super) fn of_stream(stream: &str) -> Option<Self> {
        let email = || EmailId::of_stream(stream).map(Self::Email);
        let goods = || GoodsId::of_stream(stream).map(Self::Goods);
        let order = || OrderId::of_stream(stream).map(Self::Order);
        let user = || UserId::of_stream(stream).map(Self::User);
        email().or_else(goods).or_else(order).or_else(user)
    }

    /// What an event names in a field of this name, without the `_id`.
    pub(super) fn named(name: &str, id: &str) -> Option<Self> {
        Some(match name {
            "email" => Self::Email(id.parse().ok()?),
            "goods" => Self::Goods(id.parse().ok()?),
            "order" => Self::Order(id.parse().ok()?),
            "user" => Self::User(id.parse().ok()?),
            _ => return None,
        })
    }

    /// The name of its type.
    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::Email(_) => "email",
            Self::Goods(_) => "goods",
            Self::Order(_) => "order",
            Self::User(_) => "user",
        }
    }

    /// Whether what an event of its own says under this name is so from then on.
    pub(super) fn keeps(self, attribute: &str) -> bool {
        let kept: &[&str] = match self {
            Self::Goods(_) => &["name", "price.amount", "price.currency", "stock"],
            Self::Order(_) => &["total.amount", "total.currency", "refunded.amount", "refunded.currency"],
            Self::Email(_) | Self::User(_) => &[],
        };
        kept.contains(&attribute)
    }
}

/// Its stream's name: two kinds never share one.
impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Email(id) => id.stream(),
            Self::Goods(id) => id.stream(),
            Self::Order(id) => id.stream(),
            Self::User(id) => id.stream(),
        }
        .serialize(serializer)
    }
}
