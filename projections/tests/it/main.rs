//! The read side against a real Kafka and a real Postgres. Each test has a namespace of its own, so all run at once.
//! Events are written as a worker writes them: inside transactions, events and outcomes in the partition of their command.

mod building;
mod exactly_once;
mod functions;
mod log;
mod migrating;
mod past;
mod projecting;
mod reading;
mod refusing;
mod sales;
mod verifying;
mod waiting;
mod world;
