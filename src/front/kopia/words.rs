//! The words by which callers of kopia sort its failures: they search what it prints, and decide by that whether to try again, or
//! whether to make a new repository.

use crate::Error;

/// A failure with the word that callers look for, if what it says has none.
pub(super) fn told(error: impl Into<Error>) -> String {
    let error = error.into();
    with_word(error.code(), error.to_string())
}

/// The same of a message whose code is known.
pub(super) fn with_word(code: &str, message: String) -> String {
    match word(code) {
        Some(word) if !message.to_lowercase().contains(&word.to_lowercase()) => format!("{message}: {word}"),
        _ => message,
    }
}

fn word(code: &str) -> Option<&'static str> {
    match code {
        // Trying again does not help, and no repository may be made in a place that could not be looked at.
        "credentials-missing" | "credentials-refused" | "access-denied" => Some("access denied"),
        "permission-denied" => Some("permission denied"),
        "blob-missing" | "pack-missing" => Some("BLOB not found"),
        "bucket-missing" => Some("not found"),
        "content-missing" => Some("object not found"),
        "storage-timeout" => Some("timeout"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_added_once() {
        assert_eq!(with_word("access-denied", "no".into()), "no: access denied");
        assert_eq!(
            with_word("permission-denied", "Permission denied (os error 13)".into()),
            "Permission denied (os error 13)"
        );
        assert_eq!(with_word("content-damaged", "it does not decrypt".into()), "it does not decrypt");
    }

    #[test]
    fn no_word_says_that_another_writer_is_waited_for() {
        for code in
            ["access-denied", "permission-denied", "pack-missing", "content-missing", "storage-timeout"]
        {
            assert!(!word(code).unwrap().to_lowercase().contains("lock"));
        }
    }
}
