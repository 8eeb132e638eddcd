//! What holds for goods whatever comes, sense or nonsense.

use std::collections::BTreeMap;

use proptest::{
    prelude::*,
    sample::{Index, select},
};

use super::*;
use crate::given::History;

/// Numbers that are small, or at the edge of something.
fn number() -> impl Strategy<Value = i64> {
    let edges = vec![
        0,
        1,
        -1,
        QUANTITY_MAX,
        QUANTITY_MAX + 1,
        STOCK_MAX,
        STOCK_MAX + 1,
        -STOCK_MAX,
        AMOUNT_MAX,
        AMOUNT_MAX + 1,
        i64::MIN,
        i64::MAX,
    ];
    prop_oneof![3 => -5..=20_i64, 1 => select(edges)]
}

fn text() -> impl Strategy<Value = String> {
    let texts = ["", "Tea", "Mate", &"茶".repeat(200), &"茶".repeat(201), &"x".repeat(501)];
    select(texts.map(str::to_owned).to_vec())
}

fn money() -> impl Strategy<Value = Money> {
    prop_oneof![4 => number().prop_map(eur), 1 => number().prop_map(usd)]
}

/// A line of one of few orders, so that lines meet again.
fn line() -> impl Strategy<Value = Reservation> {
    (1..4_u128, 0..3_u16).prop_map(|(order, line)| Reservation { order_id: id(order), line })
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        2 => (text(), money(), number()).prop_map(|(name, price, stock)| add_goods(&name, price, stock)),
        2 => (proptest::option::of(text()), proptest::option::of(money()))
            .prop_map(|(name, price)| update(name.as_deref(), price)),
        4 => (number(), text())
            .prop_map(|(delta, reason)| Command::AdjustStock(AdjustStock { delta, reason })),
        6 => (line(), number()).prop_map(|(line, quantity)| reserve(line, quantity)),
        4 => line().prop_map(release),
        1 => Just(discontinue()),
    ]
}

/// What a shelf holds, counted from the events alone.
#[derive(Default)]
struct Shelf {
    counted: i64,
    reserved: BTreeMap<Reservation, u32>,
}

impl Shelf {
    fn count(&mut self, event: &Event) {
        match event {
            Event::GoodsAdded(event) => self.counted = event.stock,
            Event::StockAdjusted(event) => self.counted += event.delta,
            Event::StockReserved(event) => {
                let line = Reservation { order_id: event.order_id, line: event.line };
                assert_eq!(self.reserved.insert(line, event.quantity), None, "reserved at most once");
            }
            Event::StockReleased(event) => {
                let line = Reservation { order_id: event.order_id, line: event.line };
                assert_eq!(self.reserved.remove(&line), Some(event.quantity), "given back as reserved");
            }
            Event::GoodsRenamed(_) | Event::PriceChanged(_) | Event::GoodsDiscontinued(_) => {}
        }
    }
}

proptest! {
    #[test]
    fn no_piece_is_ever_lost_or_sold_twice(commands in prop::collection::vec(command(), 1..80)) {
        let mut goods = History::<GoodsDecider>::new(id(5));
        let mut shelf = Shelf::default();
        // Most sequences begin with goods that are there.
        for command in [add_goods("Tea", eur(250), 20)].iter().chain(&commands) {
            let before = goods.entry.clone();
            match goods.send(command, None) {
                Ok(events) => events.iter().for_each(|event| shelf.count(event)),
                Err(_) => prop_assert_eq!(&goods.entry, &before, "a rejected command changes nothing"),
            }
            let (stock, reserved) = goods.state().map_or((0, 0), State::pieces);
            prop_assert!(stock >= 0, "{stock} pieces left after {command:?}");
            prop_assert_eq!(stock + reserved, shelf.counted);
            prop_assert_eq!(reserved, shelf.reserved.values().map(|q| i64::from(*q)).sum::<i64>());
        }
        goods.check_refolded();
    }

    #[test]
    fn what_is_asked_again_is_there_already(commands in prop::collection::vec(command(), 0..40), last in command()) {
        let mut goods = History::<GoodsDecider>::new(id(5));
        for command in &commands {
            let _either_way = goods.send(command, None);
        }
        if goods.send(&last, None).is_ok() {
            let again = goods.send(&last, None);
            match last {
                Command::AddGoods(_) => prop_assert_eq!(again, Err(Rejection::GoodsExist)),
                // Two deliveries are two adjustments: that is why commands have ids.
                Command::AdjustStock(_) => {}
                _ => prop_assert_eq!(again, Err(Rejection::NoChange)),
            }
        }
    }

    #[test]
    fn whatever_was_stored_can_be_folded_in_any_order(
        commands in prop::collection::vec(command(), 1..40),
        picks in prop::collection::vec(any::<Index>(), 0..20),
    ) {
        let mut goods = History::<GoodsDecider>::new(id(5));
        for command in [add_goods("Tea", eur(250), 20)].iter().chain(&commands) {
            let _either_way = goods.send(command, None);
        }
        let folded = picks.iter().map(|pick| pick.get(&goods.events)).fold(None, GoodsDecider::evolve);
        let added = picks.iter().any(|pick| matches!(pick.get(&goods.events), Event::GoodsAdded(_)));
        prop_assert_eq!(folded.is_some(), added, "goods are there from the event that added them");
    }
}
