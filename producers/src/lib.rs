//! The gateway: the API over HTTP and gRPC, writes and reads. A write becomes a command on a topic, and is answered with what the
//! worker decided; a read asks the read side.
//!
//! Start with [`submitting`]: the path of one command on one screen. [`writer`] stores it, [`replies`] brings the answer
//! back, [`answers`] makes HTTP of it. [`asking`] is the path of a question. [`reading`] turns requests into types,
//! [`vocabulary`] says which commands there are and who may send them, [`access`] who calls, [`problems`] how every refusal
//! looks. [`routes`] has one file for each resource, [`rpc`] one for each gRPC service. [`live`] shows events as they come.
//!
//! The gateway decides nothing, keeps no state that a restart would lose, and buffers nothing without bound.

#![warn(missing_docs)]

pub mod access;
mod accounts;
mod answers;
mod asking;
pub mod documents;
mod envelopes;
mod freshness;
mod functions;
mod gateway;
mod live;
mod observing;
mod own_writes;
pub mod passwords;
mod peer;
pub mod problems;
mod reading;
mod replies;
mod routes;
mod rpc;
mod server;
mod settings;
mod submitting;
mod tls;
mod vocabulary;
mod writer;

pub use gateway::{Gateway, StartError};
pub use peer::{NoNetwork, Proxies};
pub use settings::{BATCH_MAX, BODY_BYTES_MAX, Settings};
pub use tls::{Tls, TlsError};
