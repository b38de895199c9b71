//! Names that files and directories bear until they are complete.

const PREFIX: &str = ".rokopia-";

/// Hexadecimal digits after the prefix: enough of a hash that nobody can make two names share one.
const DIGITS: usize = 32;

/// The name under which `name` is prepared in the same directory. The same in every run, so that what a killed run left
/// behind is found again.
pub(in crate::restore) fn staged_name(name: &str) -> String {
    let hash = blake3::hash(name.as_bytes()).to_hex();
    format!("{PREFIX}{}", hash.get(..DIGITS).unwrap_or(&hash))
}

/// Whether a name can only be one that [`staged_name`] gave.
pub(in crate::restore) fn is_staged(name: &[u8]) -> bool {
    name.strip_prefix(PREFIX.as_bytes()).is_some_and(|digits| {
        digits.len() == DIGITS && digits.iter().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn staged_names_are_recognised() {
        let name = staged_name("etc");
        assert!(is_staged(name.as_bytes()));
        assert_ne!(name, staged_name("etd"));
        assert_eq!(name, staged_name("etc"));
        for other in [".rokopia-", ".rokopia-0123", "etc", &name[1..], &format!("{name}0")] {
            assert!(!is_staged(other.as_bytes()), "{other}");
        }
    }
}
