//! The checks, one a file: each says in one sentence what must hold, and adds a finding for each place where it does not.

pub mod dead_letters;
pub mod forwarding;
pub mod money;
pub mod once;
pub mod order;
pub mod outcome_rows;
pub mod read_models;
pub mod redeciding;
pub mod requests;
pub mod reservations;
pub mod stock;
pub mod timers;
pub mod told;
pub mod traces;
