//! Goods: stock never goes below zero, and a line of an order is reserved at most once.

use factfold_schemas::{
    goods::{
        AddGoods, AdjustStock, Command, Event, Goods, GoodsAdded, GoodsDiscontinued, GoodsRenamed,
        NAME_CHARS_MAX, PriceChanged, REASON_CHARS_MAX, Rejection, ReleaseStock, Reservation, ReserveStock,
        STOCK_MAX, StockAdjusted, StockReleased, StockReserved, UpdateGoods,
    },
    ids::GoodsId,
    money::Money,
    orders::QUANTITY_MAX,
    topics::Service,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::decider::{Asked, Decider, Entry, Events};

/// What the rules know about goods. Workers store it as it is: whoever changes its shape raises [`Decider::VERSION`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    name: Box<str>,
    price: Money,
    stock: i64,
    discontinued: bool,
    /// What is set aside, by line of an order. Shared with earlier copies: a batch keeps the state before it.
    reserved: imbl::OrdMap<Reservation, u32>,
}

/// The decider of the goods service.
#[derive(Debug)]
pub struct GoodsDecider;

impl Decider for GoodsDecider {
    const SERVICE: Service = Service::Goods;
    const VERSION: u32 = 1;
    type Id = GoodsId;
    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn aggregate(stream: &str) -> Option<GoodsId> {
        GoodsId::of_stream(stream)
    }

    fn decide(
        _: GoodsId,
        state: Option<&State>,
        command: &Command,
        _: Asked<'_>,
    ) -> Result<Events<Event>, Rejection> {
        match (command, state) {
            (Command::AddGoods(command), None) => add(command),
            (Command::AddGoods(_), Some(_)) => Err(Rejection::GoodsExist),
            (Command::ReserveStock(command), state) => reserve(state, command),
            (Command::ReleaseStock(command), state) => release(state, command),
            (_, None) => Err(Rejection::GoodsNotFound),
            (Command::UpdateGoods(command), Some(goods)) => update(goods, command),
            (Command::AdjustStock(command), Some(goods)) => adjust(goods, command),
            (Command::DiscontinueGoods(_), Some(goods)) if goods.discontinued => Err(Rejection::NoChange),
            (Command::DiscontinueGoods(_), Some(_)) => {
                Ok(Event::GoodsDiscontinued(GoodsDiscontinued {}).into())
            }
        }
    }

    fn evolve(state: Option<State>, event: &Event) -> Option<State> {
        if let Event::GoodsAdded(event) = event {
            return Some(State {
                name: event.name.as_str().into(),
                price: event.price,
                stock: event.stock,
                discontinued: false,
                reserved: imbl::OrdMap::new(),
            });
        }
        let mut goods = state?;
        match event {
            Event::GoodsAdded(_) => {}
            Event::GoodsRenamed(event) => goods.name = event.name.as_str().into(),
            Event::PriceChanged(event) => goods.price = event.price,
            Event::StockAdjusted(event) => goods.stock = event.stock,
            Event::StockReserved(event) => {
                goods.stock = event.stock;
                let line = Reservation { order_id: event.order_id, line: event.line };
                goods.reserved.insert(line, event.quantity);
            }
            Event::StockReleased(event) => {
                goods.stock = event.stock;
                goods.reserved.remove(&Reservation { order_id: event.order_id, line: event.line });
            }
            Event::GoodsDiscontinued(_) => goods.discontinued = true,
        }
        Some(goods)
    }

    fn resource(id: GoodsId, entry: &Entry<State>) -> Value {
        let goods = &entry.state;
        let resource = Goods {
            id,
            version: entry.version,
            created_at: entry.created_at,
            updated_at: entry.updated_at,
            name: goods.name.to_string(),
            price: goods.price,
            stock: goods.stock,
            discontinued: goods.discontinued,
        };
        serde_json::to_value(resource).expect("a resource is plain data")
    }
}

fn add(command: &AddGoods) -> Result<Events<Event>, Rejection> {
    named(&command.name)?;
    priced(command.price)?;
    if !(0..=STOCK_MAX).contains(&command.stock) {
        return Err(Rejection::InvalidStock { given: command.stock });
    }
    let added = GoodsAdded { name: command.name.clone(), price: command.price, stock: command.stock };
    Ok(Event::GoodsAdded(added).into())
}

fn update(goods: &State, command: &UpdateGoods) -> Result<Events<Event>, Rejection> {
    if goods.discontinued {
        return Err(Rejection::GoodsDiscontinued);
    }
    let mut changes = Vec::new();
    if let Some(name) = command.name.as_ref().filter(|name| ***name != *goods.name) {
        named(name)?;
        changes.push(Event::GoodsRenamed(GoodsRenamed { name: name.clone() }));
    }
    if let Some(price) = command.price.filter(|price| *price != goods.price) {
        priced(price)?;
        changes.push(Event::PriceChanged(PriceChanged { price }));
    }
    let mut changes = changes.into_iter();
    let first = changes.next().ok_or(Rejection::NoChange)?;
    Ok(Events::new(first, changes.collect()))
}

fn adjust(goods: &State, command: &AdjustStock) -> Result<Events<Event>, Rejection> {
    let length = command.reason.chars().count();
    if !(1..=REASON_CHARS_MAX).contains(&length) {
        return Err(Rejection::InvalidReason);
    }
    if command.delta == 0 {
        return Err(Rejection::NoChange);
    }
    let stock = goods.stock.saturating_add(command.delta);
    if stock < 0 {
        return Err(Rejection::InsufficientStock { available: goods.stock });
    }
    // What orders give back may lift a full stock above the limit; taking away from that is always right.
    if stock > STOCK_MAX && command.delta > 0 {
        return Err(Rejection::InvalidStock { given: stock });
    }
    let adjusted = StockAdjusted { delta: command.delta, reason: command.reason.clone(), stock };
    Ok(Event::StockAdjusted(adjusted).into())
}

fn reserve(goods: Option<&State>, command: &ReserveStock) -> Result<Events<Event>, Rejection> {
    let quantity = match u32::try_from(command.quantity) {
        Ok(quantity @ 1..) if command.quantity <= QUANTITY_MAX => quantity,
        _ => return Err(Rejection::InvalidQuantity { given: command.quantity }),
    };
    let reservation = Reservation { order_id: command.order_id, line: command.line };
    let goods = goods.ok_or(Rejection::UnknownGoods { reservation })?;
    match goods.reserved.get(&reservation) {
        Some(reserved) if *reserved == quantity => return Err(Rejection::NoChange),
        Some(reserved) => return Err(Rejection::ReservedOtherwise { reserved: *reserved }),
        None => {}
    }
    if goods.discontinued {
        return Err(Rejection::NotForSale { reservation });
    }
    let stock = goods.stock - i64::from(quantity);
    if stock < 0 {
        return Err(Rejection::SoldOut { reservation, available: goods.stock });
    }
    let Reservation { order_id, line } = reservation;
    Ok(Event::StockReserved(StockReserved { order_id, line, quantity, unit_price: goods.price, stock })
        .into())
}

fn release(goods: Option<&State>, command: &ReleaseStock) -> Result<Events<Event>, Rejection> {
    let ReleaseStock { order_id, line } = *command;
    // What was never reserved needs no giving back: whoever releases need not know how far the reserving had come, nor
    // whether the goods were known.
    let goods = goods.ok_or(Rejection::NoChange)?;
    let quantity = *goods.reserved.get(&Reservation { order_id, line }).ok_or(Rejection::NoChange)?;
    let stock = goods.stock.saturating_add(quantity.into());
    Ok(Event::StockReleased(StockReleased { order_id, line, quantity, stock }).into())
}

fn named(name: &str) -> Result<(), Rejection> {
    let length = name.chars().count();
    if (1..=NAME_CHARS_MAX).contains(&length) { Ok(()) } else { Err(Rejection::InvalidName) }
}

fn priced(price: Money) -> Result<(), Rejection> {
    if price.is_price() { Ok(()) } else { Err(Rejection::InvalidPrice { given: price.amount }) }
}

#[cfg(test)]
impl State {
    /// What is left, and what is set aside in all.
    pub(crate) fn pieces(&self) -> (i64, i64) {
        (self.stock, self.reserved.values().map(|quantity| i64::from(*quantity)).sum())
    }
}

#[cfg(test)]
#[path = "goods_test.rs"]
mod tests;
