//! The gateway on real Kafka, with a small decider that answers as its commands ask it to. Needs `KAFKA_BROKERS`.

mod access;
mod commands;
mod decider;
mod documents;
mod idempotency;
mod issuer;
mod limits;
mod live;
mod problems;
mod rpc;
mod stack;
mod writes;
