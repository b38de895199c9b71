//! Sources as people and programs name them.

use std::fmt;
use std::str::FromStr;

use super::{InvalidSource, Source};

/// More readings than this make a text no source.
const MAX_READINGS: usize = 32;

/// A longer text is no source.
const MAX_LENGTH: usize = 16_384;

/// A source that was asked for: every source that its text may mean.
///
/// `user@host:/path` does not say where the user ends if one has an `@` in his name, nor where the host ends if it is an
/// IPv6 address, and one directory has many paths (`/data`, `/data/`, `/x/../data`). Every command asks in this one form,
/// so that they find the same snapshots.
///
/// ```
/// use rokopia::snapshot::{AskedSource, Source};
/// let asked: AskedSource = "me@example.com@host:/srv//data/".parse().unwrap();
/// assert!(asked.means(&Source::new("me@example.com", "host", "/srv/data")));
/// assert!(asked.means(&Source::new("me", "example.com@host", "/srv/data")));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AskedSource {
    text: String,
    /// With clean paths; how Kopia reads the text comes first.
    readings: Vec<Source>,
}

impl AskedSource {
    /// All sources that the text may mean; first the one that Kopia reads in it.
    pub fn readings(&self) -> &[Source] {
        &self.readings
    }

    /// Whether this source is meant.
    pub fn means(&self, source: &Source) -> bool {
        self.readings.iter().any(|reading| reading.is(source))
    }

    /// Whether this source, or a directory in it, is meant. A question without a path means every source of the user at
    /// that host, and one without a user every source of the host.
    pub fn is_covered_by(&self, source: &Source) -> bool {
        self.readings.iter().any(|reading| match reading.path.is_empty() {
            true => reading.host == source.host && (reading.user.is_empty() || reading.user == source.user),
            false => reading.path_inside(source).is_some(),
        })
    }

    /// Every reading and the directories above it, whose snapshots contain it.
    pub fn with_parents(&self) -> Vec<Source> {
        let mut all: Vec<Source> = Vec::new();
        for reading in &self.readings {
            for source in std::iter::successors(Some(reading.clone()), |source| source.parent()) {
                if !all.contains(&source) {
                    all.push(source);
                }
            }
        }
        all
    }

    /// Whether a directory in this source is meant.
    pub fn is_inside(&self, source: &Source) -> bool {
        !self.is_without_path() && self.is_covered_by(source) && !self.means(source)
    }

    /// The path inside a source to the directory asked for; empty for the source itself.
    pub fn path_inside(&self, source: &Source) -> Option<String> {
        self.readings.iter().find_map(|reading| reading.path_inside(source))
    }

    /// Whether a source differs from what was asked for only in the case of letters, on a system where case does
    /// not matter.
    pub fn is_spelled_like(&self, source: &Source) -> bool {
        self.readings.iter().any(|reading| reading.differs_in_case_only(source))
    }

    /// Whether a path was given, and one that Kopia's clients store: an absolute one.
    pub fn is_absolute(&self) -> bool {
        self.readings.iter().any(Source::is_absolute)
    }

    /// Whether only a user or a host was given.
    pub fn is_without_path(&self) -> bool {
        self.readings.iter().all(|reading| reading.path.is_empty())
    }
}

impl From<Source> for AskedSource {
    fn from(source: Source) -> Self {
        Self { text: source.to_string(), readings: vec![source.cleaned()] }
    }
}

impl FromStr for AskedSource {
    type Err = InvalidSource;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidSource(text.chars().take(300).collect());
        if text.len() > MAX_LENGTH {
            return Err(invalid());
        }
        let mut readings: Vec<Source> = Vec::new();
        for text in [text, text.trim()] {
            let all = text.parse::<Source>().ok().into_iter().chain(other_readings(text));
            for reading in all.map(Source::cleaned) {
                if readings.contains(&reading) {
                    continue;
                }
                if readings.len() == MAX_READINGS {
                    return Err(invalid());
                }
                readings.push(reading);
            }
        }
        match readings.is_empty() {
            true => Err(invalid()),
            false => Ok(Self { text: text.to_owned(), readings }),
        }
    }
}

/// What a text means where the user has an `@` or the host a `:` in it.
fn other_readings(text: &str) -> impl Iterator<Item = Source> + '_ {
    let ats = text.match_indices('@').map(|(at, _)| at).filter(|at| *at > 0);
    ats.flat_map(move |at| {
        let user = text.get(..at).unwrap_or_default();
        let rest = text.get(at + 1..).unwrap_or_default();
        let with_path = rest.match_indices(':').filter_map(move |(colon, _)| {
            let source = Source::new(user, rest.get(..colon)?, rest.get(colon + 1..)?);
            (colon > 0 && source.is_absolute()).then_some(source)
        });
        let without = (!text.contains(':') && !rest.is_empty()).then(|| Source::new(user, rest, ""));
        with_path.chain(without)
    })
}

impl fmt::Display for AskedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn means(asked: &str, user: &str, host: &str, path: &str) -> bool {
        asked.parse::<AskedSource>().unwrap().means(&Source::new(user, host, path))
    }

    #[test]
    fn every_way_to_write_a_path_finds_the_same() {
        for asked in [
            "u@h:/data",
            "u@h:/data/",
            "u@h://data",
            "u@h:/./data/.",
            "u@h:/x/../data//",
            "u@h:/../data",
            " u@h:/data\n",
        ] {
            assert!(means(asked, "u", "h", "/data"), "{asked}");
            assert!(means(asked, "u", "h", "/data/"), "{asked}: as --override-source stores it");
            assert!(!means(asked, "u", "h", "/dat"), "{asked}");
        }
        assert!(means("u@h:/", "u", "h", "/") && means("u@h://", "u", "h", "/"));
        assert!(means("u@h:data", "u", "h", "data/") && !means("u@h:data", "u", "h", "/data"));
    }

    #[test]
    fn windows_paths_are_those_that_kopia_stores() {
        for asked in [
            r"u@h:C:\Users\me",
            r"u@h:C:\Users\me\",
            "u@h:C:/Users/me",
            r"u@h:c:\Users\.\x\..\me",
            r"u@h:C:\\Users\me",
        ] {
            assert!(means(asked, "u", "h", r"C:\Users\me"), "{asked}");
        }
        assert!(means(r"u@h:C:\", "u", "h", r"C:\") && means("u@h:C:/", "u", "h", r"C:\"));
        assert!(means(r"u@h:\\nas\share\x\", "u", "h", r"\\nas\share\x"));
        assert!(!means(r"u@h:/a\b", "u", "h", "/a/b"), "a backslash is a letter elsewhere");
        let asked: AskedSource = r"u@h:c:\users\ME".parse().unwrap();
        let stored = Source::new("u", "h", r"C:\Users\me");
        assert!(!asked.means(&stored) && asked.is_spelled_like(&stored));
        assert!(!asked.is_spelled_like(&Source::new("u", "h", "/users/me")));
    }

    #[test]
    fn users_and_hosts_may_have_separators_in_their_names() {
        assert!(means("me@corp.example@host:/d", "me@corp.example", "host", "/d"));
        assert!(means("me@corp.example@host:/d", "me", "corp.example@host", "/d"));
        assert!(means("u@fe80::1:/d", "u", "fe80::1", "/d"));
        assert!(means("u@h:/a@b:/c", "u", "h", "/a@b:/c"));
        assert!(means(r"CORP\me@host:/d", r"CORP\me", "host", "/d"));
        assert_eq!("u@h:/p".parse::<AskedSource>().unwrap().readings().len(), 1);
    }

    #[test]
    fn parts_left_out_mean_any_and_a_directory_is_covered_by_those_above_it() {
        let covered = |asked: &str, source: &str| {
            asked.parse::<AskedSource>().unwrap().is_covered_by(&source.parse().unwrap())
        };
        assert!(covered("u@h", "u@h:/p") && covered("@h", "u@h:/p"));
        assert!(!covered("v@h", "u@h:/p") && !covered("@g", "u@h:/p"));
        assert!(covered("u@h:/p", "u@h:/p") && covered("u@h:/p/q/", "u@h:/p") && covered("u@h:/p", "u@h:/"));
        assert!(!covered("u@h:/p", "u@h:/p/q") && !covered("u@h:/pq", "u@h:/p"));
        assert!(covered(r"u@h:C:\a\b", r"u@h:C:\a") && covered(r"u@h:C:\a\b", r"u@h:C:\"));
    }

    #[test]
    fn what_is_no_source() {
        let many = format!("{}:/x", "u@:/".repeat(20));
        for text in ["", "@", "u@", "/p", "p", "@h:/p", ":/p", "c:/u@h", many.as_str()] {
            assert!(text.parse::<AskedSource>().is_err(), "{text}");
        }
        assert!(!"u@h:data".parse::<AskedSource>().unwrap().is_absolute());
        assert!("u@h".parse::<AskedSource>().unwrap().is_without_path());
    }
}
