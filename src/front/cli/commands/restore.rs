//! `rokopia restore`: a tree into a directory.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use crate::Error;
use crate::content::Hashed;
use crate::front::cli::context::{Context, wrong_value};
use crate::front::cli::doubts::refuse;
use crate::front::cli::failure::{Exit, Failure};
use crate::front::cli::output::{Output, escape};
use crate::front::cli::progress::Reporter;
use crate::front::cli::tree::{Place, at, at_recovered, from};
use crate::front::cli::units::{human_duration, human_size};
use crate::os::signals::CleanUp;
use crate::restore::{Filter, Overwrite, Restore, Summary};
use crate::snapshot::Tree;

/// What JSON says of a restore.
#[derive(Serialize)]
struct Restored<'a> {
    #[serde(flatten)]
    summary: &'a Summary,
    /// Whether another snapshot could have been meant that is not listed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    newer_may_exist: bool,
}

/// Restore a snapshot, or a part of it, into a directory
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The target is created if it is missing. Nothing in it is touched before the snapshot and its root directory were read. A
file under its final name is complete and right; running the command again is always safe. What cannot be restored is
named, and the exit code is 4.

Examples:
  rokopia restore latest /srv/data
  rokopia restore data-demo@apps:/data@2026-11-20 /srv/data --delete
  rokopia restore latest /srv/data --delta --verify         only what differs is fetched
  rokopia restore latest/etc /tmp/etc --include '*.conf'
  rokopia restore c0bc0a/dump.sql /tmp/dump.sql")]
#[expect(clippy::struct_excessive_bools, reason = "each is one option of the command")]
pub(in crate::front::cli) struct Args {
    /// Snapshot, source or object, and a path in it
    #[arg(value_name = "REF")]
    reference: String,

    /// Where to: a directory for a directory, the file itself for a file
    #[arg(value_name = "TARGET")]
    target: PathBuf,

    /// Delete entries that the snapshot does not have, once everything else is in place
    #[arg(long)]
    delete: bool,

    /// Compare existing files content by content, and fetch and write only what differs, in place: a file whose new data
    /// then cannot be read is gone
    #[arg(long)]
    delta: bool,

    /// Leave files with the right size and modification time as they are
    #[arg(long)]
    skip_existing: bool,

    /// Which existing entries are replaced
    #[arg(long, value_enum, default_value_t, value_name = "WHICH")]
    overwrite: Existing,

    /// Only say what would be done, and what would be deleted; nothing is written and no data is read
    #[arg(long)]
    dry_run: bool,

    /// Only entries that match this pattern, and the directories to them; may be repeated
    #[arg(long, value_name = "GLOB")]
    include: Vec<String>,

    /// No entries that match this pattern; may be repeated
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,

    /// Restore the later of two entries whose names the target cannot tell apart, as `README` and `readme` where case does
    /// not count, as NAME~1
    #[arg(long)]
    rename_collisions: bool,

    /// Do not restore owners
    #[arg(long)]
    no_owner: bool,

    /// Do not restore modes
    #[arg(long)]
    no_permissions: bool,

    /// Do not restore modification times
    #[arg(long)]
    no_times: bool,

    /// End with exit code 4 if the target did not take an owner, mode or time; without it that is a warning
    #[arg(long)]
    strict_attributes: bool,

    /// Make holes of runs of zeros
    #[arg(long, value_name = "YES|NO", num_args = 0..=1, require_equals = true, default_value = "true",
          default_missing_value = "true", action = clap::ArgAction::Set, value_parser = clap::builder::BoolishValueParser::new())]
    sparse: bool,

    /// Hash every content that is read, those of directories and manifests too, and compare it with its name
    #[arg(long)]
    verify: bool,

    /// Read what every pack says of itself, because index blobs are lost; snapshots deleted long ago may be found as well
    #[arg(long)]
    use_recovered_index: bool,

    /// Refuse where a newer snapshot than the chosen one may exist: in a pack that no index names, or behind a damaged or
    /// missing index
    #[arg(long)]
    strict: bool,

    /// Stop at the first entry that cannot be restored
    #[arg(long, conflicts_with = "ignore_errors")]
    fail_fast: bool,

    /// End with exit code 0 even if entries could not be restored; they are named and counted all the same
    #[arg(long)]
    ignore_errors: bool,

    /// Force each file to disk before it appears under its name
    #[arg(long)]
    fsync: bool,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Existing {
    #[default]
    Always,
    IfChanged,
    Never,
}

impl From<Existing> for Overwrite {
    fn from(existing: Existing) -> Self {
        match existing {
            Existing::Always => Self::Always,
            Existing::IfChanged => Self::IfChanged,
            Existing::Never => Self::Never,
        }
    }
}

impl Args {
    pub(in crate::front::cli) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let filter = Filter::new(&self.include, &self.exclude)
            .map_err(|e| Failure::wrong_usage(format!("a pattern cannot be understood: {e}")))?;
        if self.target.as_os_str().is_empty() {
            return Err(wrong_value("TARGET", "", "a path"));
        }
        // What takes the place of a directory, or would, is looked at from above.
        let above =
            std::path::absolute(&self.target).ok().and_then(|target| target.parent().map(PathBuf::from));
        let context = context.listing(&above).hashing(self.verify);
        let context = &match self.dry_run {
            true => context.reading([&self.target]),
            false => context.spilling_beside(&self.target).writing([&self.target]),
        };
        let restore = |place: &Place<'_>| self.restore(context, filter, place);
        match self.use_recovered_index {
            true => at_recovered(context, &self.reference, restore),
            false => at(context, &self.reference, restore),
        }
    }

    fn restore(&self, context: &Context, filter: Filter, place: &Place<'_>) -> Result<Exit, Failure> {
        let Place { contents, entry, found, .. } = place;
        if let Some(reason) = found.newer.as_ref().filter(|_| self.strict) {
            let what = format!("a newer snapshot than {} may exist, and --strict was given", found.root);
            return Err(refuse(&what, reason));
        }
        let hashed = Hashed::new(contents);
        let again = match found.snapshot().filter(|_| self.verify) {
            // The way to the entry was read without hashing it.
            Some(snapshot) => {
                let tree = Tree::of_snapshot(&hashed, snapshot).map_err(from)?;
                Some(tree.entry(&found.path).map_err(from)?)
            }
            None => None,
        };
        let entry = again.as_ref().unwrap_or(entry);
        let clean_up = CleanUp::new();
        let reporter = Reporter::new(context);
        let result = Restore::new(contents, entry)
            .snapshot(found.root.to_string())
            .memory(context.memory_for_data(contents)?)
            .threads(context.threads)
            .reads(context.reads.unwrap_or(contents.store().hints().reads))
            .overwrite(self.overwrite.into())
            .filter(filter)
            .rename_collisions(self.rename_collisions)
            .delete(self.delete)
            .delta(self.delta)
            .skip_existing(self.skip_existing)
            .dry_run(self.dry_run)
            .owner(!self.no_owner)
            .permissions(!self.no_permissions)
            .times(!self.no_times)
            .sparse(self.sparse)
            .verify(self.verify)
            .fail_fast(self.fail_fast)
            .fsync(self.fsync)
            .cancel(clean_up.flag())
            .run(&self.target, &reporter);
        reporter.finish();
        let summary = result
            .map_err(|error| Failure::from(Error::from(error)).snapshot(&found.root).during("restoring"))?;

        let mut out = Output::new();
        if context.json {
            out.json(&Restored { summary: &summary, newer_may_exist: found.newer.is_some() })?;
        } else if !context.quiet {
            out.line(escape(&text(&summary, self.dry_run)))?;
        }
        out.finish()?;
        if !summary.refused.is_empty() {
            tracing::warn!("{} [attributes-refused]", summary.refused);
        }
        let exact = summary.refused.is_empty() || !self.strict_attributes;
        let whole = exact && (summary.error_count == 0 || self.ignore_errors);
        Ok(if whole { Exit::Done } else { Exit::Partial })
    }
}

fn text(summary: &Summary, dry_run: bool) -> String {
    let Summary { files, dirs, symlinks, bytes, fetched_bytes, skipped, deleted, error_count, .. } = summary;
    let mut text = format!(
        "{} {files} files, {dirs} directories and {symlinks} links ({}) to {} in {}, {} fetched",
        if dry_run { "would restore" } else { "restored" },
        human_size(*bytes),
        summary.target.display(),
        human_duration(Duration::from_secs_f64(summary.seconds.max(0.0))),
        human_size(*fetched_bytes),
    );
    for (count, what) in [(skipped, "left as they were"), (deleted, "deleted"), (error_count, "not restored")]
    {
        if *count > 0 {
            text += &format!(", {count} {what}");
        }
    }
    text
}
