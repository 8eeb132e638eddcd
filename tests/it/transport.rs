//! Everything over TLS: the HTTP API, and a Kafka and a PostgreSQL that take nobody who does not come that way and prove who
//! it is. The certificates are made here.

use std::{
    path::Path,
    process::{Command, Output},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use factfold::stack::{SecureListener, StackOptions, Throwaway};
use factfold_producers::access::Role;
use factfold_schemas::ids::UserId;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{
    binary::binary, certificates::Certificates, installation::Installation, system::Client, walk::walk,
    world::PATIENCE,
};

const USER: &str = "shop";
const PASSWORD: &str = "correct-horse";

/// From now on this PostgreSQL takes nobody without TLS. Its own user must own the key, so it writes the files itself.
async fn require_tls(url: &str, certificates: &Certificates) {
    let mut postgres = PgConnection::connect(url).await.expect("PostgreSQL");
    let hba = "hostssl all all 127.0.0.1/32 scram-sha-256\n".to_owned();
    for (name, text) in [
        ("server.crt", certificates.text("server.crt")),
        ("server.key", certificates.text("server.key")),
        ("pg_hba.conf", hba),
    ] {
        let text = BASE64_STANDARD.encode(text);
        let copy = format!("COPY (SELECT '{text}') TO PROGRAM 'base64 -d > {name} && chmod 600 {name}'");
        sqlx::raw_sql(AssertSqlSafe(copy)).execute(&mut postgres).await.expect("written");
    }
    sqlx::raw_sql("ALTER SYSTEM SET ssl = on").execute(&mut postgres).await.expect("altered");
    sqlx::raw_sql("SELECT pg_reload_conf()").execute(&mut postgres).await.expect("reloaded");
    let refused = async { while PgConnection::connect(&format!("{url}?sslmode=disable")).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, refused).await.expect("it takes nobody without TLS any more");
}

/// What `factfold up` needs to know to get in.
struct Ways<'a> {
    stack: &'a Throwaway,
    certificates: &'a Certificates,
}

impl Ways<'_> {
    fn variables(&self, kafka_ca: &str, password: &str, postgres_ca: &str) -> Vec<(&'static str, String)> {
        let file = |name: &str| self.certificates.path(name).display().to_string();
        self.certificates.write("password", &format!("{password}\n"));
        let brokers = self.stack.secure_brokers().expect("a strict listener");
        let url = self.stack.database_url();
        vec![
            ("KAFKA_BROKERS", brokers.to_owned()),
            ("FACTFOLD_KAFKA_SECURITY_PROTOCOL", "SASL_SSL".to_owned()),
            ("FACTFOLD_KAFKA_SSL_CA_LOCATION", file(kafka_ca)),
            ("FACTFOLD_KAFKA_SASL_MECHANISM", "SCRAM-SHA-512".to_owned()),
            ("FACTFOLD_KAFKA_SASL_USERNAME", USER.to_owned()),
            ("FACTFOLD_KAFKA_SASL_PASSWORD_FILE", file("password")),
            ("DATABASE_URL", format!("{url}?sslmode=verify-full&sslrootcert={}", file(postgres_ca))),
            ("FACTFOLD_TLS_CERT_FILE", file("http.crt")),
            ("FACTFOLD_TLS_KEY_FILE", file("http.key")),
            ("FACTFOLD_PARTITIONS", "2".to_owned()),
            ("FACTFOLD_REPLICATION", "1".to_owned()),
        ]
    }

    /// What is said by a `factfold up` that cannot get in.
    fn refusal(&self, variables: &[(&'static str, String)], data: &Path) -> String {
        let Output { status, stderr, .. } = Command::new(binary())
            .arg("--data")
            .arg(data)
            .args(["up", "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .output()
            .expect("it ends");
        let said = String::from_utf8(stderr).expect("text");
        assert_eq!(status.code(), Some(3), "{said}");
        assert!(!said.contains(PASSWORD), "{said}");
        said
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_walk_goes_over_tls_everywhere() {
    let certificates = Certificates::new();
    let secure_listener = SecureListener {
        keystore: certificates.path("server.pem"),
        user: USER.to_owned(),
        password: PASSWORD.to_owned(),
    };
    let options = StackOptions { secure_listener: Some(secure_listener), ..StackOptions::throwaway(1) };
    let mut installation = Installation::new().await;
    let stack = Throwaway::start(&options).await.expect("a stack");
    require_tls(stack.database_url(), &certificates).await;
    let ways = Ways { stack: &stack, certificates: &certificates };

    let good = ways.variables("server-ca.pem", PASSWORD, "server-ca.pem");
    let good: Vec<_> = good.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let addresses = installation.start_with(&good).await;
    let http = addresses.http.clone().expect("an address");
    assert!(http.starts_with("https://"), "{http}");
    let client = |roles: &[Role]| {
        let user = UserId::generate();
        Client::new(http.clone(), user, installation.token(user, roles))
            .trusting(&certificates.text("http-ca.pem"))
    };
    let before = client(&[Role::Customer]);
    walk(&client(&[Role::Merchant]), &before).await;
    let issuer = Certificate::from_pem(certificates.text("http-ca.pem"));
    let trusting = ClientTlsConfig::new().ca_certificate(issuer);
    let channel =
        Endpoint::from_shared(http.clone()).and_then(|at| at.tls_config(trusting)).expect("an address");
    let channel = channel.connect().await.expect("HTTP/2 over TLS");
    HealthClient::new(channel).check(HealthCheckRequest::default()).await.expect("gRPC over TLS");
    // The certificate is replaced: whoever connects now meets the new one, whoever is connected goes on.
    certificates.issue("http");
    client(&[Role::Customer]).get("/v1/orders").await.expect(200);
    before.get("/v1/orders").await.expect(200);
    installation.stop().await;

    let brokers = stack.secure_brokers().expect("a strict listener");
    let postgres = stack.database_url().rsplit(['@', '/']).nth(1).expect("a host").to_owned();
    for (kafka_ca, password, postgres_ca, expected) in [
        ("other-ca.pem", PASSWORD, "server-ca.pem", ["no Kafka", brokers, "certificate verify failed"]),
        ("server-ca.pem", "wrong", "server-ca.pem", ["no Kafka", brokers, "Authentication failed"]),
        ("server-ca.pem", PASSWORD, "other-ca.pem", ["Postgres", postgres.as_str(), "UnknownIssuer"]),
    ] {
        let data = Installation::folder();
        let said = ways.refusal(&ways.variables(kafka_ca, password, postgres_ca), data.path());
        assert!(expected.iter().all(|part| said.contains(part)), "{expected:?}: {said}");
    }
    stack.stop().await;
}
