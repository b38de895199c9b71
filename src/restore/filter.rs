//! Which entries are restored.

#[cfg(feature = "glob")]
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// Include and exclude patterns over paths relative to the root of the restore.
///
/// Patterns are globs: `*` and `?` stay within one component, `**` crosses them. A pattern without `/` matches the last
/// component at any depth, one with `/` the whole path; a leading `/` is optional. What is below an excluded directory
/// is excluded, what is below an included one is included.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    include: Option<GlobSet>,
    exclude: Option<GlobSet>,
}

/// There are no patterns in a build without globs.
#[cfg(not(feature = "glob"))]
#[derive(Debug, Clone)]
enum GlobSet {}

#[cfg(not(feature = "glob"))]
impl GlobSet {
    fn is_match(&self, _: &str) -> bool {
        match *self {}
    }
}

/// A pattern that is not a glob.
#[cfg(feature = "glob")]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidPattern(String);

impl Filter {
    /// Builds a filter. With no `include` pattern everything is included.
    ///
    /// # Errors
    /// The first pattern that is not a glob.
    #[cfg(feature = "glob")]
    pub fn new<S: AsRef<str>>(include: &[S], exclude: &[S]) -> Result<Self, InvalidPattern> {
        Ok(Self { include: set(include)?, exclude: set(exclude)? })
    }

    /// Whether everything is restored.
    pub fn is_empty(&self) -> bool {
        self.include.is_none() && self.exclude.is_none()
    }

    pub(super) fn excludes(&self, path: &str) -> bool {
        self.exclude.as_ref().is_some_and(|set| set.is_match(path))
    }

    /// Whether the path itself is included, so that everything below it is too.
    pub(super) fn includes(&self, path: &str) -> bool {
        self.include.as_ref().is_none_or(|set| set.is_match(path))
    }
}

#[cfg(feature = "glob")]
fn set<S: AsRef<str>>(patterns: &[S]) -> Result<Option<GlobSet>, InvalidPattern> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let mut builder = GlobSetBuilder::new();
    for pattern in patterns {
        let pattern = pattern.as_ref();
        let trimmed = pattern.trim_start_matches('/').trim_end_matches('/');
        let anchored = pattern.trim_end_matches('/').contains('/');
        let glob = if anchored { trimmed.to_owned() } else { format!("**/{trimmed}") };
        let glob = GlobBuilder::new(&glob)
            .literal_separator(true)
            .build()
            .map_err(|e| InvalidPattern(e.to_string()))?;
        builder.add(glob);
    }
    builder.build().map(Some).map_err(|e| InvalidPattern(e.to_string()))
}

#[cfg(all(test, feature = "glob"))]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_documented() {
        let filter = Filter::new(&["etc", "/srv/*.txt", "var/**/log/"], &["*.tmp"]).unwrap();
        for path in ["etc", "a/etc", "srv/a.txt", "var/log", "var/a/b/log"] {
            assert!(filter.includes(path), "{path}");
        }
        for path in ["etcetera", "srv/a/b.txt", "x/srv/a.txt", "log"] {
            assert!(!filter.includes(path), "{path}");
        }
        assert!(filter.excludes("a/b.tmp"));
        assert!(!filter.excludes("a.tmp/b"));
        assert!(Filter::default().includes("x") && !Filter::default().excludes("x"));
        assert!(Filter::new(&["[a"], &[]).is_err());
    }
}
