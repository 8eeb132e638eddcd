//! The ports of a stack: free ones, kept in the data directory so that addresses stay the same
//! over restarts.
//!
//! They are taken from below the range that the kernel hands out to outgoing connections. A port
//! of that range could be gone when a broker comes back after a crash: to any client on the
//! machine, even to our own, connecting to itself while the broker is away.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

use anyhow::{Context as _, bail};

use super::StackOptions;
use crate::data_dir::{LockedDir, write_private};

const FILE: &str = "ports";
const LOWEST: u16 = 10_240;
const TRIES: usize = 1_000;

/// The ports of one stack, all different.
#[derive(Debug)]
pub(super) struct Ports {
    chosen: BTreeMap<String, u16>,
}

impl Ports {
    /// Takes the ports of last time where they are still free, new ones where they are not.
    pub(super) fn choose(dir: &LockedDir, options: &StackOptions) -> anyhow::Result<Self> {
        let file = dir.path().join(FILE);
        let kept = parse(&fs::read_to_string(&file).unwrap_or_default());
        // Held until all are chosen, so that no port is chosen twice.
        let mut held = Vec::new();
        let mut chosen = BTreeMap::new();
        for (name, fixed) in wanted(options)? {
            let (port, listener) = match fixed {
                Some(port) => (port, bind(port).with_context(|| taken(port))?),
                None => match kept.get(&name).and_then(|port| Some((*port, bind(*port).ok()?))) {
                    Some(free) => free,
                    None => free_port()?,
                },
            };
            held.push(listener);
            chosen.insert(name, port);
        }
        let lines: String = chosen.iter().map(|(name, port)| format!("{name}={port}\n")).collect();
        write_private(&file, &lines)?;
        Ok(Self { chosen })
    }

    /// The port where Kafka's node takes clients.
    pub(super) fn broker(&self, node: u16) -> u16 {
        self.chosen[&broker(node)]
    }

    /// The port where Kafka's node takes clients that prove who they are; none unless that was asked for.
    pub(super) fn secure_broker(&self, node: u16) -> Option<u16> {
        self.chosen.get(&secure_broker(node)).copied()
    }

    /// The port where Kafka's nodes talk about metadata.
    pub(super) fn controller(&self, node: u16) -> u16 {
        self.chosen[&controller(node)]
    }

    /// PostgreSQL's port.
    pub(super) fn postgres(&self) -> u16 {
        self.chosen[POSTGRES]
    }
}

const POSTGRES: &str = "postgres";

fn broker(node: u16) -> String {
    format!("kafka-{node}")
}

fn secure_broker(node: u16) -> String {
    format!("kafka-{node}-secure")
}

fn controller(node: u16) -> String {
    format!("kafka-{node}-controller")
}

/// Every port by name, with its number where the user fixed it. Fixed ones come first: no free
/// one may take their place.
fn wanted(options: &StackOptions) -> anyhow::Result<Vec<(String, Option<u16>)>> {
    let mut wanted = Vec::new();
    for node in 1..=options.kafka_nodes {
        let fixed = match options.kafka_port {
            Some(first) => Some(first.checked_add(node - 1).context("--kafka-port is too high")?),
            None => None,
        };
        wanted.push((broker(node), fixed));
    }
    wanted.extend((1..=options.kafka_nodes).map(|node| (controller(node), None)));
    if options.secure_listener.is_some() {
        wanted.extend((1..=options.kafka_nodes).map(|node| (secure_broker(node), None)));
    }
    wanted.push((POSTGRES.to_owned(), None));
    Ok(wanted)
}

fn taken(port: u16) -> String {
    format!("port {port} is not free: choose another --kafka-port, or leave it out for a free one")
}

fn bind(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}

fn free_port() -> anyhow::Result<(u16, TcpListener)> {
    let range = below_outgoing();
    let width = u128::from(range.end - range.start);
    for _ in 0..TRIES {
        let offset = uuid::Uuid::new_v4().as_u128() % width;
        let port = range.start + u16::try_from(offset).context("an offset within a range of ports")?;
        if let Ok(listener) = bind(port) {
            return Ok((port, listener));
        }
    }
    bail!("no free port from {} to {}: is something using them all?", range.start, range.end)
}

fn below_outgoing() -> Range<u16> {
    let outgoing = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let lowest_outgoing = outgoing.split_whitespace().next().and_then(|low| low.parse().ok());
    match lowest_outgoing {
        // Some machines hand nearly everything out: then there is nothing below, and luck must do.
        Some(end) if end > LOWEST + 1_000 => LOWEST..end,
        _ => LOWEST..32_768,
    }
}

fn parse(text: &str) -> BTreeMap<String, u16> {
    text.lines()
        .filter_map(|line| {
            let (name, port) = line.split_once('=')?;
            Some((name.to_owned(), port.parse().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_dir::DataDir;

    fn options(kafka_nodes: u16, kafka_port: Option<u16>) -> StackOptions {
        StackOptions { kafka_port, ..StackOptions::throwaway(kafka_nodes) }
    }

    #[test]
    fn ports_stay_while_they_are_free_and_change_when_taken() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let dir = DataDir::locate(Some(&temp.path().join("data"))).expect("path").lock().expect("owner");
        let first = Ports::choose(&dir, &options(3, None)).expect("ports").chosen;
        assert_eq!(first.len(), 7);
        let again = Ports::choose(&dir, &options(3, None)).expect("ports").chosen;
        assert_eq!(first, again);

        let _taken = bind(first["postgres"]).expect("free until now");
        let moved = Ports::choose(&dir, &options(3, None)).expect("ports").chosen;
        assert_ne!(first["postgres"], moved["postgres"]);
        assert_eq!(first["kafka-1"], moved["kafka-1"]);
    }

    #[test]
    fn a_fixed_port_that_is_taken_is_named() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let dir = DataDir::locate(Some(&temp.path().join("data"))).expect("path").lock().expect("owner");
        let (port, _listener) = free_port().expect("a free port");
        let error = Ports::choose(&dir, &options(1, Some(port))).expect_err("taken");
        assert!(error.to_string().starts_with(&format!("port {port} is not free")), "{error}");
    }
}
