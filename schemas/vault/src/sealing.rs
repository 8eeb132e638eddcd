//! The cipher: AES-256-GCM. The nonce is a keyed hash of what is sealed and where, so that sealing is deterministic: two
//! texts share a nonce only when they are the same text in the same place, and then all of it is the same. (What that tells:
//! that a person's text is again what it was.)

use aes_gcm::{
    Aes256Gcm, KeyInit as _,
    aead::{Aead as _, Payload},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use factfold_schemas::personal::{Personal, SEALED};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::ZeroizeOnDrop;

/// Bytes of a nonce of AES-GCM.
const NONCE_BYTES: usize = 12;

/// A key of 256 bits.
#[derive(Clone, PartialEq, Eq, ZeroizeOnDrop)]
pub(crate) struct SubjectKey([u8; 32]);

impl std::fmt::Debug for SubjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SubjectKey")
    }
}

impl SubjectKey {
    pub(crate) const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn generate() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// HMAC-SHA-256 under this key: a key for one purpose, or a pseudonym.
    pub(crate) fn mac(&self, purpose: &str, data: &[u8]) -> [u8; 32] {
        let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&self.0).expect("any length will do");
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(data);
        mac.finalize().into_bytes().into()
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(&self.mac("encrypt", &[]).into())
    }
}

/// The sealed form of a text that belongs to this place.
pub(crate) fn seal(key: &SubjectKey, place: &str, text: &str) -> Personal {
    Personal::new(format!("{SEALED}{}", URL_SAFE_NO_PAD.encode(encrypt(key, place, text.as_bytes()))))
}

/// The text, if it was sealed under this key, for this place.
pub(crate) fn open(key: &SubjectKey, place: &str, sealed: &Personal) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(sealed.as_str().strip_prefix(SEALED)?).ok()?;
    String::from_utf8(decrypt(key, place, &bytes)?).ok()
}

/// Nonce, ciphertext and tag.
pub(crate) fn encrypt(key: &SubjectKey, place: &str, plain: &[u8]) -> Vec<u8> {
    let mut data = place.as_bytes().to_vec();
    data.push(0);
    data.extend_from_slice(plain);
    let nonce: [u8; NONCE_BYTES] = key.mac("nonce", &data)[..NONCE_BYTES].try_into().expect("12 of 32");
    let payload = Payload { msg: plain, aad: place.as_bytes() };
    let sealed = key.cipher().encrypt(&nonce.into(), payload).expect("short enough for AES-GCM");
    [nonce.as_slice(), &sealed].concat()
}

pub(crate) fn decrypt(key: &SubjectKey, place: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = bytes.split_first_chunk::<NONCE_BYTES>()?;
    let payload = Payload { msg: sealed, aad: place.as_bytes() };
    key.cipher().decrypt(&(*nonce).into(), payload).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_altered_is_not_opened() {
        let key = SubjectKey::new([7; 32]);
        let sealed = seal(&key, "user-1/name", "Zoë");
        assert_eq!(open(&key, "user-1/name", &sealed).as_deref(), Some("Zoë"));
        for at in SEALED.len()..sealed.as_str().len() {
            let mut altered = sealed.as_str().as_bytes().to_vec();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            let altered = Personal::new(String::from_utf8(altered).expect("text"));
            assert_ne!(open(&key, "user-1/name", &altered).as_deref(), Some("Zoë"), "{at}");
        }
        for short in ["", "sealed.v1.", "sealed.v1.AAAA", "sealed.v1.***", "sealed.v2.AAAA"] {
            assert_eq!(open(&key, "user-1/name", &Personal::new(short)), None, "{short}");
        }
    }

    /// What lies on topics for ever must be opened for ever.
    #[test]
    fn what_was_sealed_once_is_opened_for_ever() {
        let sealed = seal(&SubjectKey::new([7; 32]), "user-1/name", "Zoë");
        assert_eq!(sealed.as_str(), "sealed.v1.9InmCiVcXguKdiO3UbW4_kBPtfPPK6bW8bjuI4tP0ZA");
    }
}
