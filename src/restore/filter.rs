//! Which entries are restored.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(feature = "glob")]
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// Include and exclude patterns over paths relative to the root of the restore.
///
/// Patterns are globs: `*` and `?` stay within one component, `**` crosses them. A pattern without `/` matches the last
/// component at any depth, one with `/` the whole path; a leading `/` is optional. What is below an excluded directory
/// is excluded, what is below an included one is included.
///
/// ```
/// use rokopia::restore::Filter;
/// let filter = Filter::builder().include("*.conf").exclude("/cache").build()?;
/// assert!(!filter.is_empty());
/// # Ok::<(), rokopia::restore::InvalidPattern>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Filter {
    include: Option<Patterns>,
    exclude: Option<Patterns>,
    /// Paths that are included, and whether they were met.
    paths: Option<Arc<HashMap<String, AtomicBool>>>,
}

/// Patterns, and which of them have matched something. Clones share what has matched.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "glob"), allow(dead_code, reason = "there are no patterns without globs"))]
struct Patterns {
    set: GlobSet,
    texts: Arc<[String]>,
    matched: Arc<[AtomicBool]>,
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

    fn matches(&self, _: &str) -> Vec<usize> {
        match *self {}
    }
}

/// A pattern that is not a glob.
#[cfg(feature = "glob")]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidPattern(String);

/// A [`Filter`] that is being described.
#[cfg(feature = "glob")]
#[derive(Debug, Clone, Default)]
pub struct FilterBuilder {
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
    paths: Option<Vec<String>>,
}

#[cfg(feature = "glob")]
#[derive(Debug, Clone)]
struct Pattern {
    text: String,
    ignore_case: bool,
}

#[cfg(feature = "glob")]
impl FilterBuilder {
    /// Includes what matches a pattern. Without any, everything is included.
    #[must_use]
    pub fn include(self, pattern: impl Into<String>) -> Self {
        self.with_include(pattern, false)
    }

    /// [`FilterBuilder::include`], where upper and lower case are the same.
    #[must_use]
    pub fn include_ignoring_case(self, pattern: impl Into<String>) -> Self {
        self.with_include(pattern, true)
    }

    /// Excludes what matches a pattern, also where it is included.
    #[must_use]
    pub fn exclude(self, pattern: impl Into<String>) -> Self {
        self.with_exclude(pattern, false)
    }

    /// [`FilterBuilder::exclude`], where upper and lower case are the same.
    #[must_use]
    pub fn exclude_ignoring_case(self, pattern: impl Into<String>) -> Self {
        self.with_exclude(pattern, true)
    }

    /// Includes exactly these paths and what is below them. `./` or `/` before a path and `/` after it are ignored.
    #[must_use]
    pub fn paths<S: AsRef<str>>(mut self, paths: impl IntoIterator<Item = S>) -> Self {
        let clean = |path: &str| {
            let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
            parts.join("/")
        };
        let paths = paths.into_iter().map(|path| clean(path.as_ref()));
        self.paths.get_or_insert_default().extend(paths);
        self
    }

    fn with_include(mut self, pattern: impl Into<String>, ignore_case: bool) -> Self {
        self.include.push(Pattern { text: pattern.into(), ignore_case });
        self
    }

    fn with_exclude(mut self, pattern: impl Into<String>, ignore_case: bool) -> Self {
        self.exclude.push(Pattern { text: pattern.into(), ignore_case });
        self
    }

    /// The filter.
    ///
    /// # Errors
    /// The first pattern that is not a glob.
    pub fn build(self) -> Result<Filter, InvalidPattern> {
        let paths = self.paths.map(|paths| {
            Arc::new(paths.into_iter().map(|path| (path, AtomicBool::new(false))).collect::<HashMap<_, _>>())
        });
        Ok(Filter { include: Patterns::new(&self.include)?, exclude: Patterns::new(&self.exclude)?, paths })
    }
}

impl Filter {
    /// Describes a filter.
    #[cfg(feature = "glob")]
    pub fn builder() -> FilterBuilder {
        FilterBuilder::default()
    }

    /// Builds a filter of patterns that respect the case of letters. With no `include` pattern everything is included.
    ///
    /// # Errors
    /// The first pattern that is not a glob.
    #[cfg(feature = "glob")]
    pub fn new<S: AsRef<str>>(include: &[S], exclude: &[S]) -> Result<Self, InvalidPattern> {
        let builder = include.iter().fold(Self::builder(), |builder, text| builder.include(text.as_ref()));
        exclude.iter().fold(builder, |builder, text| builder.exclude(text.as_ref())).build()
    }

    /// Whether everything is restored.
    pub fn is_empty(&self) -> bool {
        self.include.is_none() && self.exclude.is_none() && self.paths.is_none()
    }

    /// The patterns and paths that have matched nothing so far, as they were given.
    pub fn unmatched(&self) -> Vec<String> {
        let mut unmatched: Vec<String> =
            [&self.include, &self.exclude].into_iter().flatten().flat_map(Patterns::unmatched).collect();
        let paths = self.paths.iter().flat_map(|paths| paths.iter());
        let mut paths: Vec<String> =
            paths.filter(|(_, met)| !met.load(Ordering::Relaxed)).map(|(path, _)| path.clone()).collect();
        paths.sort_unstable();
        unmatched.append(&mut paths);
        unmatched
    }

    /// Whether anything is excluded.
    pub(super) fn has_excludes(&self) -> bool {
        self.exclude.is_some()
    }

    pub(super) fn excludes(&self, path: &str) -> bool {
        self.exclude.as_ref().is_some_and(|patterns| patterns.matches(path))
    }

    /// Whether the path itself is included, so that everything below it is too.
    pub(super) fn includes(&self, path: &str) -> bool {
        if self.include.is_none() && self.paths.is_none() {
            return true;
        }
        let listed = self.paths.as_ref().and_then(|paths| paths.get(path));
        if let Some(met) = listed {
            met.store(true, Ordering::Relaxed);
        }
        self.include.as_ref().is_some_and(|patterns| patterns.matches(path)) || listed.is_some()
    }
}

impl Patterns {
    #[cfg(feature = "glob")]
    fn new(patterns: &[Pattern]) -> Result<Option<Self>, InvalidPattern> {
        if patterns.is_empty() {
            return Ok(None);
        }
        let mut builder = GlobSetBuilder::new();
        for Pattern { text, ignore_case } in patterns {
            let trimmed = text.trim_start_matches('/').trim_end_matches('/');
            let anchored = text.trim_end_matches('/').contains('/');
            let glob = if anchored { trimmed.to_owned() } else { format!("**/{trimmed}") };
            let glob = GlobBuilder::new(&glob)
                .literal_separator(true)
                .case_insensitive(*ignore_case)
                .build()
                .map_err(|e| InvalidPattern(e.to_string()))?;
            builder.add(glob);
        }
        let set = builder.build().map_err(|e| InvalidPattern(e.to_string()))?;
        let texts = patterns.iter().map(|pattern| pattern.text.clone()).collect();
        let matched = patterns.iter().map(|_| AtomicBool::new(false)).collect();
        Ok(Some(Self { set, texts, matched }))
    }

    fn matches(&self, path: &str) -> bool {
        if !self.set.is_match(path) {
            return false;
        }
        // Which ones is asked only until all are known to match something.
        if self.matched.iter().any(|matched| !matched.load(Ordering::Relaxed)) {
            for index in self.set.matches(path) {
                if let Some(matched) = self.matched.get(index) {
                    matched.store(true, Ordering::Relaxed);
                }
            }
        }
        true
    }

    fn unmatched(&self) -> impl Iterator<Item = String> {
        let pairs = self.texts.iter().zip(self.matched.iter());
        pairs.filter(|(_, matched)| !matched.load(Ordering::Relaxed)).map(|(text, _)| text.clone())
    }
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

    #[test]
    fn case_can_be_ignored() {
        let filter = Filter::builder().include("*.TXT").include_ignoring_case("*.PNG").build().unwrap();
        assert!(filter.includes("a.TXT") && !filter.includes("a.txt") && filter.includes("a.png"));
        assert!(Filter::builder().exclude_ignoring_case("A").build().unwrap().excludes("x/a"));
    }

    #[test]
    fn paths_are_no_patterns() {
        let filter = Filter::builder().paths(["./a/*", "b//c/"]).build().unwrap();
        assert!(filter.includes("a/*") && filter.includes("b/c"));
        assert!(!filter.includes("a/x") && !filter.includes("b") && !filter.includes(""));
        assert!(
            !Filter::builder().paths([""; 0]).build().unwrap().includes("x"),
            "an empty list is no list of all"
        );
    }

    #[test]
    fn what_has_matched_nothing_is_known() {
        let filter = Filter::builder().include("a*").include("b").exclude("c").paths(["d"]).build().unwrap();
        let clone = filter.clone();
        assert!(clone.includes("x/ab") && !clone.excludes("x/ab"));
        assert_eq!(filter.unmatched(), ["b", "c", "d"]);
        assert!(clone.includes("d") && clone.includes("b") && clone.excludes("c"));
        assert!(filter.unmatched().is_empty());
    }
}
