//! End-to-end and protocol tests, on a real Kafka and a real Postgres that `deploy/test` starts for the whole run. One file
//! a promise; each test has a namespace of its own.

mod balancer;
mod binary;
mod cli;
mod disk;
mod disk_full;
mod failures;
mod fleet;
mod goods;
mod grpc;
mod grpcurl;
mod installation;
mod kafka_death;
mod kill;
mod kill_points;
mod live;
mod load;
mod open_transaction;
mod outage;
mod overload;
mod plain_client;
mod process;
mod projecting;
mod proof;
mod sse;
mod system;
mod takeover;
mod three_nodes;
mod turn;
mod twos;
mod walk;
mod worker_protocol;
mod world;
mod zombies;
