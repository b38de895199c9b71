//! `verify --drill`: a restore for practice, and how long it took.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::Error;
use crate::blob::WritablePath;
use crate::front::cli::context::Context;
use crate::front::cli::failure::{Exit, Failure};
use crate::front::cli::output::{Output, escape};
use crate::front::cli::session::Session;
use crate::front::cli::signals::CleanUp;
use crate::front::cli::units::{human_duration, human_size, human_time};
use crate::restore::{Restore, Summary};
use crate::snapshot::{Snapshot, UtcTimestamp};

/// What restores to nowhere, as no directory does.
pub(super) const NULL: &str = "null";

/// Errors printed; JSON has all.
const SHOWN: usize = 20;

#[derive(Serialize)]
struct Report<'a> {
    result: &'static str,
    source: String,
    /// When the snapshot was begun, and how long ago that is.
    time: String,
    age_seconds: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    clock_problem: Option<String>,
    #[serde(flatten)]
    summary: &'a Summary,
}

/// Restores the newest snapshot of a source to nowhere, or into a new directory below `to` that is removed again.
pub(super) fn run(source: &str, to: Option<&str>, context: &Context) -> Result<Exit, Failure> {
    let mut session = Session::open_for_contents(context)?;
    let found = session.find(source)?;
    let snapshot = found.snapshot().ok_or_else(|| Failure::wrong_usage("--drill takes a source"))?;
    let root = snapshot.root.as_ref();
    let root = root.ok_or_else(|| Failure::new(Exit::Negative, "snapshot-without-root", "it has no root"))?;
    let contents = session.contents()?;
    let clean_up = CleanUp::new();
    let restore = Restore::new(&contents, root)
        .snapshot(snapshot.id.to_string())
        .memory(context.memory_for_data(&contents)?)
        .threads(context.threads)
        .reads(context.reads.unwrap_or(contents.store().hints().reads))
        .verify(true)
        .cancel(clean_up.flag());
    let failed = |e| Failure::from(Error::from(e)).during("the restore drill");
    let summary = match to {
        None | Some(NULL) => restore.run_to_null(&()).map_err(failed)?,
        Some(to) => {
            let target = Scratch::new(&contents.store().guard().writable(Path::new(to))?)?;
            restore.run(target.0.as_path(), &()).map_err(failed)?
        }
    };
    print(snapshot, &summary, context)?;
    Ok(if summary.error_count > 0 { Exit::Negative } else { Exit::Done })
}

fn print(snapshot: &Snapshot, summary: &Summary, context: &Context) -> Result<(), Failure> {
    let now = UtcTimestamp::now();
    let age = now.seconds_since(snapshot.start_time).max(0);
    let clock_problem = snapshot.start_time.clock_problem(now);
    if let Some(problem) = &clock_problem {
        tracing::warn!("snapshot {}: {problem}", snapshot.id);
    }
    let mut out = Output::new();
    if context.json {
        let result = if summary.error_count > 0 { "damaged" } else { "restored" };
        let (source, time) = (snapshot.source.to_string(), snapshot.start_time.to_string());
        out.json(&Report { result, source, time, age_seconds: age, clock_problem, summary })?;
        return out.finish();
    }
    let took = Duration::from_secs_f64(summary.seconds.max(0.0));
    out.line(format!(
        "{}: snapshot {} of {}, {} old.",
        escape(&snapshot.source.to_string()),
        snapshot.id,
        human_time(snapshot.start_time),
        human_duration(Duration::from_secs(age.unsigned_abs()))
    ))?;
    out.line(format!(
        "{} files, {} directories, {} restored and hashed again in {} ({}/s).",
        summary.files,
        summary.dirs,
        human_size(summary.bytes),
        human_duration(took),
        human_size((summary.bytes as f64 / summary.seconds.max(0.001)) as u64)
    ))?;
    for error in summary.errors.iter().take(SHOWN) {
        out.line(format!("LOST {}: {}", escape(&error.path), escape(&error.message)))?;
    }
    if summary.error_count > 0 {
        out.line(format!("{} entries could not be restored.", summary.error_count))?;
    }
    out.finish()
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
