//! `rokopia find`: paths that match a pattern, in one or all snapshots.

use globset::{GlobBuilder, GlobMatcher};
use serde::Serialize;

use crate::front::cli::context::{Context, wrong_value};
use crate::front::cli::failure::{Exit, Failure};
use crate::front::cli::listing::Line;
use crate::front::cli::output::{Output, escape};
use crate::front::cli::session::Session;
use crate::front::cli::tree::{Troubles, each, locate};
use crate::front::cli::units::human_time;
use crate::snapshot::{Tree, UtcTimestamp};

/// Find entries by a glob pattern, in one snapshot or in all
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A pattern without a slash matches names anywhere; one with a slash matches whole paths, `*` within one name and `**`
across directories.

Examples:
  rokopia find '*.conf'                    in all snapshots
  rokopia find latest 'etc/**/*.conf'
  rokopia find data-demo@apps:/data passwd --json")]
pub(in crate::front::cli) struct Args {
    /// A snapshot reference (all snapshots without), and the pattern
    #[arg(value_names = ["REF] [PATTERN"], num_args = 1..=2, required = true)]
    arguments: Vec<String>,
}

#[derive(Serialize)]
struct Match<'a> {
    snapshot: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<UtcTimestamp>,
    #[serde(flatten)]
    line: Line<'a>,
}

struct Pattern {
    glob: GlobMatcher,
    whole_path: bool,
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, Failure> {
        let glob = GlobBuilder::new(text.trim_start_matches('/'))
            .literal_separator(true)
            .backslash_escape(true)
            .build()
            .map_err(|e| wrong_value("PATTERN", text, &format!("a glob pattern ({})", e.kind())))?;
        Ok(Self { glob: glob.compile_matcher(), whole_path: text.contains('/') })
    }

    fn matches(&self, path: &str) -> bool {
        let name = if self.whole_path { path } else { path.rsplit('/').next().unwrap_or(path) };
        self.glob.is_match(name)
    }
}

impl Args {
    pub(in crate::front::cli) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let (reference, pattern) = match self.arguments.as_slice() {
            [pattern] => (None, pattern),
            [reference, pattern] => (Some(reference), pattern),
            _ => return Err(Failure::wrong_usage("find takes a pattern, and a reference before it")),
        };
        let pattern = Pattern::parse(pattern)?;
        let mut session = Session::open_for_contents(context)?;
        let found = reference.map(|reference| session.find(reference)).transpose()?;
        let contents = session.contents()?;
        let mut search = Search {
            pattern,
            json: context.json,
            out: Output::new(),
            troubles: Troubles::default(),
            matches: 0,
        };
        let exit = match (reference, found) {
            (Some(reference), Some(found)) => {
                let (tree, _) = locate(&mut session, &contents, reference, &found)?;
                search.through(&tree, &found.path, &found.root.to_string(), found.time())?;
                Exit::Done
            }
            _ => {
                for snapshot in session.snapshots.all() {
                    match Tree::of_snapshot(&contents, &snapshot) {
                        Ok(tree) => {
                            search.through(&tree, "", snapshot.id.as_str(), Some(snapshot.start_time))?;
                        }
                        Err(error) => search.troubles.add(&error),
                    }
                }
                session.conclude("matches", search.matches == 0, &[], |_| true)?
            }
        };
        search.out.finish()?;
        Ok(search.troubles.exit(exit))
    }
}

struct Search {
    pattern: Pattern,
    json: bool,
    out: Output,
    troubles: Troubles,
    matches: u64,
}

impl Search {
    /// Prints what matches below `base`.
    fn through(
        &mut self,
        tree: &Tree<'_>,
        base: &str,
        snapshot: &str,
        time: Option<UtcTimestamp>,
    ) -> Result<(), Failure> {
        let Self { pattern, json, out, troubles, matches } = self;
        each(tree, base, true, troubles, |path, entry, troubles| {
            if !pattern.matches(path) {
                return Ok(());
            }
            *matches += 1;
            let line = Line::new(tree, path, entry, *json, troubles);
            if *json {
                return out.json(&Match { snapshot, time, line });
            }
            let time = time.map_or_else(String::new, human_time);
            out.line(format!("{}  {time}  {}", escape(snapshot), line.short()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names_or_paths() {
        let matches = |pattern: &str, path: &str| Pattern::parse(pattern).unwrap().matches(path);
        assert!(matches("*.conf", "etc/app/a.conf"));
        assert!(matches("etc/**/*.conf", "etc/app/a.conf"));
        assert!(matches("/etc/*", "etc/hosts"));
        assert!(!matches("etc/*", "etc/app/a.conf"));
        assert!(!matches("*.conf", "conf/x"));
        assert!(Pattern::parse("[").is_err());
    }
}
