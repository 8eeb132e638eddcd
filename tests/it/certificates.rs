//! Certificates for this machine, of issuers that nobody else knows.

use std::{fs, path::PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use crate::installation::Installation;

/// Certificates of an issuer of our own, in files.
pub(crate) struct Certificates(TempDir);

impl Certificates {
    pub(crate) fn new() -> Self {
        let made = Self(Installation::folder());
        for name in ["server", "http", "other"] {
            made.issue(name);
        }
        made
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("a file")
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file");
    }

    /// A certificate for this machine, its key, and the certificate of their new issuer.
    pub(crate) fn issue(&self, name: &str) {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // OpenSSL takes a certificate whose subject is its issuer for one that signed itself.
        authority.distinguished_name.push(DnType::CommonName, format!("the issuer of {name}"));
        let authority_key = KeyPair::generate().expect("a key");
        let root = authority.self_signed(&authority_key).expect("a certificate").pem();
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate().expect("a key");
        let here = CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
        let certificate = here.signed_by(&key, &issuer).expect("a certificate").pem();
        self.write(&format!("{name}.crt"), &certificate);
        self.write(&format!("{name}.key"), &key.serialize_pem());
        self.write(&format!("{name}.pem"), &format!("{}{certificate}", key.serialize_pem()));
        self.write(&format!("{name}-ca.pem"), &root);
    }
}
