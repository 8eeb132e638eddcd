//! The language of factfold: everything that is stored, sent or shown, and nothing that does anything.
//!
//! Start with [`orders`] or [`goods`]: commands, events and rejections of one service. [`command`] and [`record`] say
//! what travels with them, [`cloudevents`] how that lies in a Kafka record, [`codec`] how a value becomes a message.
//! [`position`] is the token that all stages understand, [`topics`] and [`partitioner`] say where a record belongs, [`timer`]
//! how it waits for its time.
//!
//! This crate does no I/O, knows no clock, and imports nothing of ours. ([`kafka`] is the one place where rdkafka's types
//! meet ours.)

pub mod cloudevents;
pub mod codec;
pub mod command;
pub mod compatibility;
pub mod email;
pub mod functions;
pub mod goods;
pub mod ids;
pub mod json;
pub mod kafka;
pub mod letter;
mod misfit;
pub mod money;
pub mod nul;
pub mod orders;
pub mod partitioner;
pub mod personal;
pub mod position;
pub mod record;
pub mod rejection;
mod strangers;
pub mod timer;
pub mod topics;
pub mod users;
pub mod visible;
