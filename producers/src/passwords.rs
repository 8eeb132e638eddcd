//! Passwords: hashed and checked with argon2id, a few at a time, on threads where nobody else waits. A password never
//! leaves this module but as a hash.

use std::{sync::Arc, thread};

use argon2::{
    Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version, password_hash::Error,
};
use tokio::sync::Semaphore;

use crate::problems::Problem;

/// OWASP's parameters for argon2id: 19 MiB, two passes, one lane.
const PARAMS: (u32, u32, u32) = (19_456, 2, 1);
/// The length of a password, in characters.
const CHARS: std::ops::RangeInclusive<usize> = 8..=128;
/// How many may wait for their turn at once; beyond, they are refused.
const WAITING_MAX: usize = 64;
/// What the password of nobody is compared with, so that nobody takes as long as somebody.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5bm9ib2R5bm9ibw$\
                      AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Hashes and checks.
#[derive(Debug)]
pub(crate) struct Passwords {
    /// One for each that may be at work.
    turns: Arc<Semaphore>,
    /// One for each that may be at work or wait.
    places: Semaphore,
}

impl Passwords {
    pub(crate) fn new() -> Self {
        let turns = thread::available_parallelism().map_or(1, usize::from);
        Self { turns: Arc::new(Semaphore::new(turns)), places: Semaphore::new(turns + WAITING_MAX) }
    }

    /// The hash of a password, as a PHC string. The same password and salt give the same, so that a repeated request does.
    pub(crate) async fn hash(&self, password: &str, salt: [u8; 16]) -> Result<String, Problem> {
        let password = password.to_owned();
        self.work(move || hash(&password, &salt)).await?.map_err(|error| {
            tracing::error!(%error, "a password cannot be hashed");
            Problem::new("internal-error", "the password could not be hashed")
        })
    }

    /// Whether this is the password with this hash. Without one it is not, and that takes as long to find out.
    pub(crate) async fn is_right(&self, password: &str, hash: Option<&str>) -> Result<bool, Problem> {
        let (password, exists) = (password.to_owned(), hash.is_some());
        let hash = hash.unwrap_or(NOBODY).to_owned();
        let verified =
            self.work(move || argon2()?.verify_password(password.as_bytes(), hash.as_str())).await?;
        Ok(verified.is_ok() && exists)
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<Result<T, Error>, Problem> {
        let busy = || {
            Problem::new("too-many-waiting", "too many passwords are being checked already").retry_after(1)
        };
        let _place = self.places.try_acquire().map_err(|_| busy())?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| busy())?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            // Whoever asked may be gone; the work is not, and has its turn until it is.
            drop(turn);
            done
        });
        done.await.map_err(|error| {
            tracing::error!(%error, "checking a password broke off");
            Problem::new("internal-error", "the password could not be checked")
        })
    }
}

/// The hash of a password, as a PHC string. It takes its time.
///
/// # Errors
/// None that comes with parameters and a salt of ours.
pub fn hash(password: &str, salt: &[u8; 16]) -> Result<String, Error> {
    Ok(argon2()?.hash_password_with_salt(password.as_bytes(), salt)?.to_string())
}

fn argon2() -> Result<Argon2<'static>, Error> {
    let (memory, passes, lanes) = PARAMS;
    let params = Params::new(memory, passes, lanes, None).map_err(|_| Error::ParamsInvalid)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// Why nobody should have this password; `None` when it will do. `known` is what others know of its owner.
pub fn weakness(password: &str, known: &[&str]) -> Option<String> {
    if !CHARS.contains(&password.chars().count()) {
        return Some(format!("must have {} to {} characters", CHARS.start(), CHARS.end()));
    }
    let strength = zxcvbn::zxcvbn(password, known);
    (strength.score() < zxcvbn::Score::Two).then(|| {
        let why = strength.feedback().and_then(|feedback| feedback.warning()).map(|why| why.to_string());
        format!("is too easy to guess: {}", why.as_deref().unwrap_or("add more words that are less common"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_known_by_its_hash() {
        let passwords = Passwords::new();
        let hash = passwords.hash("correct horse", [7; 16]).await.expect("a hash");
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_eq!(passwords.hash("correct horse", [7; 16]).await.expect("a hash"), hash);
        assert!(passwords.is_right("correct horse", Some(&hash)).await.expect("checked"));
        assert!(!passwords.is_right("correct house", Some(&hash)).await.expect("checked"));
        assert!(!passwords.is_right("correct horse", None).await.expect("checked"));
        assert!(!passwords.is_right("correct horse", Some("no hash")).await.expect("checked"));
    }

    /// Whether there is such a user must not be told by the time it takes: there is something to compare with.
    #[test]
    fn nobody_has_a_hash_too() {
        let refused = argon2().expect("parameters").verify_password(b"x", NOBODY);
        assert!(matches!(refused, Err(Error::PasswordInvalid)), "{refused:?}");
    }

    #[test]
    fn what_everybody_tries_first_is_refused() {
        for weak in
            ["short", "password", "12345678", "qwertyuiop", "Password1", "anna@example.org", &"x".repeat(129)]
        {
            assert!(weakness(weak, &["anna@example.org"]).is_some(), "{weak}");
        }
        for fine in ["correct horse battery", "v9$Kq2!mZx", &"long and dull ".repeat(9)] {
            assert_eq!(weakness(fine, &["anna@example.org"]), None, "{fine}");
        }
    }
}
