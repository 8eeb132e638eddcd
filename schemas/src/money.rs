//! Money: an integer of minor units and an ISO 4217 currency. Never a float; all arithmetic is checked.

use std::{fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The largest amount, 2^53 - 1 minor units: the largest integer that every JSON reader keeps exact.
pub const AMOUNT_MAX: i64 = (1 << 53) - 1;

/// An amount in minor units (cents) of one currency. As it comes from outside the amount may be anything that fits
/// an `i64`; [`Money::is_price`] and [`Money::is_payment`] say what the domain accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(description = "An amount of money, in minor units (cents) of one currency.")]
pub struct Money {
    /// Minor units: 1999 is 19.99 EUR.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub amount: i64,
    /// ISO 4217, three capital letters.
    pub currency: Currency,
}

impl Money {
    /// So many minor units of this currency.
    pub const fn new(amount: i64, currency: Currency) -> Self {
        Self { amount, currency }
    }

    /// Nothing, in this currency.
    pub const fn zero(currency: Currency) -> Self {
        Self::new(0, currency)
    }

    /// Whether this can be a price: zero or more, and no more than [`AMOUNT_MAX`].
    pub const fn is_price(self) -> bool {
        self.amount >= 0 && self.amount <= AMOUNT_MAX
    }

    /// Whether this can be paid or given back: more than zero, and no more than [`AMOUNT_MAX`].
    pub const fn is_payment(self) -> bool {
        self.amount > 0 && self.amount <= AMOUNT_MAX
    }

    /// The sum; `None` when the currencies differ or it passes [`AMOUNT_MAX`].
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.with(other, i64::checked_add)
    }

    /// The difference; `None` when the currencies differ or it falls below zero.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.with(other, i64::checked_sub)
    }

    /// So many times this; `None` when it passes [`AMOUNT_MAX`].
    pub fn checked_mul(self, times: u32) -> Option<Self> {
        let product = Self::new(self.amount.checked_mul(times.into())?, self.currency);
        product.is_price().then_some(product)
    }

    fn with(self, other: Self, op: fn(i64, i64) -> Option<i64>) -> Option<Self> {
        if self.currency != other.currency {
            return None;
        }
        let result = Self::new(op(self.amount, other.amount)?, self.currency);
        result.is_price().then_some(result)
    }
}

impl fmt::Display for Money {
    /// `19.99 EUR`, with as many decimals as the currency has.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = usize::from(self.currency.digits());
        let (sign, units) = (if self.amount < 0 { "-" } else { "" }, self.amount.unsigned_abs());
        match 10_u64.pow(digits as u32) {
            1 => write!(f, "{sign}{units} {}", self.currency),
            scale => write!(f, "{sign}{}.{:0digits$} {}", units / scale, units % scale, self.currency),
        }
    }
}

/// A currency of ISO 4217, by its three letters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Currency([u8; 3]);

/// Three letters that ISO 4217 does not know as a currency.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a currency of ISO 4217 (three capital letters, as in EUR)")]
pub struct UnknownCurrency(String);

impl Currency {
    fn as_str(&self) -> &str {
        // Only made from ASCII letters, in `from_str`.
        std::str::from_utf8(&self.0).unwrap_or("???")
    }

    /// How many decimals the currency has: 2 for EUR, 0 for JPY.
    pub fn digits(self) -> u16 {
        iso_currency::Currency::from_code(self.as_str()).and_then(|c| c.exponent()).unwrap_or(0)
    }
}

impl FromStr for Currency {
    type Err = UnknownCurrency;
    fn from_str(text: &str) -> Result<Self, UnknownCurrency> {
        let known = iso_currency::Currency::from_code(text).is_some();
        match <[u8; 3]>::try_from(text.as_bytes()) {
            Ok(code) if known => Ok(Self(code)),
            _ => Err(UnknownCurrency(text.chars().take(16).collect())),
        }
    }
}

impl TryFrom<String> for Currency {
    type Error = UnknownCurrency;
    fn try_from(text: String) -> Result<Self, UnknownCurrency> {
        text.parse()
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.as_str().to_owned()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl JsonSchema for Currency {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Currency".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "iso-4217", "pattern": "^[A-Z]{3}$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eur(amount: i64) -> Money {
        Money::new(amount, "EUR".parse().expect("a currency"))
    }

    #[test]
    fn arithmetic_stays_within_bounds() {
        assert_eq!(eur(1).checked_add(eur(2)), Some(eur(3)));
        assert_eq!(eur(AMOUNT_MAX).checked_add(eur(1)), None);
        assert_eq!(eur(1).checked_sub(eur(2)), None);
        assert_eq!(eur(AMOUNT_MAX / 2).checked_mul(3), None);
        let usd = Money::new(1, "USD".parse().expect("a currency"));
        assert_eq!(eur(1).checked_add(usd), None);
    }

    #[test]
    fn only_real_currencies() {
        for wrong in ["", "eur", "EU", "EURO", "XQZ", "ÄÖ"] {
            assert!(wrong.parse::<Currency>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn reads_as_people_write_it() {
        assert_eq!(eur(1999).to_string(), "19.99 EUR");
        assert_eq!(eur(5).to_string(), "0.05 EUR");
        assert_eq!(Money::new(500, "JPY".parse().expect("a currency")).to_string(), "500 JPY");
    }
}
