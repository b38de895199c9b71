//! The string before the names of blobs.

use crate::blob::{Cause, Trouble};

/// Longest prefix: objects have names of 1024 bytes, and a blob takes up to 255 of them.
const MAX_LENGTH: usize = 700;

/// Refuses what would become the address of another place on the way to a server, instead of reading that place.
pub(super) fn check(prefix: &str) -> Result<(), Trouble> {
    let refuse = |why: &str| Err(Trouble::new(Cause::Refused, format!("the prefix {prefix:?} {why}")));
    if prefix.len() > MAX_LENGTH {
        return refuse("is too long");
    }
    if prefix.chars().any(char::is_control) {
        return refuse("has control characters");
    }
    if prefix.split('/').any(|part| matches!(part, "." | "..")) {
        return refuse(
            "cannot be read by this version: on its way to the server, . and .. between slashes would vanish",
        );
    }
    Ok(())
}
