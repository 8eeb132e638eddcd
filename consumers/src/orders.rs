//! Orders: the price is fixed at the reservation, an order is paid once and in full, and never is more given back than
//! was paid.

use std::collections::HashSet;

use factfold_schemas::{
    command::Auth,
    ids::{GoodsId, OrderId, UserId},
    money::Money,
    orders::{
        CancelOrder, Command, CreateOrder, Event, LINES_MAX, Line, LineReserved, Order, OrderCancelled,
        OrderConfirmed, OrderCreated, OrderExpired, OrderPaid, OrderRefunded, OrderRejected, OrderedLine,
        PayOrder, QUANTITY_MAX, RecordReservation, RefundOrder, RejectOrder, Rejection, RejectionReason,
        Status, TEXT_CHARS_MAX,
    },
    topics::Service,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::decider::{Asked, Decider, Entry, Events};

/// What the rules know about an order. Workers store it as it is: whoever changes its shape raises [`Decider::VERSION`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    user_id: UserId,
    lines: Box<[OrderLine]>,
    life: Life,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct OrderLine {
    goods_id: GoodsId,
    quantity: u32,
    /// Fixed once the goods are set aside.
    unit_price: Option<Money>,
}

/// Where an order is, with what is known only there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Life {
    Created,
    Confirmed { total: Money },
    Rejected { reason: Box<RejectionReason> },
    Paid { total: Money, refunded: Money },
    Refunded { total: Money },
    Cancelled { total: Option<Money> },
    Expired { total: Option<Money> },
}

/// The decider of the orders service.
#[derive(Debug)]
pub struct OrdersDecider;

impl Decider for OrdersDecider {
    const SERVICE: Service = Service::Orders;
    const VERSION: u32 = 1;
    type Id = OrderId;
    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn aggregate(stream: &str) -> Option<OrderId> {
        OrderId::of_stream(stream)
    }

    fn decide(
        _: OrderId,
        state: Option<&State>,
        command: &Command,
        Asked { by, .. }: Asked<'_>,
    ) -> Result<Events<Event>, Rejection> {
        match (command, state) {
            (Command::CreateOrder(command), None) => create(command, by),
            (Command::CreateOrder(_), Some(_)) => Err(Rejection::OrderExists),
            (_, None) => Err(Rejection::OrderNotFound),
            (Command::PayOrder(command), Some(order)) => pay(order.of(by)?, command),
            (Command::RefundOrder(command), Some(order)) => refund(order, command),
            (Command::CancelOrder(command), Some(order)) => cancel(order.of(by)?, command),
            (Command::RecordReservation(command), Some(order)) => record_reservation(order, command),
            (Command::RejectOrder(command), Some(order)) => reject(order, command),
            (Command::ExpireOrder(_), Some(order)) => expire(order),
        }
    }

    fn evolve(state: Option<State>, event: &Event) -> Option<State> {
        if let Event::OrderCreated(event) = event {
            return Some(State {
                user_id: event.user_id,
                lines: event.lines.iter().map(OrderLine::from).collect(),
                life: Life::Created,
            });
        }
        let mut order = state?;
        let total = order.total();
        order.life = match event {
            Event::OrderCreated(_) => order.life,
            Event::LineReserved(event) => {
                if let Some(line) = order.lines.get_mut(usize::from(event.line)) {
                    line.unit_price = Some(event.unit_price);
                }
                order.life
            }
            Event::OrderConfirmed(event) => Life::Confirmed { total: event.total },
            Event::OrderRejected(event) => Life::Rejected { reason: Box::new(event.reason.clone()) },
            Event::OrderPaid(event) => {
                Life::Paid { total: event.amount, refunded: Money::zero(event.amount.currency) }
            }
            Event::OrderRefunded(event) if event.in_full => Life::Refunded { total: event.refunded },
            Event::OrderRefunded(event) => {
                Life::Paid { total: total.unwrap_or(event.refunded), refunded: event.refunded }
            }
            Event::OrderCancelled(_) => Life::Cancelled { total },
            Event::OrderExpired(_) => Life::Expired { total },
        };
        Some(order)
    }

    fn resource(id: OrderId, entry: &Entry<State>) -> Value {
        let order = &entry.state;
        let (paid, refunded) = match &order.life {
            Life::Paid { total, refunded } => (Some(*total), Some(*refunded)),
            Life::Refunded { total } => (Some(*total), Some(*total)),
            _ => (None, None),
        };
        let rejection = match &order.life {
            Life::Rejected { reason } => Some((**reason).clone()),
            _ => None,
        };
        let resource = Order {
            id,
            version: entry.version,
            created_at: entry.created_at,
            updated_at: entry.updated_at,
            user_id: order.user_id,
            status: order.status(),
            lines: order.lines.iter().map(Line::from).collect(),
            total: order.total(),
            paid,
            refunded,
            rejection,
        };
        serde_json::to_value(resource).expect("a resource is plain data")
    }
}

impl State {
    fn status(&self) -> Status {
        match self.life {
            Life::Created => Status::Created,
            Life::Confirmed { .. } => Status::Confirmed,
            Life::Rejected { .. } => Status::Rejected,
            Life::Paid { .. } => Status::Paid,
            Life::Refunded { .. } => Status::Refunded,
            Life::Cancelled { .. } => Status::Cancelled,
            Life::Expired { .. } => Status::Expired,
        }
    }

    fn total(&self) -> Option<Money> {
        match &self.life {
            Life::Confirmed { total } | Life::Paid { total, .. } | Life::Refunded { total } => Some(*total),
            Life::Cancelled { total } | Life::Expired { total } => *total,
            Life::Created | Life::Rejected { .. } => None,
        }
    }

    /// This order, if whoever asks may act on it.
    fn of(&self, by: Option<&Auth>) -> Result<&Self, Rejection> {
        match by.and_then(Auth::user) {
            Some(user) if user.parse() != Ok(self.user_id) => Err(Rejection::NotYourOrder),
            _ => Ok(self),
        }
    }

    fn ordered_lines(&self) -> Vec<OrderedLine> {
        self.lines.iter().map(|l| OrderedLine { goods_id: l.goods_id, quantity: l.quantity }).collect()
    }
}

impl From<&OrderedLine> for OrderLine {
    fn from(line: &OrderedLine) -> Self {
        Self { goods_id: line.goods_id, quantity: line.quantity, unit_price: None }
    }
}

impl From<&OrderLine> for Line {
    fn from(line: &OrderLine) -> Self {
        Self { goods_id: line.goods_id, quantity: line.quantity, unit_price: line.unit_price }
    }
}

fn create(command: &CreateOrder, by: Option<&Auth>) -> Result<Events<Event>, Rejection> {
    if by.and_then(Auth::user).is_some_and(|user| user.parse() != Ok(command.user_id)) {
        return Err(Rejection::NotYourName);
    }
    match command.lines.len() {
        0 => return Err(Rejection::NoLines),
        given if given > LINES_MAX => return Err(Rejection::TooManyLines { given }),
        _ => {}
    }
    let mut seen = HashSet::with_capacity(command.lines.len());
    let mut lines = Vec::with_capacity(command.lines.len());
    for (line, requested) in command.lines.iter().enumerate() {
        let given = requested.quantity;
        let quantity = match u32::try_from(given) {
            Ok(quantity @ 1..) if given <= QUANTITY_MAX => quantity,
            _ => return Err(Rejection::QuantityOutOfRange { line, given }),
        };
        if !seen.insert(requested.goods_id) {
            return Err(Rejection::GoodsTwice { line });
        }
        lines.push(OrderedLine { goods_id: requested.goods_id, quantity });
    }
    Ok(Event::OrderCreated(OrderCreated { user_id: command.user_id, lines }).into())
}

fn pay(order: &State, command: &PayOrder) -> Result<Events<Event>, Rejection> {
    let expected = match &order.life {
        Life::Confirmed { total } => *total,
        Life::Created => return Err(Rejection::OrderNotConfirmed),
        Life::Paid { .. } | Life::Refunded { .. } => return Err(Rejection::AlreadyPaid),
        Life::Rejected { .. } | Life::Cancelled { .. } | Life::Expired { .. } => {
            return Err(Rejection::OrderClosed { status: order.status() });
        }
    };
    let given = command.amount;
    text("method", &command.method)?;
    if !given.is_price() {
        return Err(Rejection::InvalidAmount { given: given.amount });
    }
    if given.currency != expected.currency {
        return Err(Rejection::WrongCurrency { expected: expected.currency, given: given.currency });
    }
    if given != expected {
        return Err(Rejection::WrongAmount { expected, given });
    }
    Ok(Event::OrderPaid(OrderPaid { amount: given, method: command.method.clone() }).into())
}

fn refund(order: &State, command: &RefundOrder) -> Result<Events<Event>, Rejection> {
    let (total, before) = match &order.life {
        Life::Paid { total, refunded } => (*total, *refunded),
        Life::Refunded { .. } => return Err(Rejection::AlreadyRefunded),
        _ => return Err(Rejection::NotPaid { status: order.status() }),
    };
    text("reason", &command.reason)?;
    let left = Money::new(total.amount - before.amount, total.currency);
    let amount = match command.amount {
        None => left,
        Some(given) if !given.is_payment() => return Err(Rejection::InvalidAmount { given: given.amount }),
        Some(given) if given.currency != total.currency => {
            return Err(Rejection::WrongCurrency { expected: total.currency, given: given.currency });
        }
        Some(given) if given.amount > left.amount => {
            return Err(Rejection::RefundExceedsPayment { left, given });
        }
        Some(given) => given,
    };
    let refunded = Money::new(before.amount + amount.amount, total.currency);
    let in_full = refunded == total;
    Ok(Event::OrderRefunded(OrderRefunded { amount, refunded, in_full, reason: command.reason.clone() })
        .into())
}

fn cancel(order: &State, command: &CancelOrder) -> Result<Events<Event>, Rejection> {
    match order.life {
        Life::Created | Life::Confirmed { .. } => {}
        Life::Cancelled { .. } => return Err(Rejection::NoChange),
        Life::Paid { .. } => return Err(Rejection::PaidNotCancellable),
        Life::Rejected { .. } | Life::Expired { .. } | Life::Refunded { .. } => {
            return Err(Rejection::OrderClosed { status: order.status() });
        }
    }
    text("reason", &command.reason)?;
    let cancelled = OrderCancelled { reason: command.reason.clone(), lines: order.ordered_lines() };
    Ok(Event::OrderCancelled(cancelled).into())
}

fn record_reservation(order: &State, command: &RecordReservation) -> Result<Events<Event>, Rejection> {
    let RecordReservation { line, unit_price } = *command;
    let reserved = order.lines.get(usize::from(line)).ok_or(Rejection::NoSuchLine { line })?;
    // An order that is over gives back every line it has, also the ones it never heard of: see `reactors::order_stock`.
    if order.life != Life::Created || reserved.unit_price.is_some() {
        return Err(Rejection::NoChange);
    }
    let others = || order.lines.iter().filter_map(|line| line.unit_price);
    if others().any(|price| price.currency != unit_price.currency) {
        let detail =
            format!("line {line} is priced in {}, the lines before in another currency", unit_price.currency);
        return Ok(rejected(order, "currencies-differ", detail, line).into());
    }
    let line_reserved = Event::LineReserved(LineReserved { line, unit_price });
    if others().count() + 1 < order.lines.len() {
        return Ok(line_reserved.into());
    }
    let mut total = Some(Money::zero(unit_price.currency));
    for ordered in &order.lines {
        let price = ordered.unit_price.unwrap_or(unit_price).checked_mul(ordered.quantity);
        total = total.zip(price).and_then(|(total, price)| total.checked_add(price));
    }
    Ok(match total {
        Some(total) => Events::from(line_reserved).then(Event::OrderConfirmed(OrderConfirmed { total })),
        None => {
            rejected(order, "total-too-large", "the order's total passes 2^53-1 minor units".into(), line)
                .into()
        }
    })
}

fn reject(order: &State, command: &RejectOrder) -> Result<Events<Event>, Rejection> {
    match order.life {
        Life::Created => {
            let rejected = OrderRejected { reason: command.reason.clone(), lines: order.ordered_lines() };
            Ok(Event::OrderRejected(rejected).into())
        }
        _ => Err(Rejection::NoChange),
    }
}

fn expire(order: &State) -> Result<Events<Event>, Rejection> {
    match order.life {
        Life::Created | Life::Confirmed { .. } => {
            Ok(Event::OrderExpired(OrderExpired { lines: order.ordered_lines() }).into())
        }
        _ => Err(Rejection::NoChange),
    }
}

fn rejected(order: &State, name: &str, detail: String, line: u16) -> Event {
    let reason = RejectionReason { name: name.to_owned(), detail, line };
    Event::OrderRejected(OrderRejected { reason, lines: order.ordered_lines() })
}

fn text(field: &str, text: &str) -> Result<(), Rejection> {
    let length = text.chars().count();
    if (1..=TEXT_CHARS_MAX).contains(&length) {
        Ok(())
    } else {
        Err(Rejection::InvalidText { field: field.to_owned() })
    }
}

#[cfg(test)]
#[path = "orders_test.rs"]
mod tests;
