//! What people do to the system, and what must come of it.

use std::collections::BTreeSet;

use factfold_schemas::{
    goods::{AddGoods, AdjustStock, DiscontinueGoods, UpdateGoods},
    ids::{OrderId, UserId},
    orders::{CancelOrder, CreateOrder, ExpireOrder, PayOrder, RefundOrder, RequestedLine},
    personal::Personal,
    users::{DeactivateUser, ErasePersonalData, ExpireRegistration, RegisterUser},
};
use proptest::{prelude::*, sample::Index, strategy::ValueTree};

use super::*;
use crate::given::{eur, id, usd};

const ANNA: UserId = id(1);
/// The shop begins with this many kinds of goods; there is one more that nobody has added.
const GOODS: u128 = 3;

/// What somebody does. Orders and goods are named by their number.
#[derive(Debug, Clone)]
enum Action {
    Order(Vec<(GoodsId, i64)>),
    Cancel(Index),
    Pay(Index),
    Refund(Index),
    Expire(Index),
    Goods(GoodsId, goods::Command),
    User(UserId, users::Command),
}

fn goods_id() -> impl Strategy<Value = GoodsId> {
    (0..=GOODS).prop_map(id)
}

/// An order of up to so many pieces of each of some of the first `goods` kinds.
fn order(goods: u128, pieces: i64) -> impl Strategy<Value = Action> {
    let lines = prop::collection::btree_map((0..goods).prop_map(id), 1..=pieces, 1..=3);
    lines.prop_map(|lines| Action::Order(lines.into_iter().collect()))
}

fn merchant() -> impl Strategy<Value = goods::Command> {
    let reason = || "counted".to_owned();
    let update = |price| goods::Command::UpdateGoods(UpdateGoods { name: None, price: Some(price) });
    prop_oneof![
        4 => (-5..10_i64)
            .prop_map(move |delta| goods::Command::AdjustStock(AdjustStock { delta, reason: reason() })),
        4 => (0..500_i64).prop_map(move |price| update(eur(price))),
        1 => Just(update(usd(100))),
        1 => Just(goods::Command::DiscontinueGoods(DiscontinueGoods {})),
        1 => (0..10_i64).prop_map(add_goods),
    ]
}

/// What happens to one of a few accounts, which want the same two addresses.
fn account() -> impl Strategy<Value = Action> {
    let command = prop_oneof![
        4 => (0..2_u128).prop_map(register),
        1 => Just(users::Command::DeactivateUser(DeactivateUser { reason: "gone".to_owned() })),
        1 => Just(users::Command::ErasePersonalData(ErasePersonalData {})),
        1 => Just(users::Command::ExpireRegistration(ExpireRegistration {})),
    ];
    (0..6_u128, command).prop_map(|(user, command)| Action::User(id(user), command))
}

fn register(address: u128) -> users::Command {
    users::Command::RegisterUser(RegisterUser {
        email: Personal::new("sealed.v1.email"),
        name: Personal::new("sealed.v1.name"),
        password_hash: format!("$argon2id$v=19$m=19456,t=2,p=1${}${}", "a".repeat(22), "b".repeat(43)),
        email_id: Some(id(address)),
    })
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        5 => account(),
        6 => order(GOODS + 1, 6),
        2 => any::<Index>().prop_map(Action::Cancel),
        3 => any::<Index>().prop_map(Action::Pay),
        1 => any::<Index>().prop_map(Action::Refund),
        1 => any::<Index>().prop_map(Action::Expire),
        2 => (goods_id(), merchant()).prop_map(|(id, command)| Action::Goods(id, command)),
    ]
}

fn add_goods(stock: i64) -> goods::Command {
    goods::Command::AddGoods(AddGoods { name: "Tea".to_owned(), price: eur(250), stock })
}

/// Those who act, one command after the other.
struct Clients {
    commands: u32,
    orders: u128,
}

impl Clients {
    fn act(&mut self, system: &mut System, action: &Action) {
        let any_order = |index: &Index| id((index.index(self.orders.max(1) as usize)) as u128);
        match action {
            Action::Order(lines) => {
                let order_id = id(self.orders);
                self.orders += 1;
                let lines = lines.iter().map(|&(goods_id, quantity)| RequestedLine { goods_id, quantity });
                let create = CreateOrder { user_id: ANNA, lines: lines.collect() };
                self.send_order(system, order_id, &orders::Command::CreateOrder(create));
            }
            Action::Cancel(index) => {
                let cancel = CancelOrder { reason: "too late".to_owned() };
                self.send_order(system, any_order(index), &orders::Command::CancelOrder(cancel));
            }
            Action::Pay(index) => {
                let order_id = any_order(index);
                let seen = system.orders.histories.get(&order_id).and_then(|h| h.resource::<Order>());
                let amount = seen.and_then(|order| order.total).unwrap_or(eur(1));
                let pay = PayOrder { amount, method: "card".to_owned() };
                self.send_order(system, order_id, &orders::Command::PayOrder(pay));
            }
            Action::Refund(index) => {
                let refund = RefundOrder { amount: None, reason: "broken".to_owned() };
                self.send_order(system, any_order(index), &orders::Command::RefundOrder(refund));
            }
            Action::Expire(index) => {
                let expire = orders::Command::ExpireOrder(ExpireOrder {});
                self.send_order(system, any_order(index), &expire);
            }
            Action::User(user_id, command) => {
                let header = Header { auth: None, ..self.header() };
                let record = header.record_of(Service::Users, &user_id.stream(), command);
                system.append(Service::Users.commands(), record);
            }
            Action::Goods(goods_id, command) => {
                let header = self.header();
                let record = header.record_of(Service::Goods, &goods_id.stream(), command);
                system.append(Service::Goods.commands(), record);
            }
        }
    }

    fn send_order(&mut self, system: &mut System, order_id: OrderId, command: &orders::Command) {
        let record = self.header().record_of(Service::Orders, &order_id.stream(), command);
        system.append(Service::Orders.commands(), record);
    }

    fn header(&mut self) -> Header {
        self.commands += 1;
        let auth = Some(Auth::User(ANNA.to_string()));
        Header { auth, ..Header::new(self.commands.to_string(), "/clients/anna") }
    }
}

/// All that people do, while everybody else goes on in turns; then until nobody has anything left to do.
fn run(stock: i64, actions: &[Action], choices: &[u8]) -> System {
    let mut choices = choices.iter().copied().cycle();
    let mut choose = || choices.next().expect("a cycle has no end");
    let (mut system, mut clients) = (System::new(), Clients { commands: 0, orders: 0 });
    for goods in 0..GOODS {
        clients.act(&mut system, &Action::Goods(id(goods), add_goods(stock)));
    }
    system.settle(&mut choose);
    let mut actions = actions.iter();
    while actions.len() > 0 {
        let (ready, choice) = (system.ready(), choose());
        // The clients are one more who may go next.
        if usize::from(choice) % (ready.len() + 1) == ready.len() {
            clients.act(&mut system, actions.next().expect("there is one"));
        } else {
            system.step_any(&ready, choice);
        }
    }
    system.settle(&mut choose);
    system
}

fn statuses(system: &System) -> Vec<Status> {
    let orders = system.orders.histories.iter();
    orders.filter_map(|(_, history)| Some(history.resource::<Order>()?.status)).collect()
}

fn choices() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 1..300)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn in_the_end_every_order_is_decided_and_every_piece_is_somewhere(
        stock in 0..20_i64,
        actions in prop::collection::vec(action(), 1..25),
        choices in choices(),
    ) {
        check_settled(&run(stock, &actions, &choices));
    }

    #[test]
    fn with_enough_of_everything_every_order_is_confirmed(
        orders in prop::collection::vec(order(GOODS, 5), 1..8),
        choices in choices(),
    ) {
        let system = run(1000, &orders, &choices);
        check_settled(&system);
        prop_assert_eq!(statuses(&system), vec![Status::Confirmed; orders.len()]);
    }

    #[test]
    fn of_orders_that_want_the_same_pieces_as_many_are_confirmed_as_there_are_pieces(
        stock in 0..5_i64,
        orders in 1..8_usize,
        choices in choices(),
    ) {
        let system = run(stock, &vec![Action::Order(vec![(id(0), 1)]); orders], &choices);
        check_settled(&system);
        let confirmed = statuses(&system).iter().filter(|status| **status == Status::Confirmed).count();
        prop_assert_eq!(confirmed, orders.min(stock as usize));
    }
}

#[test]
fn the_simulation_reaches_every_end() {
    let mut reached = BTreeSet::new();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let actions = prop::collection::vec(action(), 20..25);
    for _ in 0..50 {
        let actions = actions.new_tree(&mut runner).expect("actions").current();
        let choices = choices().new_tree(&mut runner).expect("choices").current();
        reached.extend(statuses(&run(10, &actions, &choices)).into_iter().map(|status| status.to_string()));
    }
    let ends = ["cancelled", "confirmed", "expired", "paid", "refunded", "rejected"];
    assert_eq!(reached.iter().map(String::as_str).collect::<Vec<_>>(), ends);
}
