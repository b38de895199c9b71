//! `rokopia snapshots`: the list of snapshots.

use std::io::IsTerminal;
use std::sync::Arc;

use clap::ValueEnum;
use clap_complete::engine::ArgValueCompleter;
use jiff::Zoned;
use jiff::tz::TimeZone;

use crate::Suspect;
use crate::front::cli::complete;
use crate::front::cli::context::{Context, wrong_value};
use crate::front::cli::failure::{Exit, Failure};
use crate::front::cli::open_repository::OpenRepository;
use crate::front::cli::output::{Output, Table, escape, short_id};
use crate::front::cli::restic::Listed;
use crate::front::cli::units::{self, human_size, human_time, short_age, table_time};
use crate::front::rows::SnapshotRow;
use crate::snapshot::{AskedSource, Period, Policies, Snapshot, UtcTimestamp};
use crate::text::counted;

/// List snapshots
#[derive(Debug, clap::Args)]
#[command(after_help = "\
IDs are shortened to the digits that tell snapshots apart, and only the reason that keeps a snapshot longest is shown. \
--long shows whole IDs and all reasons, one line for each snapshot; so does a list of named sources that goes to a pipe or \
a file. Incomplete snapshots are left out unless --incomplete is given. --json prints all fields, as `kopia snapshot list \
--json` does.

Examples:
  rokopia snapshots                                   all of them
  rokopia snapshots data-demo@apps:/data --latest     the newest one of a source
  rokopia snapshots --since 7d --tag job:nightly
  rokopia snapshots --json | jq -r '.[].id'")]
pub(in crate::front::cli) struct Args {
    /// Only these sources, and those of directories above them: user@host:/path, user@host or @host
    #[arg(value_name = "SOURCE", add = ArgValueCompleter::new(complete::sources))]
    sources: Vec<String>,

    /// All sources, which is the default
    #[arg(long, conflicts_with = "sources")]
    all: bool,

    /// Only snapshots with this tag; may be repeated
    #[arg(long = "tag", value_name = "KEY:VALUE")]
    tags: Vec<String>,

    /// Show incomplete snapshots, too
    #[arg(long, short)]
    incomplete: bool,

    /// Only the newest snapshot of each source
    #[arg(long)]
    latest: bool,

    /// Only the newest N snapshots of each source
    #[arg(long, short = 'n', value_name = "N", conflicts_with = "latest")]
    limit: Option<usize>,

    /// Order within each source
    #[arg(long, value_enum, default_value_t, value_name = "BY")]
    sort: Sort,

    /// Show whole IDs, time zones and all reasons to keep a snapshot, one line each
    #[arg(long, short)]
    long: bool,

    /// Only snapshots that began at this time or later: a date, a time, or a duration such as 7d before now
    #[arg(long, value_name = "TIME")]
    since: Option<String>,

    /// Only snapshots that began at this time or earlier; a date means all of that day, a time all of its last second
    /// or minute
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Sort {
    #[default]
    Time,
    Size,
    Files,
}

/// A snapshot with the reasons to keep it, the shortest-lived first.
type Chosen = (Arc<Snapshot>, Vec<String>);

/// What snapshots must be like, understood.
struct Filter {
    sources: Vec<AskedSource>,
    tags: Vec<(String, String)>,
    since: Option<Period>,
    until: Option<Period>,
}

impl Args {
    fn limit(&self) -> Option<usize> {
        if self.latest { Some(1) } else { self.limit }
    }

    fn filter(&self) -> Result<Filter, Failure> {
        let now = Zoned::now();
        let time = |option: &str, text: &Option<String>| {
            text.as_ref().map_or(Ok(None), |text| {
                units::period(text, &now)
                    .map(Some)
                    .ok_or_else(|| wrong_value(option, text, "a time such as 2026-11-21 or 3d"))
            })
        };
        let sources = self.sources.iter().map(|text| {
            text.parse().map_err(|_| wrong_value("SOURCE", text, "user@host:/path, user@host or @host"))
        });
        let tags = self.tags.iter().map(|text| match text.split_once(':') {
            Some((key, value)) => Ok((format!("tag:{key}"), value.to_owned())),
            None => Err(wrong_value("--tag", text, "KEY:VALUE")),
        });
        Ok(Filter {
            sources: sources.collect::<Result<_, _>>()?,
            tags: tags.collect::<Result<_, _>>()?,
            since: time("--since", &self.since)?,
            until: time("--until", &self.until)?,
        })
    }

    pub(in crate::front::cli) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let filter = self.filter()?;
        if let Some(directory) = context.restic()? {
            let others = [!self.tags.is_empty(), self.since.is_some(), self.until.is_some(), self.long];
            if others.contains(&true) || self.sort != Sort::Time {
                return Err(Failure::wrong_usage(
                    "of a repository of restic, snapshots can be chosen by SOURCE, --latest and --limit alone",
                ));
            }
            return Listed::open(&directory, context)?.print(&filter.sources, self.limit(), context);
        }
        let mut repo = OpenRepository::open(context)?;
        let lacking = repo.unlisted().snapshots().to_vec();
        let policies = Policies::new(repo.catalog.manifests());
        for problem in policies.problems() {
            tracing::warn!("{problem}; reasons to keep snapshots may be wrong");
        }
        let zone = TimeZone::system();
        let mut chosen: Vec<Chosen> = Vec::new();
        for (source, snapshots) in repo.snapshots.groups() {
            let reasons = policies.retention(source).reasons(&snapshots, &zone);
            let group: Vec<_> = snapshots.into_iter().zip(reasons).filter(|(s, _)| filter.takes(s)).collect();
            let shown = |s: &Snapshot| context.json || self.incomplete || s.is_complete();
            let group: Vec<_> = group.into_iter().filter(|(s, _)| shown(s)).collect();
            let left_out = group.len().saturating_sub(self.limit().unwrap_or(usize::MAX));
            let mut group = group.into_iter().skip(left_out).collect::<Vec<_>>();
            match self.sort {
                Sort::Time => {}
                Sort::Size => group.sort_by_key(|(s, _)| s.summary().map_or(0, |summary| summary.size)),
                Sort::Files => group.sort_by_key(|(s, _)| s.summary().map_or(0, |summary| summary.files)),
            }
            chosen.append(&mut group);
        }
        let lacks = |suspect: &Suspect| filter.may_take(suspect);
        let exit = repo.conclude("snapshots", chosen.is_empty(), &filter.sources, lacks)?;
        if chosen.is_empty() && !context.json {
            tracing::warn!("no {}snapshots", if filter.is_any() { "" } else { "matching " });
        }
        let mut out = Output::new();
        if context.json {
            let rows = chosen.iter().map(|(snapshot, reasons)| SnapshotRow::new(snapshot, reasons, &lacking));
            out.json_array(rows)?;
        } else if (self.long || is_for_a_program(&self.sources)) && !chosen.is_empty() {
            print_long(&chosen, &mut out)?;
        } else {
            print(&chosen, repo.snapshots.unique_digits(), &mut out)?;
        }
        out.finish()?;
        Ok(exit)
    }
}

impl Filter {
    fn is_any(&self) -> bool {
        self.sources.is_empty() && self.tags.is_empty() && self.since.is_none() && self.until.is_none()
    }

    /// Whether a snapshot that is not listed could be one of these.
    fn may_take(&self, suspect: &Suspect) -> bool {
        let may_be = |asked: &AskedSource| {
            asked.is_without_path()
                || asked.with_parents().iter().any(|source| suspect.scope.concerns(source))
        };
        let in_time = suspect.start.is_none_or(|start| {
            self.since.is_none_or(|since| start >= since.first())
                && self.until.is_none_or(|until| start <= until.last())
        });
        (self.sources.is_empty() || self.sources.iter().any(may_be)) && in_time
    }

    fn takes(&self, snapshot: &Snapshot) -> bool {
        let source =
            self.sources.is_empty() || self.sources.iter().any(|s| s.is_covered_by(&snapshot.source));
        let tags = self.tags.iter().all(|(key, value)| snapshot.tags.get(key) == Some(value));
        source
            && tags
            && self.since.is_none_or(|since| snapshot.start_time >= since.first())
            && self.until.is_none_or(|until| snapshot.start_time <= until.last())
    }
}

/// The snapshots grouped by source, in lines that fit a terminal.
fn print(chosen: &[Chosen], digits: usize, out: &mut Output) -> Result<(), Failure> {
    let now = UtcTimestamp::now();
    let groups: Vec<&[Chosen]> = chosen.chunk_by(|a, b| a.0.source == b.0.source).collect();
    for (at, group) in groups.iter().enumerate() {
        let Some((first, _)) = group.first() else { continue };
        let blank = if at > 0 { "\n" } else { "" };
        let source = first.source.to_string();
        out.line(format!("{blank}{}  ({})", escape(&source), counted(group.len() as u64, "snapshot")))?;
        let heading = ["ID", "TIME", "AGE", "SIZE", "FILES", "KEPT FOR"];
        let mut table = Table::new(&heading, &[2, 3, 4]).indented("  ");
        for (snapshot, reasons) in *group {
            let mut remarks = remarks(snapshot);
            // The last reason is the one that keeps it longest.
            if let Some((last, others)) = reasons.split_last().filter(|(last, _)| *last != "incomplete") {
                let more = if others.is_empty() { String::new() } else { format!(" +{}", others.len()) };
                remarks.push(format!("{last}{more}"));
            }
            table.row([
                short_id(snapshot.id.as_str(), digits).to_owned(),
                table_time(snapshot.start_time),
                short_age(snapshot.start_time, now),
                size(snapshot),
                files(snapshot),
                remarks.join(", "),
            ]);
        }
        table.print(out)?;
    }
    Ok(())
}

/// Whether a program reads the list: it wants the source and the whole ID on each line.
fn is_for_a_program(sources: &[String]) -> bool {
    !sources.is_empty() && !std::io::stdout().is_terminal()
}

/// One line a snapshot, with nothing shortened.
fn print_long(chosen: &[Chosen], out: &mut Output) -> Result<(), Failure> {
    let mut table = Table::new(&["ID", "TIME", "SOURCE", "SIZE", "FILES", "KEPT FOR"], &[3, 4]);
    for (snapshot, reasons) in chosen {
        let mut remarks = remarks(snapshot);
        remarks.extend(reasons.iter().filter(|reason| *reason != "incomplete").cloned());
        table.row([
            snapshot.id.to_string(),
            human_time(snapshot.start_time),
            snapshot.source.to_string(),
            size(snapshot),
            files(snapshot),
            remarks.join(", "),
        ]);
    }
    table.print(out)
}

fn size(snapshot: &Snapshot) -> String {
    snapshot.summary().map_or_else(|| "-".into(), |s| human_size(u64::try_from(s.size).unwrap_or(0)))
}

fn files(snapshot: &Snapshot) -> String {
    snapshot.summary().map_or_else(|| "-".into(), |summary| summary.files.to_string())
}

/// What is unusual about a snapshot.
fn remarks(snapshot: &Snapshot) -> Vec<String> {
    let mut remarks = Vec::new();
    if !snapshot.is_complete() {
        remarks.push(format!("incomplete: {}", snapshot.incomplete));
    }
    if snapshot.unsaved() > 0 {
        remarks.push(counted(snapshot.unsaved(), "entry not saved/entries not saved"));
    }
    remarks.extend(snapshot.pins.iter().map(|pin| format!("pin {pin}")));
    remarks
}
