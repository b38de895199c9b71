//! Which sources should be there, and how old their backups may be.

use std::str::FromStr;
use std::time::Duration;

use globset::{Glob, GlobMatcher};

use crate::snapshot::Source;
use crate::text::duration;

/// Sources that must be in the repository and limits for ages.
///
/// As text: one line each, `#` begins a comment. A source with an optional limit must be there; a pattern with `*` or `?`
/// and a limit only limits what it matches, `*` matching any text.
///
/// ```
/// use rokopia::audit::Expectations;
/// let expectations: Expectations = "
///     ## claims of the cluster
///     data-demo@apps:/data
///     photos@media:/data   2d
///     *@monitoring:*       30d
/// ".parse().unwrap();
/// assert_eq!(expectations.sources().count(), 2);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Expectations {
    lines: Vec<Line>,
    default_limit: Option<Duration>,
}

#[derive(Debug, Clone)]
struct Line {
    what: What,
    limit: Option<Duration>,
}

#[derive(Debug, Clone)]
enum What {
    Source(Source),
    Pattern(GlobMatcher),
}

/// A line of a list of expectations that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}: {text:?}")]
pub struct InvalidExpectations {
    /// The line, counted from 1.
    pub line: usize,
    /// Its text.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Expectations {
    /// The limit for sources that no line gives one.
    #[must_use]
    pub fn with_default_limit(self, limit: Option<Duration>) -> Self {
        Self { default_limit: limit, ..self }
    }

    /// The same, and these sources must be there as well, without limits of their own.
    pub(crate) fn expecting(mut self, sources: impl IntoIterator<Item = Source>) -> Self {
        self.lines.extend(sources.into_iter().map(|source| Line { what: What::Source(source), limit: None }));
        self
    }

    /// The sources that must be there.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        self.lines.iter().filter_map(|line| match &line.what {
            What::Source(source) => Some(source),
            What::Pattern(_) => None,
        })
    }

    /// The limit that was given for a source: that of its own line, else of the first pattern that matches it, else the
    /// default.
    pub fn limit(&self, source: &Source) -> Option<Duration> {
        let own = |line: &&Line| matches!(&line.what, What::Source(named) if named == source);
        let name = source.to_string();
        let matches = |line: &&Line| matches!(&line.what, What::Pattern(pattern) if pattern.is_match(&name));
        let lines = || self.lines.iter().filter(|line| line.limit.is_some());
        let line = lines().find(own).or_else(|| lines().find(matches));
        line.and_then(|line| line.limit).or(self.default_limit)
    }
}

impl FromStr for Expectations {
    type Err = InvalidExpectations;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut lines = Vec::new();
        for (number, text) in text.lines().enumerate() {
            let text = text.split_once(" #").map_or(text, |(text, _)| text).trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let invalid = |reason| InvalidExpectations {
                line: number + 1,
                text: text.chars().take(300).collect(),
                reason,
            };
            lines.push(Line::parse(text).map_err(invalid)?);
        }
        Ok(Self { lines, default_limit: None })
    }
}

impl Line {
    fn parse(text: &str) -> Result<Self, &'static str> {
        // A path may contain blanks: only a last word that is a duration is a limit.
        let split = text.rsplit_once(char::is_whitespace);
        let limited = split.and_then(|(name, limit)| Some((name.trim_end(), duration(limit)?)));
        let (name, limit) = limited.map_or((text, None), |(name, limit)| (name, Some(limit)));
        if name.contains(['*', '?']) {
            let pattern = Glob::new(name).map_err(|_| "the pattern cannot be understood")?;
            limit.ok_or("a pattern needs a limit such as 26h")?;
            return Ok(Self { what: What::Pattern(pattern.compile_matcher()), limit });
        }
        let source: Source = name.parse().map_err(|_| "expected user@host:/path and a limit such as 26h")?;
        if source.path.is_empty() {
            return Err("expected user@host:/path and a limit such as 26h");
        }
        Ok(Self { what: What::Source(source), limit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(hours: u64) -> Duration {
        Duration::from_secs(hours * 3600)
    }

    #[test]
    fn a_line_of_its_own_counts_before_patterns_and_those_before_the_default() {
        let text = "a@h:/data 2h\n*@h:* 5h # all of h\nb@h:/data\n\n# nothing\nc@g:/with blank 1d";
        let expectations = text.parse::<Expectations>().unwrap().with_default_limit(Some(hours(9)));
        let limit = |source: &str| expectations.limit(&source.parse().unwrap());
        assert_eq!(limit("a@h:/data"), Some(hours(2)));
        assert_eq!(limit("b@h:/data"), Some(hours(5)), "its own line has no limit");
        assert_eq!(limit("c@g:/with blank"), Some(hours(24)));
        assert_eq!(limit("d@g:/"), Some(hours(9)));
        let sources: Vec<String> = expectations.sources().map(ToString::to_string).collect();
        assert_eq!(sources, ["a@h:/data", "b@h:/data", "c@g:/with blank"]);
    }

    #[test]
    fn lines_that_say_nothing_are_named() {
        for (text, line) in [("nonsense", 1), ("a@h:/d 2h\n*@h:*", 2), ("\n\na@h 2h", 3), ("[@*:/ 1h", 1)] {
            assert_eq!(text.parse::<Expectations>().unwrap_err().line, line, "{text:?}");
        }
    }
}
