//! `server.properties` of a private node, and why each setting is there.

use std::path::Path;

use super::Ports;
use crate::stack::{Durability, SecureListener};

/// How clients of the strict listener prove that they know the password.
const SCRAM: &str = "SCRAM-SHA-512";

/// What all nodes of a cluster know.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) id: String,
    pub(super) members: Vec<Member>,
    pub(super) secure_listener: Option<SecureListener>,
    pub(super) durability: Durability,
}

/// One node, and where it is reached on the loopback address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub(super) id: u16,
    pub(super) port: u16,
    controller_port: u16,
    secure_port: Option<u16>,
}

impl Member {
    pub(super) fn new(id: u16, ports: &Ports) -> Self {
        Self {
            id,
            port: ports.broker(id),
            controller_port: ports.controller(id),
            secure_port: ports.secure_broker(id),
        }
    }

    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Cluster {
    pub(super) fn brokers(&self) -> String {
        self.members.iter().map(Member::address).collect::<Vec<_>>().join(",")
    }

    pub(super) fn secure_brokers(&self) -> Option<String> {
        let addresses: Option<Vec<_>> =
            self.members.iter().map(|member| Some(format!("127.0.0.1:{}", member.secure_port?))).collect();
        addresses.map(|addresses| addresses.join(","))
    }

    /// A replica on every node up to three; one of three may be away.
    fn replicas(&self) -> (usize, usize) {
        if self.members.len() < 3 { (1, 1) } else { (3, 2) }
    }

    /// For how long a silent node counts as alive, in milliseconds. Where there are others, they take over soon. A single one
    /// has nobody to give its partitions to, so no pause of the machine may count as its death.
    fn session_timeout_ms(&self) -> u32 {
        if self.members.len() > 1 { 2_500 } else { 30_000 }
    }

    /// The settings of `member`, with its storage at `data`.
    pub(super) fn server_properties(&self, member: Member, data: &Path) -> String {
        let address = member.address();
        let mut text = format!(
            "\
{common}
process.roles=broker,controller
listeners=BROKER://{address},CONTROLLER://127.0.0.1:{controller_port}{secure}
advertised.listeners=BROKER://{address}{secure}
inter.broker.listener.name=BROKER
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL
broker.session.timeout.ms={session_timeout_ms}
broker.heartbeat.interval.ms=500
",
            controller_port = member.controller_port,
            secure = member.secure_port.map(|port| format!(",SECURE://127.0.0.1:{port}")).unwrap_or_default(),
            session_timeout_ms = self.session_timeout_ms(),
            common = self.common_properties(member, data),
        );
        if let Some(SecureListener { keystore, .. }) = &self.secure_listener {
            text.push_str(&format!(
                "
listener.name.secure.ssl.keystore.type=PEM
listener.name.secure.ssl.keystore.location={}
listener.name.secure.sasl.enabled.mechanisms={SCRAM}
listener.name.secure.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
",
                keystore.display()
            ));
        }
        if self.durability == Durability::PowerCuts {
            text.push_str(
                "\n# With one replica, only the disk outlives a power cut.\nlog.flush.interval.messages=1\n",
            );
        }
        text
    }

    /// What a node's storage must know from the beginning: the password of the strict listener.
    pub(super) fn credentials(&self) -> Option<String> {
        let SecureListener { user, password, .. } = self.secure_listener.as_ref()?;
        Some(format!("{SCRAM}=[name={user},password={password}]"))
    }

    /// The settings of `member` as a controller only, which soon finds that no node is alive: see [`super::fence`].
    pub(super) fn fencing_properties(&self, member: Member, data: &Path) -> String {
        format!(
            "\
{common}
process.roles=controller
listeners=CONTROLLER://127.0.0.1:{controller_port}
listener.security.protocol.map=CONTROLLER:PLAINTEXT
broker.session.timeout.ms=100
broker.heartbeat.interval.ms=50
# It is stopped as soon as it has found that out.
controller.quorum.append.linger.ms=0
",
            controller_port = member.controller_port,
            common = self.common_properties(member, data),
        )
    }

    fn common_properties(&self, member: Member, data: &Path) -> String {
        let voters: Vec<_> = self
            .members
            .iter()
            .map(|each| format!("{}@127.0.0.1:{}", each.id, each.controller_port))
            .collect();
        let (replicas, in_sync_min) = self.replicas();
        format!(
            "\
# Written by factfold at every start: changes here are lost.
node.id={id}
# Voters by configuration, not by the log: then a port may change between two starts.
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
log.dirs={data}

default.replication.factor={replicas}
min.insync.replicas={in_sync_min}
unclean.leader.election.enable=false
offsets.topic.replication.factor={replicas}
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync_min}
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr={in_sync_min}
# A few groups and transactional ids need few partitions, and each costs at every start.
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
share.coordinator.state.topic.num.partitions=1

# A misspelt topic is an error, not a new topic.
auto.create.topics.enable=false
# History is kept; a topic that may be shorter says so itself.
log.retention.ms=-1
# A group that was away for a week must not lose its place.
offsets.retention.minutes=2147483647
# Nobody else is about to join: do not wait for them.
group.initial.rebalance.delay.ms=0
# A transaction of a dead producer blocks its readers until the next sweep.
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
transaction.max.timeout.ms=60000
",
            id = member.id,
            voters = voters.join(","),
            data = data.display(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(nodes: u16, durability: Durability) -> Cluster {
        let member = |id| Member { id, port: 20_000 + id, controller_port: 21_000 + id, secure_port: None };
        let members = (1..=nodes).map(member).collect();
        Cluster { id: "id".to_owned(), members, secure_listener: None, durability }
    }

    #[test]
    fn three_nodes_vote_and_replicate() {
        let cluster = cluster(3, Durability::Throwaway);
        let text = cluster.server_properties(cluster.members[1], Path::new("/data"));
        assert!(text.contains("node.id=2\n"));
        assert!(text.contains("=1@127.0.0.1:21001,2@127.0.0.1:21002,3@127.0.0.1:21003\n"));
        assert!(text.contains("transaction.state.log.min.isr=2\n"));
        assert_eq!(cluster.brokers(), "127.0.0.1:20001,127.0.0.1:20002,127.0.0.1:20003");
    }

    #[test]
    fn every_record_is_flushed_only_when_power_cuts_count() {
        let flushes = |durability| {
            let cluster = cluster(1, durability);
            cluster.server_properties(cluster.members[0], Path::new("/data")).contains("log.flush")
        };
        assert!(flushes(Durability::PowerCuts));
        assert!(!flushes(Durability::Crashes));
    }
}
