//! The only place that decides. [`functions`], [`goods`], [`orders`] and [`users`] are the rules, [`reactors`] what follows from facts, all of them
//! pure, and so is [`changes`], which tells what an event changed; [`worker`] is the runtime that feeds them from Kafka, exactly
//! once.
//!
//! This crate must never look at a read model, and nothing but [`worker`] in it does I/O.

pub mod changes;
mod cron;
pub mod decider;
pub mod functions;
pub mod goods;
pub mod orders;
pub mod reactors;
pub mod users;
pub mod worker;

#[cfg(test)]
mod given;
#[cfg(test)]
mod simulation;
