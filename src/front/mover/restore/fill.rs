//! The restore of a chosen snapshot through the engine.

use std::time::Instant;

use super::Plan;
use super::progress::Progress;
use crate::content::Contents;
use crate::front::mover::error::Error;
use crate::front::mover::{log, memory};
use crate::os::signals;
use crate::restore::{self, Overwrite, Restore, Summary};
use crate::snapshot::{Snapshot, Tree};
use crate::text::counted;

/// Restores `snapshot` into the volume.
pub(super) fn fill(plan: &Plan, contents: &Contents, snapshot: &Snapshot) -> Result<(), Error> {
    let failed = |reason: String| Error::Restore { snapshot: snapshot.id.clone(), reason };
    let cause = |code: &str, error: &dyn std::fmt::Display| failed(format!("{error} [{code}]"));
    let budget = memory::budget();
    let tree = Tree::of_snapshot(contents, snapshot).map_err(|e| cause(e.code(), &e))?;
    if !tree.root().is_directory() {
        return Err(failed("it is of a single file, and the volume is a directory".into()));
    }
    let memory = budget.for_data_at_least(&contents.index());
    let restore = described(plan, Restore::new(contents, tree.root())).memory(memory).delete(plan.delete);
    log::info(format_args!("restoring into {}, memory {} MiB", plan.target.display(), memory >> 20));
    let started = Instant::now();
    let clean_up = signals::CleanUp::new();
    let result = restore.cancel(clean_up.flag()).run(&plan.target, &Progress::default());
    let seconds = started.elapsed().as_secs_f64();
    match result
        .map_err(|e| if signals::exit_code().is_some() { Error::Stopped } else { cause(e.code(), &e) })
    {
        Ok(summary) if summary.error_count == 0 || (plan.arguments.ignore_errors && !summary.stopped) => {
            log::line(format_args!("TIMING: Restore execution took {seconds:.3} seconds"));
            told(&summary);
            Ok(())
        }
        Ok(summary) => {
            log::line(format_args!("TIMING: Restore execution failed after {seconds:.3} seconds"));
            Err(failed(shortfall(&summary)))
        }
        Err(error) => {
            if !matches!(error, Error::Stopped) {
                log::line(format_args!("TIMING: Restore execution failed after {seconds:.3} seconds"));
            }
            Err(error)
        }
    }
}

/// The restore as the environment asks for it. What is there is compared content by content, so that a run after a killed
/// one fetches only what is missing, and no file stays that only looks right.
fn described<'a>(plan: &Plan, restore: Restore<'a>) -> Restore<'a> {
    let arguments = &plan.arguments;
    let restore = restore
        .delta(true)
        .keep_kinds(true)
        .keep_files(!arguments.overwrite_files)
        .owner(arguments.owners)
        .permissions(arguments.permissions)
        .times(arguments.times)
        .sparse(arguments.sparse)
        .fsync(arguments.flush_files)
        .overwrite(if arguments.skip_existing { Overwrite::UnlessSimilar } else { Overwrite::Always });
    match arguments.parallel {
        Some(parallel) => restore.reads(parallel).threads(parallel),
        None => restore,
    }
}

fn shortfall(summary: &Summary) -> String {
    let Some(restore::EntryError { path, code, message }) = summary.errors.first() else {
        return format!("{} could not be restored", counted(summary.error_count, "entry/entries"));
    };
    let more = match summary.error_count.saturating_sub(1) {
        0 => String::new(),
        more => format!(" (and {})", counted(more, "more entry/more entries")),
    };
    format!("{}: {message} [{code}]{more}", if path.is_empty() { "." } else { path })
}

fn told(summary: &Summary) {
    let Summary { files, dirs, symlinks, bytes, fetched_bytes, reused_bytes, deleted, skipped, .. } =
        *summary;
    log::info(format_args!(
        "in place: {}, {} and {} of {}; {fetched_bytes} bytes fetched, {reused_bytes} there already; {} skipped, {deleted} \
         deleted",
        counted(files, "file"),
        counted(dirs, "directory/directories"),
        counted(symlinks, "symbolic link"),
        counted(bytes, "byte"),
        counted(skipped, "entry/entries")
    ));
    if !summary.refused.is_empty() {
        log::warn(&summary.refused);
    }
    if summary.refused.owner > 0 {
        log::info(format_args!(
            "{} restored with the owner of this mover, which may not give them to another one. A privileged mover, or a \
             moverSecurityContext with the application's user and group, restores owners",
            counted(summary.refused.owner, "entry/entries")
        ));
    }
    if summary.error_count > 0 {
        log::warn(format_args!("{} ignored", counted(summary.error_count, "error")));
    }
    log::info("Snapshot restore completed successfully");
    // Both spellings are what the operator's end-to-end tests look for.
    log::line(format_args!(
        "Snapshot restore completed: restoring {files} files; Kopia completed in {:.1}s",
        summary.seconds
    ));
}
