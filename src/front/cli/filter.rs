//! Which entries are meant: by type, time, size and name, for `ls`, `find` and `diff`.

use clap::ValueEnum;
use globset::{GlobBuilder, GlobMatcher};
use jiff::Zoned;

use super::context::wrong_value;
use super::failure::Failure;
use super::units;
use crate::snapshot::{DirEntry, EntryType, Period, UtcTimestamp};

/// What an entry must be like beside its name.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Filters")]
pub(super) struct AttributeArgs {
    /// Only entries of this type: f (file), d (directory) or l (symbolic link)
    #[arg(long, value_enum, value_name = "TYPE")]
    r#type: Option<Type>,

    /// Only entries modified at this time or later
    #[arg(long, value_name = "TIME")]
    newer: Option<String>,

    /// Only entries modified before this time
    #[arg(long, value_name = "TIME")]
    older: Option<String>,

    /// Only files of at least this size
    #[arg(long, value_name = "SIZE")]
    larger: Option<String>,

    /// Only files that are smaller than this
    #[arg(long, value_name = "SIZE")]
    smaller: Option<String>,
}

/// What an entry must be like, its name included.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Filters")]
pub(super) struct FilterArgs {
    /// Only entries whose name matches this pattern, such as '*.conf'; one with a slash matches whole paths
    #[arg(long, value_name = "PATTERN")]
    name: Option<String>,

    /// As --name, ignoring the case of letters
    #[arg(long, value_name = "PATTERN")]
    iname: Option<String>,

    #[command(flatten)]
    attributes: AttributeArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Type {
    /// Files
    F,
    /// Directories
    D,
    /// Symbolic links
    #[value(alias = "s")]
    L,
}

impl AttributeArgs {
    /// # Errors
    /// A value is no time, or no size.
    pub(super) fn wanted(&self) -> Result<Wanted, Failure> {
        let now = Zoned::now();
        let time = |option: &str, text: &Option<String>| {
            let read = |text: &String| {
                units::period(text, &now)
                    .map(Period::first)
                    .ok_or_else(|| wrong_value(option, text, "a time such as 2026-11-21 or 3d"))
            };
            text.as_ref().map(read).transpose()
        };
        let size = |option: &str, text: &Option<String>| {
            let read = |text: &String| {
                units::size_with_unit(text)
                    .ok_or_else(|| wrong_value(option, text, "a size with its unit such as 100MB"))
            };
            text.as_ref().map(read).transpose()
        };
        Ok(Wanted {
            kind: self.r#type.map(|kind| match kind {
                Type::F => EntryType::File,
                Type::D => EntryType::Directory,
                Type::L => EntryType::Symlink,
            }),
            newer: time("--newer", &self.newer)?,
            older: time("--older", &self.older)?,
            larger: size("--larger", &self.larger)?,
            smaller: size("--smaller", &self.smaller)?,
        })
    }
}

impl FilterArgs {
    /// # Errors
    /// A value is no pattern, no time, or no size.
    pub(super) fn filter(&self) -> Result<Filter, Failure> {
        let pattern = |option: &str, text: &Option<String>, ignore_case| {
            text.as_ref().map(|text| Pattern::parse(option, text, ignore_case)).transpose()
        };
        let names = [pattern("--name", &self.name, false)?, pattern("--iname", &self.iname, true)?];
        Ok(Filter { names: names.into_iter().flatten().collect(), wanted: self.attributes.wanted()? })
    }
}

/// [`FilterArgs`], read.
pub(super) struct Filter {
    names: Vec<Pattern>,
    wanted: Wanted,
}

impl Filter {
    /// Whether an entry at this path, which is below what was asked for, is meant.
    pub(super) fn takes(&self, path: &str, entry: &DirEntry) -> bool {
        self.names.iter().all(|name| name.matches(path, "")) && self.wanted.takes(entry)
    }

    /// Whether every entry is meant.
    pub(super) fn is_everything(&self) -> bool {
        self.names.is_empty() && self.wanted == Wanted::default()
    }
}

/// [`AttributeArgs`], read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Wanted {
    kind: Option<EntryType>,
    newer: Option<UtcTimestamp>,
    older: Option<UtcTimestamp>,
    larger: Option<u64>,
    smaller: Option<u64>,
}

impl Wanted {
    pub(super) fn takes(&self, entry: &DirEntry) -> bool {
        let size = || (entry.kind == EntryType::File).then_some(entry.size);
        self.kind.is_none_or(|kind| entry.kind == kind)
            && self.newer.is_none_or(|time| entry.mtime >= time)
            && self.older.is_none_or(|time| entry.mtime < time)
            && self.larger.is_none_or(|least| size().is_some_and(|size| size >= least))
            && self.smaller.is_none_or(|limit| size().is_some_and(|size| size < limit))
    }
}

/// A pattern for names, or for whole paths where it has a slash.
pub(super) struct Pattern {
    glob: GlobMatcher,
    whole_path: bool,
    absolute: bool,
}

impl Pattern {
    /// # Errors
    /// The value of `option` is no pattern.
    pub(super) fn parse(option: &str, text: &str, ignore_case: bool) -> Result<Self, Failure> {
        let glob = GlobBuilder::new(text.trim_start_matches('/'))
            .literal_separator(true)
            .backslash_escape(true)
            .case_insensitive(ignore_case)
            .build()
            .map_err(|e| wrong_value(option, text, &format!("a glob pattern ({})", e.kind())))?;
        let (whole_path, absolute) = (text.contains('/'), text.starts_with('/'));
        Ok(Self { glob: glob.compile_matcher(), whole_path, absolute })
    }

    /// Whether a path in the tree matches, or, of an absolute pattern, the path below `top`.
    pub(super) fn matches(&self, path: &str, top: &str) -> bool {
        let name = if self.whole_path { path } else { path.rsplit('/').next().unwrap_or(path) };
        self.glob.is_match(name)
            || (self.absolute && top.len() > 1 && {
                let top = top.trim_start_matches('/').trim_end_matches('/');
                self.glob.is_match(format!("{top}/{path}"))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names_or_paths() {
        let parse = |pattern: &str, ignore_case| Pattern::parse("PATTERN", pattern, ignore_case);
        let matches = |pattern: &str, path: &str| parse(pattern, false).unwrap().matches(path, "/srv/data");
        assert!(matches("*.conf", "etc/app/a.conf"));
        assert!(matches("etc/**/*.conf", "etc/app/a.conf"));
        assert!(matches("/etc/*", "etc/hosts"));
        assert!(matches("/srv/data/etc/*", "etc/hosts"));
        assert!(!matches("srv/data/etc/*", "etc/hosts"));
        assert!(!matches("etc/*", "etc/app/a.conf"));
        assert!(!matches("*.conf", "conf/x"));
        assert!(!matches("*.CONF", "etc/a.conf"));
        assert!(parse("*.CONF", true).unwrap().matches("etc/a.conf", ""));
        assert!(parse("[", false).is_err());
    }

    #[test]
    fn the_limits_of_time_and_size_do_not_overlap() {
        let file = |size, time| DirEntry {
            kind: EntryType::File,
            size,
            mtime: UtcTimestamp(time),
            ..DirEntry::default()
        };
        let at_least = Wanted { larger: Some(5), newer: Some(UtcTimestamp(7)), ..Wanted::default() };
        let below = Wanted { smaller: Some(5), older: Some(UtcTimestamp(7)), ..Wanted::default() };
        assert!(at_least.takes(&file(5, 7)) && !below.takes(&file(5, 7)));
        assert!(below.takes(&file(4, 6)) && !at_least.takes(&file(4, 6)));
        assert!(!at_least.takes(&file(4, 7)) && !below.takes(&file(4, 7)));
    }

    #[test]
    fn only_files_have_a_size() {
        let directory = DirEntry { kind: EntryType::Directory, ..DirEntry::default() };
        assert!(Wanted::default().takes(&directory));
        assert!(!Wanted { smaller: Some(5), ..Wanted::default() }.takes(&directory));
        assert!(!Wanted { larger: Some(0), ..Wanted::default() }.takes(&directory));
    }
}
