//! Stock adds up to the unit: after every event, what is left and what is set aside is what was added and adjusted; no
//! line is set aside twice, none is given back that is not set aside, or in part; and never is less left than nothing.

use std::collections::HashMap;

use factfold_schemas::goods::{Event, Reservation, StockReleased, StockReserved};

/// What the events of some goods come to.
#[derive(Debug, Default)]
pub struct Pieces {
    owned: i64,
    left: i64,
    reserved: HashMap<Reservation, i64>,
}

impl Pieces {
    /// The next event of the goods; `wrong` hears what does not add up.
    pub fn see(&mut self, event: &Event, mut wrong: impl FnMut(String)) {
        let shown = match event {
            Event::GoodsAdded(added) => {
                if self.owned != 0 || !self.reserved.is_empty() {
                    wrong("added again".to_owned());
                }
                self.left += added.stock;
                self.owned += added.stock;
                added.stock
            }
            Event::StockAdjusted(adjusted) => {
                self.left += adjusted.delta;
                self.owned += adjusted.delta;
                adjusted.stock
            }
            Event::StockReserved(StockReserved { order_id, line, quantity, stock, .. }) => {
                self.left -= i64::from(*quantity);
                let line = Reservation { order_id: *order_id, line: *line };
                if let Some(before) = self.reserved.insert(line, (*quantity).into()) {
                    wrong(format!("{line:?} is set aside twice: {before}, then {quantity}"));
                }
                *stock
            }
            Event::StockReleased(StockReleased { order_id, line, quantity, stock }) => {
                self.left += i64::from(*quantity);
                let line = Reservation { order_id: *order_id, line: *line };
                let before = self.reserved.remove(&line);
                if before != Some((*quantity).into()) {
                    wrong(format!("{quantity} of {line:?} are given back, but set aside are {before:?}"));
                }
                *stock
            }
            Event::GoodsRenamed(_) | Event::PriceChanged(_) | Event::GoodsDiscontinued(_) => self.left,
        };
        if shown != self.left || shown < 0 {
            wrong(format!("it says that {shown} are left, but {} are", self.left));
            // One wrong number is one finding.
            self.left = shown;
        }
    }

    /// Whether it all comes to what is left.
    ///
    /// # Errors
    /// What it comes to instead.
    pub fn end(&self) -> Result<(), String> {
        let (left, owned, set_aside) = (self.left, self.owned, self.reserved.values().sum::<i64>());
        if owned - set_aside == left {
            return Ok(());
        }
        Err(format!("{left} are left and {set_aside} set aside, but there were {owned}"))
    }
}
