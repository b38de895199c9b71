//! Attributes that a target would not take.

use std::fmt;

use nix::errno::Errno;
use serde::Serialize;

/// Entries kept for the summary; beyond that they are only counted.
const MAX_ENTRIES: usize = 100_000;

/// Entries that a line of text names.
const NAMED: usize = 3;

/// Why an attribute was not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// What the system said.
    System(Errno),
    /// The system reported success and kept what was there.
    Ignored,
    /// No file can have the owner that the entry names.
    NoSuchOwner,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            // The system's own words speak of a transport endpoint.
            Self::System(Errno::EOPNOTSUPP) => "the file system does not support it",
            Self::System(errno) => errno.desc(),
            Self::Ignored => "the target kept another value",
            Self::NoSuchOwner => "the snapshot names one that no file can have",
        })
    }
}

/// What was refused for one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Refused {
    pub(super) owner: Option<Refusal>,
    pub(super) mode: Option<Refusal>,
    pub(super) times: Option<Refusal>,
}

impl Refused {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn parts(&self) -> impl Iterator<Item = (&'static str, Refusal)> {
        [("owner", self.owner), ("mode", self.mode), ("times", self.times)]
            .into_iter()
            .filter_map(|(attribute, refusal)| Some((attribute, refusal?)))
    }
}

/// An entry that is in place without some of its attributes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub struct RefusedEntry {
    /// Path relative to the target.
    pub path: String,
    /// Of `owner`, `mode` and `times` those that were refused.
    pub attributes: Vec<&'static str>,
    /// Why, for people.
    pub message: String,
}

/// Attributes that could not be set, while the data is in place. Its text is one line for people.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub struct RefusedAttributes {
    /// Entries whose owner or group is another one.
    pub owner: u64,
    /// Entries whose mode is another one.
    pub mode: u64,
    /// Entries whose modification time is another one.
    pub times: u64,
    /// Which ones, up to 100,000.
    pub entries: Vec<RefusedEntry>,
    /// Number of these entries.
    #[serde(skip)]
    pub count: u64,
}

impl RefusedAttributes {
    /// Whether every attribute was set.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn add(&mut self, path: impl FnOnce() -> String, refused: &Refused) {
        let one = |refusal: Option<Refusal>| u64::from(refusal.is_some());
        self.owner += one(refused.owner);
        self.mode += one(refused.mode);
        self.times += one(refused.times);
        self.count += 1;
        if self.entries.len() < MAX_ENTRIES {
            let reasons: Vec<String> =
                refused.parts().map(|(attribute, refusal)| format!("{attribute}: {refusal}")).collect();
            self.entries.push(RefusedEntry {
                path: path(),
                attributes: refused.parts().map(|(attribute, _)| attribute).collect(),
                message: reasons.join(", "),
            });
        }
    }
}

impl fmt::Display for RefusedAttributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<String> = [("owner", self.owner), ("mode", self.mode), ("times", self.times)]
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(kind, count)| {
                format!("the {kind} of {count} {}", if count == 1 { "entry" } else { "entries" })
            })
            .collect();
        write!(f, "the target did not take {}", kinds.join(", "))?;
        for (at, entry) in self.entries.iter().take(NAMED).enumerate() {
            let path = if entry.path.is_empty() { "." } else { &entry.path };
            write!(f, "{}{path:?} ({})", if at == 0 { ": " } else { "; " }, entry.message)?;
        }
        if self.count > NAMED as u64 {
            f.write_str("; …")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_counted_by_kind_and_the_first_are_named() {
        let mut all = RefusedAttributes::default();
        assert!(all.is_empty());
        let owner = Refused { owner: Some(Refusal::System(Errno::EPERM)), ..Refused::default() };
        all.add(|| "a".to_owned(), &owner);
        assert_eq!(
            all.to_string(),
            r#"the target did not take the owner of 1 entry: "a" (owner: Operation not permitted)"#
        );
        let mode = Refused { mode: Some(Refusal::Ignored), ..owner };
        for name in ["b", "c", "d"] {
            all.add(|| name.to_owned(), &mode);
        }
        let text = all.to_string();
        assert!(
            text.starts_with("the target did not take the owner of 4 entries, the mode of 3 entries: "),
            "{text}"
        );
        assert!(text.ends_with("; …") && !text.contains("\"d\""), "{text}");
        assert_eq!(all.entries[3].attributes, ["owner", "mode"]);
    }
}
