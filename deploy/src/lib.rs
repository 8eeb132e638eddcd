//! The `factfold` binary as a library: it wires the roles together and runs the local stack.
//!
//! A tour: [`commands`] has one file per CLI command; [`stack`] starts, watches and stops a
//! private Kafka and PostgreSQL; [`data_dir`] is the directory where they keep their data and
//! publish their [`addresses`]; [`settings`] says how everything is to be; [`topics`] makes the topics;
//! [`roles`] is where the services are started on top; [`system`] is how every other command finds what runs; [`shadow`]
//! has this build decide again what was decided; [`bench`] says how fast all of it is.
//!
//! It must never hold a rule of the domain, decide a command, or write SQL.

pub mod accounts;
pub mod addresses;
pub mod bench;
pub mod bindings;
pub mod blocking;
pub mod commands;
pub mod console;
pub mod data_dir;
pub mod doctor;
#[cfg(feature = "failpoints")]
pub mod failpoints;
pub mod failure;
pub mod lag;
mod metrics_catalogue;
mod output;
pub mod process;
pub mod roles;
pub mod settings;
pub mod shadow;
pub mod shutdown;
pub mod stack;
pub mod system;
pub mod telemetry;
pub mod topics;
mod verification;
