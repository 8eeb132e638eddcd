//! What a stored hash of a password must be: argon2id, strong enough (OWASP), and not so costly that checking it would keep
//! everybody else waiting.

use std::ops::RangeInclusive;

use factfold_schemas::users::Rejection;

const MEMORY_KIB: RangeInclusive<u32> = 19_456..=65_536;
const PASSES: RangeInclusive<u32> = 2..=10;
const LANES: RangeInclusive<u32> = 1..=4;
/// The longest hash, in bytes.
const BYTES_MAX: usize = 256;

/// Refuses whatever is no such hash. (Only the parameters are looked at: whether it is anybody's is not for the rules to
/// know.)
pub(super) fn check(hash: &str) -> Result<(), Rejection> {
    if is_fit(hash) { Ok(()) } else { Err(Rejection::InvalidPasswordHash) }
}

/// The PHC string format: `$argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>`.
fn is_fit(hash: &str) -> bool {
    let fields: Vec<&str> = hash.split('$').collect();
    let ["", "argon2id", "v=19", parameters, salt, output] = fields.as_slice() else { return false };
    let Some([memory, passes, lanes]) = parse(parameters) else { return false };
    let is_base64 = |text: &str| {
        text.len() >= 22 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
    };
    hash.len() <= BYTES_MAX
        && MEMORY_KIB.contains(&memory)
        && PASSES.contains(&passes)
        && LANES.contains(&lanes)
        && is_base64(salt)
        && is_base64(output)
}

/// `m=19456,t=2,p=1`
fn parse(parameters: &str) -> Option<[u32; 3]> {
    let mut parts = parameters.split(',');
    let mut number = |prefix| parts.next()?.strip_prefix(prefix)?.parse().ok();
    let numbers = [number("m=")?, number("t=")?, number("p=")?];
    parts.next().is_none().then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_strong_hashes_that_can_be_checked() {
        let hash = |kind: &str, parameters: &str| {
            format!("${kind}$v=19${parameters}$c29tZXNhbHRzb21lc2FsdA$c29tZWhhc2hzb21laGFzaHNvbWVoYXNo")
        };
        for parameters in ["m=19456,t=2,p=1", "m=65536,t=10,p=4"] {
            assert_eq!(check(&hash("argon2id", parameters)), Ok(()), "{parameters}");
        }
        for (kind, parameters) in [
            ("argon2i", "m=19456,t=2,p=1"),
            ("argon2id", "m=4096,t=2,p=1"),
            ("argon2id", "m=4194304,t=2,p=1"),
            ("argon2id", "m=19456,t=1,p=1"),
            ("argon2id", "m=19456,t=2,p=64"),
            ("argon2id", "m=19456,t=2"),
            ("argon2id", "m=19456,t=2,p=1,x=1"),
        ] {
            assert!(check(&hash(kind, parameters)).is_err(), "{kind} {parameters}");
        }
        for wrong in
            ["", "secret", "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$", "$argon2id$v=19$m=19456,t=2,p=1$a$b$c"]
        {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }
}
