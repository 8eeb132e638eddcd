//! The list of read models. To add one: a folder with tables, fold and queries, and a line in each `match` on this enum.

use factfold_schemas::topics::{Service, Topic, TopicKind};

use crate::{command_outcomes, functions, goods, order_timeline, orders, sales_by_day, users};

/// A read model.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantNames,
)]
#[strum(serialize_all = "snake_case")]
pub enum Projection {
    /// What is sold.
    Goods,
    /// Orders and their lines.
    Orders,
    /// What happened to each order.
    OrderTimeline,
    /// What was sold on each day.
    SalesByDay,
    /// Who there is.
    Users,
    /// What users deployed.
    Functions,
    /// What became of each command.
    CommandOutcomes,
}

impl Projection {
    /// All read models.
    pub const ALL: [Self; 7] = [
        Self::Goods,
        Self::Orders,
        Self::OrderTimeline,
        Self::SalesByDay,
        Self::Users,
        Self::Functions,
        Self::CommandOutcomes,
    ];

    /// `goods`, `orders`, `order_timeline`, `sales_by_day`, `users`, `functions`, `command_outcomes`.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The number of its fold and its tables, 1 or more: raise it when either changes, and the next start builds it anew, beside.
    pub const fn fold(self) -> i32 {
        match self {
            Self::Goods | Self::Orders | Self::OrderTimeline | Self::SalesByDay | Self::Users => 1,
            Self::Functions | Self::CommandOutcomes => 2,
        }
    }

    /// The topics that it is folded from.
    pub fn topics(self) -> Vec<Topic> {
        match self {
            Self::Goods => vec![Service::Goods.events()],
            Self::Orders | Self::OrderTimeline | Self::SalesByDay => vec![Service::Orders.events()],
            Self::Users => vec![Service::Users.events()],
            Self::Functions => vec![Service::Functions.events()],
            Self::CommandOutcomes => Topic::all()
                .filter(|topic| matches!(topic.kind, TopicKind::Events | TopicKind::Outcomes))
                .collect(),
        }
    }

    /// Whether commands of this service can show in it.
    pub fn is_fed_by(self, service: Service) -> bool {
        self.topics().contains(&service.events())
    }

    /// The statements that make its tables, for a search path that leads to a build's schema.
    pub(crate) const fn tables(self) -> &'static str {
        match self {
            Self::Goods => goods::TABLES,
            Self::Orders => orders::TABLES,
            Self::OrderTimeline => order_timeline::TABLES,
            Self::SalesByDay => sales_by_day::TABLES,
            Self::Users => users::TABLES,
            Self::Functions => functions::TABLES,
            Self::CommandOutcomes => command_outcomes::TABLES,
        }
    }

    /// The names of its tables; those that begin with `_` are not for analysts.
    pub fn table_names(self) -> impl Iterator<Item = &'static str> {
        self.tables().lines().filter_map(|line| line.strip_prefix("CREATE TABLE ")?.split(' ').next())
    }

    /// The statements that make their indexes, but for those of their keys.
    pub(crate) const fn indexes(self) -> &'static str {
        match self {
            Self::Goods => goods::INDEXES,
            Self::Orders => orders::INDEXES,
            Self::OrderTimeline | Self::SalesByDay | Self::Functions => "",
            Self::Users => users::INDEXES,
            Self::CommandOutcomes => command_outcomes::INDEXES,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_read_model_knows_what_feeds_it() {
        assert!(Projection::Goods.is_fed_by(Service::Goods));
        assert!(!Projection::Goods.is_fed_by(Service::Orders));
        assert!(Service::ALL.into_iter().all(|service| Projection::CommandOutcomes.is_fed_by(service)));
        assert_eq!(Projection::CommandOutcomes.topics().len(), 2 * Service::ALL.len());
    }
}
