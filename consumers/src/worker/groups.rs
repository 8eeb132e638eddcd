//! The consumer groups of the system: which there are, and what each reads. Whoever starts them, measures how far they are
//! behind, or waits for them looks here.

use factfold_schemas::topics::{Service, Topic};

use super::{deciding, keeping, reacting};
use crate::{
    functions::FunctionsDecider,
    goods::GoodsDecider,
    orders::OrdersDecider,
    reactors::{
        Reactor, erasures::Erasures, order_expiry::OrderExpiry, order_stock::OrderStock,
        registrations::Registrations, reservations::Reservations, schedules::Schedules,
    },
    users::UsersDecider,
};

/// A consumer group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name, without the namespace.
    pub name: String,
    /// The service whose worker does its work.
    pub service: Service,
    /// The topics that it reads.
    pub inputs: Vec<Topic>,
}

/// All of them.
pub fn all() -> Vec<Group> {
    let decider = |name, service: Service| Group { name, service, inputs: vec![service.commands()] };
    let deciders = [
        decider(deciding::group::<FunctionsDecider>(), Service::Functions),
        decider(deciding::group::<GoodsDecider>(), Service::Goods),
        decider(deciding::group::<OrdersDecider>(), Service::Orders),
        decider(deciding::group::<UsersDecider>(), Service::Users),
    ];
    deciders.into_iter().chain(of_followers()).collect()
}

/// Those that follow what deciders write. They can begin at the start of topics that are new, and need to be told so, since
/// the topics may not be empty any more when they first run.
pub fn of_followers() -> Vec<Group> {
    let keepers = Service::ALL.map(|service| Group {
        name: keeping::group(service),
        service,
        inputs: vec![service.timers()],
    });
    let reactors = [
        reactor::<Schedules>(Service::Functions),
        reactor::<OrderStock>(Service::Orders),
        reactor::<Reservations>(Service::Orders),
        reactor::<OrderExpiry>(Service::Orders),
        reactor::<Registrations>(Service::Users),
        reactor::<Erasures>(Service::Users),
    ];
    keepers.into_iter().chain(reactors).collect()
}

/// A reactor runs beside the decider of the service that it serves.
fn reactor<R: Reactor>(service: Service) -> Group {
    Group { name: reacting::group::<R>(), service, inputs: R::INPUTS.to_vec() }
}
