//! The rules of goods, one by one. What holds whatever comes is in [`properties`].

use factfold_schemas::{
    goods::DiscontinueGoods,
    money::AMOUNT_MAX,
    orders::QUANTITY_MAX,
    rejection::{Reject, RejectionKind},
};

use super::*;
use crate::given::{Given, eur, id, time, usd};

#[path = "goods_properties.rs"]
mod properties;

/// The line for which most tests reserve: the first of the first order.
const LINE: Reservation = Reservation { order_id: id(1), line: 0 };

fn given(events: impl IntoIterator<Item = Event>) -> Given<GoodsDecider> {
    Given::events(id(5), events)
}

// ---- AddGoods

fn add_goods(name: &str, price: Money, stock: i64) -> Command {
    Command::AddGoods(AddGoods { name: name.to_owned(), price, stock })
}

fn goods_added(name: &str, price: Money, stock: i64) -> Event {
    Event::GoodsAdded(GoodsAdded { name: name.to_owned(), price, stock })
}

/// Tea at 2.50 EUR.
fn tea(stock: i64) -> Event {
    goods_added("Tea", eur(250), stock)
}

#[test]
fn goods_are_added_as_they_are_described() {
    given([]).when(add_goods("Tea", eur(250), 10)).then([tea(10)]);
}

#[test]
fn goods_are_added_once() {
    given([tea(10)]).when(add_goods("Tea", eur(250), 10)).rejected(Rejection::GoodsExist);
    given([tea(10), discontinued()]).when(add_goods("Coffee", eur(1), 1)).rejected(Rejection::GoodsExist);
}

#[test]
fn a_name_has_1_to_200_characters_whatever_their_bytes() {
    for name in ["x", &"x".repeat(200), &"茶".repeat(200), &"🍵".repeat(200)] {
        given([]).when(add_goods(name, eur(1), 1)).then([goods_added(name, eur(1), 1)]);
    }
    for name in ["", &"x".repeat(201), &"茶".repeat(201)] {
        given([]).when(add_goods(name, eur(1), 1)).rejected(Rejection::InvalidName);
    }
}

#[test]
fn a_price_is_0_to_the_largest_amount() {
    for price in [0, 1, AMOUNT_MAX] {
        given([]).when(add_goods("Tea", eur(price), 1)).then([goods_added("Tea", eur(price), 1)]);
    }
    for price in [-1, AMOUNT_MAX + 1, i64::MIN, i64::MAX] {
        given([]).when(add_goods("Tea", eur(price), 1)).rejected(Rejection::InvalidPrice { given: price });
    }
}

#[test]
fn a_stock_is_0_to_a_million_million() {
    for stock in [0, 1, STOCK_MAX] {
        given([]).when(add_goods("Tea", eur(1), stock)).then([goods_added("Tea", eur(1), stock)]);
    }
    for stock in [-1, STOCK_MAX + 1, i64::MIN, i64::MAX] {
        given([]).when(add_goods("Tea", eur(1), stock)).rejected(Rejection::InvalidStock { given: stock });
    }
}

#[test]
fn goods_that_nobody_added_are_not_found() {
    for command in [update(Some("Tea"), None), adjust(1), discontinue()] {
        given([]).when(command).rejected(Rejection::GoodsNotFound);
    }
}

// ---- UpdateGoods

fn update(name: Option<&str>, price: Option<Money>) -> Command {
    Command::UpdateGoods(UpdateGoods { name: name.map(str::to_owned), price })
}

fn renamed(name: &str) -> Event {
    Event::GoodsRenamed(GoodsRenamed { name: name.to_owned() })
}

fn repriced(price: Money) -> Event {
    Event::PriceChanged(PriceChanged { price })
}

#[test]
fn an_update_says_what_changed() {
    given([tea(1)]).when(update(Some("Mate"), None)).then([renamed("Mate")]);
    given([tea(1)]).when(update(None, Some(eur(300)))).then([repriced(eur(300))]);
    given([tea(1)]).when(update(Some("Mate"), Some(eur(0)))).then([renamed("Mate"), repriced(eur(0))]);
    given([tea(1)]).when(update(None, Some(usd(250)))).then([repriced(usd(250))]);
}

#[test]
fn an_update_to_what_is_there_is_no_change() {
    given([tea(1)]).when(update(None, None)).rejected(Rejection::NoChange);
    given([tea(1)]).when(update(Some("Tea"), Some(eur(250)))).rejected(Rejection::NoChange);
    given([tea(1)]).when(update(Some("Tea"), Some(eur(251)))).then([repriced(eur(251))]);
    given([tea(1), renamed("Mate")]).when(update(Some("Mate"), None)).rejected(Rejection::NoChange);
    given([tea(1), renamed("Mate")]).when(update(Some("Tea"), None)).then([renamed("Tea")]);
}

#[test]
fn an_update_is_made_whole_or_not_at_all() {
    for name in ["", &"茶".repeat(201)] {
        given([tea(1)]).when(update(Some(name), Some(eur(1)))).rejected(Rejection::InvalidName);
    }
    for price in [-1, AMOUNT_MAX + 1] {
        given([tea(1)])
            .when(update(Some("Mate"), Some(eur(price))))
            .rejected(Rejection::InvalidPrice { given: price });
    }
}

#[test]
fn discontinued_goods_are_not_updated() {
    given([tea(1), discontinued()]).when(update(Some("Mate"), None)).rejected(Rejection::GoodsDiscontinued);
}

// ---- AdjustStock

fn adjust(delta: i64) -> Command {
    Command::AdjustStock(AdjustStock { delta, reason: "counted".to_owned() })
}

fn adjusted(delta: i64, stock: i64) -> Event {
    Event::StockAdjusted(StockAdjusted { delta, reason: "counted".to_owned(), stock })
}

#[test]
fn an_adjustment_says_what_is_left() {
    given([tea(10)]).when(adjust(5)).then([adjusted(5, 15)]);
    given([tea(10)]).when(adjust(-10)).then([adjusted(-10, 0)]);
    given([tea(10), adjusted(5, 15)]).when(adjust(-1)).then([adjusted(-1, 14)]);
    given([tea(10), discontinued()]).when(adjust(-1)).then([adjusted(-1, 9)]);
}

#[test]
fn no_more_is_taken_away_than_is_left_to_sell() {
    for delta in [-11, -STOCK_MAX, i64::MIN] {
        given([tea(10)]).when(adjust(delta)).rejected(Rejection::InsufficientStock { available: 10 });
    }
    given([tea(10), reserved(LINE, 4, 6)])
        .when(adjust(-7))
        .rejected(Rejection::InsufficientStock { available: 6 });
}

#[test]
fn no_more_is_added_than_a_stock_can_be() {
    given([tea(0)]).when(adjust(STOCK_MAX)).then([adjusted(STOCK_MAX, STOCK_MAX)]);
    given([tea(1)]).when(adjust(STOCK_MAX)).rejected(Rejection::InvalidStock { given: STOCK_MAX + 1 });
    given([tea(1)]).when(adjust(i64::MAX)).rejected(Rejection::InvalidStock { given: i64::MAX });
}

#[test]
fn what_came_back_from_orders_on_top_of_a_full_stock_can_be_taken_away_bit_by_bit() {
    let brimming = [
        tea(STOCK_MAX),
        reserved(LINE, 5, STOCK_MAX - 5),
        adjusted(5, STOCK_MAX),
        released(LINE, 5, STOCK_MAX + 5),
    ];
    given(brimming.clone()).when(adjust(-1)).then([adjusted(-1, STOCK_MAX + 4)]);
    given(brimming).when(adjust(1)).rejected(Rejection::InvalidStock { given: STOCK_MAX + 6 });
}

#[test]
fn an_adjustment_by_nothing_is_no_change() {
    given([tea(10)]).when(adjust(0)).rejected(Rejection::NoChange);
}

#[test]
fn an_adjustment_has_a_reason_of_1_to_500_characters() {
    let because = |reason: &str| Command::AdjustStock(AdjustStock { delta: 1, reason: reason.to_owned() });
    for reason in ["x".to_owned(), "ü".repeat(500)] {
        let adjusted = StockAdjusted { delta: 1, reason: reason.clone(), stock: 2 };
        given([tea(1)]).when(because(&reason)).then([Event::StockAdjusted(adjusted)]);
    }
    for reason in ["", &"ü".repeat(501)] {
        given([tea(1)]).when(because(reason)).rejected(Rejection::InvalidReason);
    }
}

// ---- ReserveStock

fn reserve(Reservation { order_id, line }: Reservation, quantity: i64) -> Command {
    Command::ReserveStock(ReserveStock { order_id, line, quantity })
}

/// Reserved at the price of [`tea`].
fn reserved(Reservation { order_id, line }: Reservation, quantity: u32, stock: i64) -> Event {
    Event::StockReserved(StockReserved { order_id, line, quantity, unit_price: eur(250), stock })
}

#[test]
fn a_reservation_takes_from_the_stock_and_fixes_the_price() {
    given([tea(10)]).when(reserve(LINE, 3)).then([reserved(LINE, 3, 7)]);
    let Reservation { order_id, line } = LINE;
    let at_the_new_price = StockReserved { order_id, line, quantity: 3, unit_price: usd(9), stock: 7 };
    given([tea(10), repriced(usd(9))]).when(reserve(LINE, 3)).then([Event::StockReserved(at_the_new_price)]);
}

#[test]
fn the_last_piece_is_sold_and_no_more() {
    given([tea(3)]).when(reserve(LINE, 3)).then([reserved(LINE, 3, 0)]);
    let sold_out = |available| Rejection::SoldOut { reservation: LINE, available };
    given([tea(3)]).when(reserve(LINE, 4)).rejected(sold_out(3));
    given([tea(0)]).when(reserve(LINE, 1)).rejected(sold_out(0));
    let other = Reservation { line: 1, ..LINE };
    given([tea(3), reserved(other, 2, 1)]).when(reserve(LINE, 2)).rejected(sold_out(1));
}

#[test]
fn a_quantity_is_1_to_a_million() {
    for quantity in [1, QUANTITY_MAX as u32] {
        let left = STOCK_MAX - i64::from(quantity);
        given([tea(STOCK_MAX)]).when(reserve(LINE, quantity.into())).then([reserved(LINE, quantity, left)]);
    }
    for given_quantity in [0, -1, QUANTITY_MAX + 1, i64::from(u32::MAX) + 2, i64::MIN, i64::MAX] {
        given([tea(STOCK_MAX)])
            .when(reserve(LINE, given_quantity))
            .rejected(Rejection::InvalidQuantity { given: given_quantity });
    }
}

#[test]
fn goods_that_nobody_added_cannot_be_reserved() {
    given([]).when(reserve(LINE, 1)).rejected(Rejection::UnknownGoods { reservation: LINE });
}

#[test]
fn discontinued_goods_cannot_be_reserved() {
    given([tea(10), discontinued()])
        .when(reserve(LINE, 1))
        .rejected(Rejection::NotForSale { reservation: LINE });
}

#[test]
fn a_line_is_reserved_once_whatever_happened_since() {
    let before = [tea(3), reserved(LINE, 3, 0)];
    given(before.clone()).when(reserve(LINE, 3)).rejected(Rejection::NoChange);
    for since in [discontinued(), repriced(eur(1)), adjusted(5, 5)] {
        let before = before.clone().into_iter().chain([since]);
        given(before).when(reserve(LINE, 3)).rejected(Rejection::NoChange);
    }
    for quantity in [1, 2, 4] {
        given(before.clone())
            .when(reserve(LINE, quantity))
            .rejected(Rejection::ReservedOtherwise { reserved: 3 });
    }
}

#[test]
fn each_line_of_each_order_is_reserved_for_itself() {
    for other in [Reservation { line: 1, ..LINE }, Reservation { order_id: id(2), ..LINE }] {
        given([tea(3), reserved(LINE, 1, 2)]).when(reserve(other, 1)).then([reserved(other, 1, 1)]);
    }
}

// ---- ReleaseStock

fn release(Reservation { order_id, line }: Reservation) -> Command {
    Command::ReleaseStock(ReleaseStock { order_id, line })
}

fn released(Reservation { order_id, line }: Reservation, quantity: u32, stock: i64) -> Event {
    Event::StockReleased(StockReleased { order_id, line, quantity, stock })
}

#[test]
fn a_release_gives_back_what_was_reserved() {
    given([tea(10), reserved(LINE, 3, 7)]).when(release(LINE)).then([released(LINE, 3, 10)]);
    given([tea(10), reserved(LINE, 3, 7), adjusted(-7, 0), discontinued()])
        .when(release(LINE))
        .then([released(LINE, 3, 3)]);
}

#[test]
fn what_is_not_reserved_needs_no_giving_back() {
    given([]).when(release(LINE)).rejected(Rejection::NoChange);
    given([tea(10)]).when(release(LINE)).rejected(Rejection::NoChange);
    given([tea(10), reserved(LINE, 3, 7), released(LINE, 3, 10)])
        .when(release(LINE))
        .rejected(Rejection::NoChange);
    for other in [Reservation { line: 1, ..LINE }, Reservation { order_id: id(2), ..LINE }] {
        given([tea(10), reserved(LINE, 3, 7)]).when(release(other)).rejected(Rejection::NoChange);
    }
}

// ---- DiscontinueGoods

fn discontinue() -> Command {
    Command::DiscontinueGoods(DiscontinueGoods {})
}

fn discontinued() -> Event {
    Event::GoodsDiscontinued(GoodsDiscontinued {})
}

#[test]
fn goods_are_discontinued_once() {
    given([tea(10)]).when(discontinue()).then([discontinued()]);
    given([tea(10), discontinued()]).when(discontinue()).rejected(Rejection::NoChange);
}

// ---- What people see

#[test]
fn goods_show_what_is_left_to_sell() {
    let history = [tea(10), renamed("Mate"), repriced(usd(9)), reserved(LINE, 3, 7), discontinued()];
    let goods: Goods = given(history).resource();
    let expected = Goods {
        id: id(5),
        version: 5,
        created_at: time(1),
        updated_at: time(5),
        name: "Mate".to_owned(),
        price: usd(9),
        stock: 7,
        discontinued: true,
    };
    assert_eq!(goods, expected);
}

#[test]
fn an_answer_says_whether_the_command_or_the_state_is_to_blame() {
    let reservation = LINE;
    for (rejection, kind, pointer) in [
        (Rejection::NoChange, RejectionKind::NoChange, None),
        (Rejection::GoodsNotFound, RejectionKind::NotFound, None),
        (Rejection::InvalidName, RejectionKind::Invalid, Some("/name")),
        (Rejection::InvalidReason, RejectionKind::Invalid, Some("/reason")),
        (Rejection::InvalidPrice { given: -1 }, RejectionKind::Invalid, Some("/price/amount")),
        (Rejection::InvalidStock { given: -1 }, RejectionKind::Invalid, None),
        (Rejection::InvalidQuantity { given: 0 }, RejectionKind::Invalid, Some("/quantity")),
        (Rejection::GoodsExist, RejectionKind::Conflict, None),
        (Rejection::GoodsDiscontinued, RejectionKind::Conflict, None),
        (Rejection::InsufficientStock { available: 1 }, RejectionKind::Conflict, None),
        (Rejection::UnknownGoods { reservation }, RejectionKind::Conflict, None),
        (Rejection::NotForSale { reservation }, RejectionKind::Conflict, None),
        (Rejection::SoldOut { reservation, available: 1 }, RejectionKind::Conflict, None),
        (Rejection::ReservedOtherwise { reserved: 1 }, RejectionKind::Conflict, None),
    ] {
        assert_eq!((rejection.kind(), rejection.pointer().as_deref()), (kind, pointer), "{rejection:?}");
    }
}

#[test]
fn only_streams_of_goods_are_goods() {
    let goods: GoodsId = id(7);
    assert_eq!(GoodsDecider::aggregate(goods.stream().as_str()), Some(goods));
    assert_eq!(GoodsDecider::aggregate(LINE.order_id.stream().as_str()), None);
    assert_eq!(GoodsDecider::aggregate("goods"), None);
}
