//! `verify --drill`: a restore for practice. Is the data there, is it that of today, and how long does it take?

mod command;
mod judge;
mod log;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::Error;
use crate::blob::WritablePath;
use crate::content::Contents;
use crate::front::cli::context::{Context, wrong_value};
use crate::front::cli::failure::{Exit, Failure};
use crate::front::cli::open_repository::OpenRepository;
use crate::front::cli::output::{Output, escape};
use crate::front::cli::progress::Reporter;
use crate::front::cli::units::{self, ago, human_size, human_span, human_time};
use crate::os::signals::CleanUp;
use crate::restore::{Progress, Restore, Status, Summary};
use crate::snapshot::{Snapshot, Tree, UtcTimestamp};
use crate::text::counted;
use log::{Log, Record};

/// What restores to nowhere, as no directory does.
pub(super) const NULL: &str = "null";

/// Stands for all sources.
const ALL: &str = "all";

/// Errors printed; JSON has all.
const SHOWN: usize = 20;

/// Options of `verify --drill`.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Restore drills")]
pub(super) struct Options {
    /// Restore the newest snapshot of a source as a test, hash everything, and show how long it took. Nothing is written
    /// without --to. May be given several times; `all` means every source
    #[arg(long, value_name = "SOURCE", conflicts_with_all = ["merge", "ledger", "recover_index"])]
    pub(super) drill: Vec<String>,

    /// Restore into a new directory below this one, and remove it afterwards
    #[arg(long, value_name = "DIR", requires = "drill")]
    pub(super) to: Option<String>,

    /// Drill only the N of these sources that were drilled longest ago
    #[arg(long, value_name = "N", requires = "drill_log")]
    rotate: Option<usize>,

    /// Record drills in this file. A drill then also fails if nothing has changed since the last one, although the source
    /// usually changes
    #[arg(long, value_name = "FILE", requires = "drill")]
    pub(super) drill_log: Option<PathBuf>,

    /// Fail if the newest snapshot is older than this; without it the source's own history decides, where it is long enough
    #[arg(long, value_name = "DURATION", requires = "drill")]
    newer_than: Option<String>,

    /// Fail if this path is not in the snapshot
    #[arg(long, value_name = "PATH", requires = "drill")]
    sentinel: Option<String>,

    /// Fail if the sentinel was last modified longer than this before the snapshot
    #[arg(long, value_name = "DURATION", requires = "sentinel")]
    sentinel_max_age: Option<String>,

    /// Run this command with /bin/sh in the restored tree; if it fails, the drill fails. Its environment has
    /// ROKOPIA_DRILL_DIR, ROKOPIA_DRILL_SOURCE, ROKOPIA_DRILL_SNAPSHOT and ROKOPIA_DRILL_TIME, and no passwords
    #[arg(long, value_name = "COMMAND", requires = "to")]
    pub(super) exec: Option<String>,

    /// Kill the command after this time
    #[arg(long, value_name = "DURATION", default_value = "10m", requires = "exec")]
    exec_timeout: String,
}

/// Something that keeps what was restored from being a good backup.
#[derive(Debug, Serialize)]
struct Problem {
    code: &'static str,
    message: String,
}

impl Problem {
    fn new(code: &'static str, message: String) -> Self {
        Self { code, message }
    }
}

#[derive(Serialize)]
struct Report<'a> {
    result: &'static str,
    source: String,
    /// When the snapshot was begun, and how long ago that is.
    time: String,
    age_seconds: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    clock_problem: Option<String>,
    /// What is wrong although all data may be there.
    problems: &'a [Problem],
    /// Since the command began: until the repository was open, the first file restored, and all of them.
    opened_seconds: f64,
    first_file_seconds: f64,
    total_seconds: f64,
    bytes_per_second: u64,
    #[serde(flatten)]
    summary: &'a Summary,
}

/// How long it took, since the command began.
struct Times {
    opened: Duration,
    first_file: Duration,
    total: Duration,
}

/// Notices when the first file is in place, and shows how far it is.
struct First(OnceLock<Duration>, Reporter);

impl Progress for First {
    fn status(&self, status: &Status) {
        if status.files > 0 {
            let _ = self.0.set(status.elapsed);
        }
        self.1.status(status);
    }
}

/// The options, understood.
struct Wanted<'a> {
    options: &'a Options,
    newer_than: Option<Duration>,
    sentinel_max_age: Option<Duration>,
    exec_timeout: Duration,
}

fn limit(name: &str, text: &str) -> Result<Duration, Failure> {
    units::duration(text).ok_or_else(|| wrong_value(name, text, "a duration such as 26h"))
}

/// Restores the newest snapshot of each source to nowhere, or into a new directory that is removed again.
pub(super) fn run(options: &Options, context: &Context) -> Result<Exit, Failure> {
    let optional = |name, text: &Option<String>| text.as_deref().map(|text| limit(name, text)).transpose();
    let wanted = Wanted {
        options,
        newer_than: optional("--newer-than", &options.newer_than)?,
        sentinel_max_age: optional("--sentinel-max-age", &options.sentinel_max_age)?,
        exec_timeout: limit("--exec-timeout", &options.exec_timeout)?,
    };
    if options.exec.is_some() && options.to.as_deref() == Some(NULL) {
        return Err(Failure::wrong_usage("--exec needs a directory to restore to, and --to null has none"));
    }
    let begun = Instant::now();
    let mut repo = OpenRepository::open_for_contents(context)?;
    let contents = repo.contents()?;
    let opened = begun.elapsed();
    let guard = contents.store().guard();
    let mut log = options.drill_log.as_deref().map(|path| Log::open(path, &guard)).transpose()?;
    let mut exit = Exit::Done;
    let mut out = Output::new();
    for source in sources(&mut repo, options, log.as_ref())? {
        let begun = begun.max(Instant::now().checked_sub(opened).unwrap_or(begun));
        let good =
            wanted.drill(&source, &mut repo, &contents, (begun, opened), log.as_mut(), context, &mut out)?;
        if !good {
            exit = Exit::Negative;
        }
    }
    out.finish()?;
    Ok(exit)
}

/// What is drilled: those that were named, or of all those that were drilled longest ago.
fn sources(repo: &mut OpenRepository, options: &Options, log: Option<&Log>) -> Result<Vec<String>, Failure> {
    let mut named = Vec::new();
    for source in &options.drill {
        if source == ALL {
            let complete = repo.snapshots.groups().into_iter();
            let complete = complete.filter(|(_, group)| group.iter().any(|snapshot| snapshot.is_complete()));
            named.extend(complete.map(|(source, _)| source.to_string()));
        } else {
            named.push(source.clone());
        }
    }
    if named.is_empty() {
        repo.conclude("sources", true, &[], |_| true)?;
        return Err(Failure::new(Exit::Negative, "reference-not-found", "there is no source to drill"));
    }
    if let (Some(most), Some(log)) = (options.rotate, log) {
        let mut aged = Vec::new();
        for name in named {
            let found = repo.find(&name)?;
            let source =
                found.snapshot().map_or_else(|| name.clone(), |snapshot| snapshot.source.to_string());
            aged.push((log.last(&source).map(Record::at), name));
        }
        aged.sort();
        aged.truncate(most);
        named = aged.into_iter().map(|(_, name)| name).collect();
    }
    Ok(named)
}

impl Wanted<'_> {
    /// Drills one source, and tells whether all is well.
    #[allow(clippy::too_many_arguments, reason = "what all drills share")]
    fn drill(
        &self,
        source: &str,
        repo: &mut OpenRepository,
        contents: &Contents,
        (begun, opened): (Instant, Duration),
        log: Option<&mut Log>,
        context: &Context,
        out: &mut Output,
    ) -> Result<bool, Failure> {
        let found = repo.find(source)?;
        let snapshot = found.snapshot().ok_or_else(|| Failure::wrong_usage("--drill takes a source"))?;
        let root = snapshot.root.as_ref();
        let root =
            root.ok_or_else(|| Failure::new(Exit::Negative, "snapshot-without-root", "it has no root"))?;
        let name = snapshot.source.to_string();
        let now = UtcTimestamp::now();
        let last = log.as_ref().and_then(|log| log.last(&name));
        let mut problems = judge::judge(&repo.snapshots, snapshot, self.newer_than, last, now);
        if let Some(path) = &self.options.sentinel {
            let tree = Tree::of_snapshot(contents, snapshot).map_err(crate::front::cli::tree::from)?;
            problems.extend(judge::sentinel(&tree, path, self.sentinel_max_age, snapshot.start_time));
        }
        let clean_up = CleanUp::new();
        let flag = clean_up.flag();
        let restore = Restore::new(contents, root)
            .snapshot(snapshot.id.to_string())
            .memory(context.memory_for_data(contents)?)
            .threads(context.threads)
            .reads(context.reads.unwrap_or(contents.store().hints().reads))
            .verify(true)
            .cancel(clean_up.flag());
        let failed = |e| Failure::from(Error::from(e)).during("the restore drill");
        let (first, restored) = (First(OnceLock::new(), Reporter::new(context, false)), begun.elapsed());
        let (summary, total) = match self.options.to.as_deref() {
            None | Some(NULL) => (restore.run_to_null(&first).map_err(failed)?, begun.elapsed()),
            Some(to) => {
                let target = Scratch::new(&contents.store().guard().writable(Path::new(to))?)?;
                let summary = restore.run(target.0.as_path(), &first).map_err(failed)?;
                first.1.finish().map_err(Failure::output)?;
                let total = begun.elapsed();
                if let Some(command) = &self.options.exec {
                    let tree = target.0.as_path();
                    problems.extend(command::run(command, tree, snapshot, self.exec_timeout, &flag).err());
                }
                (summary, total)
            }
        };
        first.1.finish().map_err(Failure::output)?;
        let first_file = first.0.get().map_or(total, |first| restored + *first);
        let times = Times { opened, first_file, total };
        let result = match (summary.error_count > 0, problems.is_empty()) {
            (true, _) => "damaged",
            (false, false) => "unfit",
            (false, true) => "restored",
        };
        if let Some(log) = log {
            log.add(&Record {
                time: now.to_string(),
                source: name,
                snapshot: snapshot.id.to_string(),
                root: root.object.map_or_else(String::new, |root| root.to_string()),
                result: result.to_owned(),
            })?;
        }
        print(result, snapshot, &summary, &problems, &times, context, out)?;
        Ok(result == "restored")
    }
}

fn print(
    result: &'static str,
    snapshot: &Snapshot,
    summary: &Summary,
    problems: &[Problem],
    times: &Times,
    context: &Context,
    out: &mut Output,
) -> Result<(), Failure> {
    let now = UtcTimestamp::now();
    let age = now.seconds_since(snapshot.start_time).max(0);
    let clock_problem = snapshot.start_time.clock_problem(now);
    if let Some(problem) = &clock_problem {
        tracing::warn!("snapshot {}: {problem}", snapshot.id);
    }
    let bytes_per_second = (summary.bytes as f64 / summary.seconds.max(0.001)) as u64;
    if context.json {
        return out.json(&Report {
            result,
            source: snapshot.source.to_string(),
            time: snapshot.start_time.to_string(),
            age_seconds: age,
            clock_problem,
            problems,
            opened_seconds: times.opened.as_secs_f64(),
            first_file_seconds: times.first_file.as_secs_f64(),
            total_seconds: times.total.as_secs_f64(),
            bytes_per_second,
            summary,
        });
    }
    let took = Duration::from_secs_f64(summary.seconds.max(0.0));
    out.line(format!(
        "{}: snapshot {} of {}, {}.",
        escape(&snapshot.source.to_string()),
        snapshot.id,
        human_time(snapshot.start_time),
        ago(snapshot.start_time, now)
    ))?;
    out.line(format!(
        "{}, {}, {} restored and hashed again in {} ({}/s).",
        counted(summary.files, "file"),
        counted(summary.dirs, "directory/directories"),
        human_size(summary.bytes),
        human_span(took),
        human_size(bytes_per_second)
    ))?;
    out.line(format!(
        "From the start of the command: open after {}, first file after {}, all after {}.",
        human_span(times.opened),
        human_span(times.first_file),
        human_span(times.total)
    ))?;
    for Problem { code, message } in problems {
        out.line(format!("FAILED[{code}] {}", escape(message)))?;
    }
    for error in summary.errors.iter().take(SHOWN) {
        out.line(format!("LOST {}: {}", escape(&error.path), escape(&error.message)))?;
    }
    if summary.error_count > 0 {
        out.line(format!("{} could not be restored.", counted(summary.error_count, "entry/entries")))?;
    }
    Ok(())
}

/// A new directory that is removed with everything in it.
struct Scratch(WritablePath);

impl Scratch {
    fn new(below: &WritablePath) -> Result<Self, Failure> {
        let path = below.child(&format!("rokopia-drill-{}", std::process::id()));
        path.create_dir().map_err(|e| {
            let what = format!("making {}: {e}", path.as_path().display());
            Failure::new(Exit::Unknown, "output-failed", what)
        })?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let path = self.0.as_path();
        open_up(path);
        #[allow(clippy::disallowed_methods, reason = "the directory was made here")]
        let removed = std::fs::remove_dir_all(path);
        if let Err(e) = removed {
            tracing::warn!("{} could not be removed: {e}", path.display());
        }
    }
}

/// Restored directories may forbid their owner to delete what is in them.
fn open_up(dir: &Path) {
    // What cannot be changed fails to be removed, which is said there.
    let _ = std::fs::set_permissions(dir, PermissionsExt::from_mode(0o700));
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}
