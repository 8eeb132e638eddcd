//! Commands of the goods service, for tests that need some.

use factfold_schemas::{
    goods::{AddGoods, AdjustStock, Command},
    money::Money,
};

pub(crate) fn eur(amount: i64) -> Money {
    Money::new(amount, "EUR".parse().expect("a currency"))
}

pub(crate) fn add(stock: i64) -> Command {
    Command::AddGoods(AddGoods { name: "Tea".into(), price: eur(250), stock })
}

pub(crate) fn take(pieces: i64) -> Command {
    Command::AdjustStock(AdjustStock { delta: -pieces, reason: "test".into() })
}
