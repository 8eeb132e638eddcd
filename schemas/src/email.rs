//! E-mail addresses: when two spellings are the same address.

use unicode_normalization::UnicodeNormalization as _;

/// The longest address, in characters (RFC 5321).
pub const EMAIL_CHARS_MAX: usize = 254;

/// An address in the one spelling in which addresses are compared: without regard to case, after Unicode's compatibility
/// normalization, its domain as the DNS has it (UTS 46).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct NormalEmail(String);

/// A text that is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an e-mail address, as ada@example.org, of at most {EMAIL_CHARS_MAX} characters")]
pub struct InvalidEmail;

impl NormalEmail {
    /// The address that this is a spelling of.
    ///
    /// It is not RFC 5322 (comments, quoted parts): what people call an address, in any script.
    pub fn parse(text: &str) -> Result<Self, InvalidEmail> {
        if text.chars().count() > EMAIL_CHARS_MAX {
            return Err(InvalidEmail);
        }
        let (local, domain) = text.rsplit_once('@').ok_or(InvalidEmail)?;
        let local = fold(local);
        let domain = idna::domain_to_ascii_strict(domain).map_err(|_| InvalidEmail)?;
        let forbidden = |c: char| c.is_whitespace() || c.is_control() || "@\"(),:;<>[\\]".contains(c);
        let dots = local.starts_with('.') || local.ends_with('.') || local.contains("..");
        if local.is_empty() || dots || local.contains(forbidden) || domain.is_empty() {
            return Err(InvalidEmail);
        }
        Ok(Self(format!("{local}@{domain}")))
    }

    /// The one spelling.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// It must not come into a log by accident.
impl std::fmt::Debug for NormalEmail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NormalEmail")
    }
}

/// Case and compatibility variants away. There and back, since some letters differ in one case only: `ß` and `ss`, `ς` and
/// `σ`. (Character by character: in a whole word a final sigma would be spelt otherwise.)
fn fold(text: &str) -> String {
    let lower = text.nfkc().flat_map(char::to_lowercase);
    let upper = lower.nfkc().flat_map(char::to_uppercase);
    upper.flat_map(char::to_lowercase).nfkc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(text: &str) -> String {
        NormalEmail::parse(text).unwrap_or_else(|_| panic!("{text} is an address")).0
    }

    #[test]
    fn spellings_of_one_address_are_the_same() {
        for spelling in ["Ada@Example.ORG", "ADA@example.org", "ａｄａ@example.org", "ada@ＥＸＡＭＰＬＥ.org"]
        {
            assert_eq!(normal(spelling), "ada@example.org", "{spelling}");
        }
        // Composed and decomposed, large and small.
        let spellings = ["jos\u{e9}@example.org", "jose\u{301}@example.org", "JOS\u{c9}@EXAMPLE.ORG"];
        for spelling in spellings {
            assert_eq!(normal(spelling), normal(spellings[0]), "{spelling}");
        }
        assert_eq!(normal("strasse@example.org"), normal("STRASSE@example.org"));
        assert_eq!(normal("stra\u{df}e@example.org"), normal("STRASSE@example.org"));
        assert_eq!(normal("\u{3c3}\u{3c2}@example.org"), normal("\u{3a3}\u{3a3}@example.org"));
        assert_eq!(normal("a@b\u{fc}cher.example"), normal("a@xn--bcher-kva.example"));
        assert_eq!(normal("admin@localhost"), "admin@localhost");
    }

    #[test]
    fn folding_twice_is_folding_once() {
        for c in ('\0'..=char::MAX).filter(|c| !c.is_control()) {
            let once = fold(&c.to_string());
            assert_eq!(fold(&once), once, "{c:?}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("{}@example.org", "a".repeat(250));
        for wrong in [
            "",
            "ada",
            "@example.org",
            "ada@",
            "a b@example.org",
            "ada@exa mple.org",
            ".ada@example.org",
            "a..b@example.org",
            "ada@-example-.org",
            "a@b@c",
            "a\u{0}@example.org",
            &long,
        ] {
            assert_eq!(NormalEmail::parse(wrong), Err(InvalidEmail), "{wrong}");
        }
    }
}
