//! The gateway's settings. Everything has a bound; the defaults suit one machine.

use std::{sync::Arc, time::Duration};

use factfold_registry::Registry;
use factfold_vault::Vault;

use crate::{
    access::{Keys, TrustedIssuer},
    peer::Proxies,
    tls::Tls,
};

/// The largest body of a request, in bytes.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// The most commands of one batch.
pub const BATCH_MAX: usize = 1000;
/// How long a write waits for its decision when the client does not say.
pub(crate) const WAIT_DEFAULT: Duration = Duration::from_secs(5);
/// How long a write waits at most, and a read for an order's status.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(30);
/// How long a read waits for the positions that it names.
pub(crate) const AT_LEAST_TIME: Duration = Duration::from_secs(5);
/// How long a read waits for the caller's own last writes.
pub(crate) const OWN_WRITES_TIME: Duration = Duration::from_secs(1);

/// How long a page of a stream's history is looked for. What was found until then is a page too.
pub(crate) const HISTORY_TIME: Duration = Duration::from_secs(3);

/// How a gateway behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The keys of access tokens.
    pub keys: Arc<Keys>,
    /// Another issuer whose access tokens are good here.
    pub issuer: Option<TrustedIssuer>,
    /// What seals personal data, and opens it.
    pub vault: Arc<Vault>,
    /// What knows and runs the functions; without it, none is deployed or called here.
    pub functions: Option<Registry>,
    /// The listener's certificate; without one, whoever is in between can read along.
    pub tls: Option<Arc<Tls>>,
    /// The proxies before this gateway, that are believed when they say for whom they ask.
    pub proxies: Proxies,
    /// How many requests may wait at once, for a decision or for a read model; beyond, they are refused with 503.
    pub waiting_max: usize,
    /// How many connections may be open at once; beyond, new ones wait in the kernel's queue.
    pub connections_max: usize,
    /// How many commands may be on their way to Kafka at once; beyond, they are refused with 503.
    pub unstored_max: u32,
    /// How long Kafka may take to store a command; beyond, it is unknown whether it was stored (504).
    pub store_time: Duration,
    /// How long a client may take to send a request's headers; also how long an idle connection is kept.
    pub header_time: Duration,
    /// How long a client may take to send a body.
    pub body_time: Duration,
    /// How many may read live events at once; beyond, they are refused with 503.
    pub readers_max: usize,
    /// How many may read past events at once, each with a consumer of its own; beyond, they are refused with 503.
    pub scans_max: usize,
    /// How long a client may take nothing of what is sent to it, before it is cut off.
    pub reader_patience: Duration,
    /// How often somebody who reads events hears that there are none.
    pub heartbeat: Duration,
    /// How long requests may go on after the gateway was told to stop.
    pub drain_time: Duration,
}

impl Settings {
    /// The defaults, with these keys.
    pub fn new(keys: Keys, vault: Arc<Vault>) -> Self {
        Self {
            keys: Arc::new(keys),
            issuer: None,
            vault,
            functions: None,
            tls: None,
            proxies: Proxies::default(),
            waiting_max: 1024,
            connections_max: 4096,
            unstored_max: 10_000,
            // Longer than a broker stands still when its disk has to catch up (10 s were seen).
            store_time: Duration::from_secs(20),
            header_time: Duration::from_secs(30),
            body_time: Duration::from_secs(15),
            readers_max: 256,
            scans_max: 16,
            reader_patience: Duration::from_secs(30),
            heartbeat: Duration::from_secs(15),
            drain_time: Duration::from_secs(5),
        }
    }
}
