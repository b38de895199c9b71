//! `rokopia find`: paths that match a pattern, in one or all snapshots.

use globset::{GlobBuilder, GlobMatcher};
use serde::Serialize;

use crate::cli::context::{Context, wrong_value};
use crate::cli::failure::{Exit, Failure};
use crate::cli::listing::{Line, short};
use crate::cli::output::{Output, escape};
use crate::cli::session::Session;
use crate::cli::tree::{Troubles, each, locate};
use crate::cli::units::human_time;
use crate::snapshot::UtcTimestamp;

/// Find entries by a glob pattern, in one snapshot or in all
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A pattern without a slash matches names anywhere; one with a slash matches whole paths, `*` within one name and `**`
across directories.

Examples:
  rokopia find '*.conf'                    in all snapshots
  rokopia find latest 'etc/**/*.conf'
  rokopia find data-demo@apps:/data passwd --json")]
pub(in crate::cli) struct Args {
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
    pub(in crate::cli) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let (reference, pattern) = match self.arguments.as_slice() {
            [pattern] => (None, pattern),
            [reference, pattern] => (Some(reference), pattern),
            _ => return Err(Failure::wrong_usage("find takes a pattern, and a reference before it")),
        };
        let pattern = Pattern::parse(pattern)?;
        let mut session = Session::open(context)?;
        let mut roots = Vec::new();
        match reference {
            Some(reference) => {
                let found = session.find(reference)?;
                let time = found.snapshot.as_ref().map(|snapshot| snapshot.start_time);
                roots.push((found.id(), time, reference.clone(), found));
            }
            None => {
                if session.snapshots.all().is_empty() && session.doubts.is_empty() {
                    session.look_for_lost_indexes()?;
                }
                for snapshot in session.snapshots.all() {
                    let id = snapshot.id.to_string();
                    let found = session.find(&id)?;
                    roots.push((id.clone(), Some(snapshot.start_time), id, found));
                }
            }
        }
        let exit = session.doubts.conclude("snapshots", roots.is_empty())?;
        let contents = session.contents()?;
        let mut out = Output::new();
        let mut troubles = Troubles::default();
        for (id, time, reference, found) in &roots {
            let (tree, _) = locate(&session, &contents, reference, found)?;
            each(&tree, &found.path, true, &mut troubles, |path, entry, troubles| {
                if !pattern.matches(path) {
                    return Ok(());
                }
                let line = Line::new(&tree, path, entry, context.json, troubles);
                if context.json {
                    return out.json(&Match { snapshot: id, time: *time, line });
                }
                let time = time.map_or_else(String::new, human_time);
                out.line(format!("{}  {time}  {}", escape(id), short(&line)))
            })?;
        }
        out.finish()?;
        Ok(troubles.exit(exit))
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
