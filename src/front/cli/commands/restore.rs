//! `rokopia restore`: a tree into a directory.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use clap_complete::engine::ArgValueCompleter;
use serde::Serialize;

use crate::Error;
use crate::content::Hashed;
use crate::front::cli::complete;
use crate::front::cli::context::{Context, wrong_value};
use crate::front::cli::doubts::refuse;
use crate::front::cli::failure::{Exit, Failure};
use crate::front::cli::open_repository::Found;
use crate::front::cli::output::{Output, escape};
use crate::front::cli::progress::Reporter;
use crate::front::cli::tree::{Place, at, at_recovered, from};
use crate::front::cli::units::{ago, human_size, human_span, human_time};
use crate::os::signals::CleanUp;
use crate::os::users;
use crate::restore::{self, Filter, FilterBuilder, Overwrite, OwnerMap, Restore, Summary};
use crate::snapshot::{NO_ID, Tree, UtcTimestamp};
use crate::text::counted;

/// What JSON says of a restore.
#[derive(Serialize)]
struct Restored<'a> {
    #[serde(flatten)]
    summary: &'a Summary,
    /// Whether another snapshot could have been meant that is not listed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    newer_may_exist: bool,
}

/// Restore a snapshot, or a part of it
#[derive(Debug, clap::Args)]
#[command(
    after_long_help = "\
The target is created if it is missing. Nothing in it changes before the snapshot and its root directory are read. A file \
appears under its name only when it is complete, so it is always safe to run the command again. An entry that cannot be \
restored is named, and the exit code is 4.

--existing decides about files that are there already:
  update     (default) a file with the right size and modification time is kept,
             and gets the right owner and mode; others are replaced. After an
             interruption the same command continues where it stopped.
  compare    files are read and compared with the snapshot, and only what
             differs is fetched and written, in place. A file whose new data
             then cannot be read is lost.
  replace    all files are replaced.
  keep       all files are kept, whatever they contain.

Patterns of --include and --exclude:
  *.conf          every entry whose name ends in .conf, at any depth
  /etc            the entry etc at the top, with everything below it
  /var/*/log      log in each directory of var: * and ? stay within one name
  /home/**/.ssh   .ssh at any depth below home: ** crosses directories
  [a-c]*, {x,y}   character classes and alternatives

With --include, only what matches is restored, and the directories that lead to it. --exclude takes precedence. With --delete, \
what is excluded is kept.

Examples:
  rokopia restore latest /srv/data
  rokopia restore data-demo@apps:/data@2026-11-20 /srv/data --delete
  rokopia restore latest /srv/data --existing compare    fetch only what differs
  rokopia restore latest/etc /tmp/etc --include '*.conf' --exclude /ssl
  rokopia restore c0bc0a/dump.sql /tmp/dump.sql",
    after_help = "\
The target is created if it is missing. Nothing in it changes before the snapshot and its root directory are read. A file \
appears under its name only when it is complete, so it is always safe to run the command again. An entry that cannot be \
restored is named, and the exit code is 4.

Examples:
  rokopia restore latest /srv/data
  rokopia restore data-demo@apps:/data@2026-11-20 /srv/data --delete
  rokopia restore latest /srv/data --existing compare    fetch only what differs
  rokopia restore latest/etc /tmp/etc --include '*.conf' --exclude /ssl
  rokopia restore c0bc0a/dump.sql /tmp/dump.sql"
)]
#[expect(clippy::struct_excessive_bools, reason = "each is one option of the command")]
pub(in crate::front::cli) struct Args {
    /// Snapshot, source or object, and a path in it
    #[arg(value_name = "REF", add = ArgValueCompleter::new(complete::references))]
    reference: String,

    /// Where to restore to. A directory is restored into this directory; a file gets this name, or goes into this
    /// directory if it exists or is written with a slash at the end
    #[arg(value_name = "TARGET")]
    target: PathBuf,

    /// Delete entries that the snapshot does not have, once everything else is in place; other file systems mounted below
    /// TARGET and lost+found at its root stay
    #[arg(long)]
    delete: bool,

    /// Delete even if TARGET is /, or is or contains somebody's home directory, which --delete alone refuses
    #[arg(long, requires = "delete")]
    delete_anywhere: bool,

    /// What to do with files that exist: update, compare, replace or keep; --help explains them
    #[arg(long, value_enum, value_name = "HOW", conflicts_with_all = ["delta", "skip_existing", "overwrite"])]
    existing: Option<Existing>,

    /// The same as --existing compare
    #[arg(long, hide = true)]
    delta: bool,

    /// The same as --existing update
    #[arg(long, hide = true)]
    skip_existing: bool,

    /// The same as --existing replace (always) and --existing keep (never)
    #[arg(long, value_enum, hide = true, value_name = "WHICH")]
    overwrite: Option<Replaced>,

    /// Only list what would be new, updated, unchanged and deleted, as -v does during a restore; nothing is written and
    /// no data is read
    #[arg(long)]
    dry_run: bool,

    /// Restore only what matches this pattern; may be repeated
    #[arg(long, value_name = "GLOB")]
    include: Vec<String>,

    /// Leave out what matches this pattern; may be repeated
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,

    /// As --include, ignoring the case of letters
    #[arg(long, value_name = "GLOB")]
    iinclude: Vec<String>,

    /// As --exclude, ignoring the case of letters
    #[arg(long, value_name = "GLOB")]
    iexclude: Vec<String>,

    /// Restore only the paths in this file, one a line, or ended by NUL bytes; - for standard input
    #[arg(long, value_name = "FILE")]
    files_from: Option<PathBuf>,

    /// If the target cannot tell two names apart, such as `README` and `readme` where case does not count, restore the
    /// second one as NAME~1
    #[arg(long)]
    rename_collisions: bool,

    /// Do not restore owners
    #[arg(long)]
    no_owner: bool,

    /// Restore what belongs to FROM as belonging to TO. Users and groups are names or numbers: `1000:1000=568:568`,
    /// `postgres=999`, `:100=:users`; `*:*=568:568` is for all others; may be repeated
    #[arg(long, value_name = "FROM=TO", conflicts_with = "no_owner")]
    owner_map: Vec<String>,

    /// Do not restore modes
    #[arg(long)]
    no_permissions: bool,

    /// Do not restore modification times
    #[arg(long)]
    no_times: bool,

    /// End with exit code 4 if the target did not take an owner, mode or time; without this option, that is only a
    /// warning
    #[arg(long)]
    strict_attributes: bool,

    /// Write runs of zeros as holes
    #[arg(long, value_name = "YES|NO", num_args = 0..=1, require_equals = true, default_value = "true",
          default_missing_value = "true", action = clap::ArgAction::Set, value_parser = clap::builder::BoolishValueParser::new())]
    sparse: bool,

    /// Hash every content that is read, including those of directories and manifests, and compare it with its ID
    #[arg(long)]
    verify: bool,

    /// Use the indexes inside the packs, because index blobs are lost; snapshots that were deleted long ago may reappear
    #[arg(long)]
    use_recovered_index: bool,

    /// Refuse if a newer snapshot than the chosen one may exist, in a pack that no index names or behind a damaged or
    /// missing index
    #[arg(long)]
    strict: bool,

    /// Stop at the first entry that cannot be restored
    #[arg(long, conflicts_with = "ignore_errors")]
    fail_fast: bool,

    /// End with exit code 0 even if entries could not be restored; they are still named and counted
    #[arg(long)]
    ignore_errors: bool,

    /// Force each file to disk before it appears under its name
    #[arg(long)]
    fsync: bool,
}

/// What happens to files that exist already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Existing {
    /// Keep files with the right size and modification time, replace others
    #[default]
    Update,
    /// Read files, and fetch and write only what differs
    Compare,
    /// Replace all files
    Replace,
    /// Keep all files, right or not
    Keep,
}

/// The older spelling of [`Existing`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Replaced {
    Always,
    IfChanged,
    Never,
}

impl Args {
    pub(in crate::front::cli) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let filter = self.filter()?;
        let owners = owners(&self.owner_map)?;
        if self.target.as_os_str().is_empty() {
            return Err(wrong_value("TARGET", "", "a path"));
        }
        if self.delete && !self.delete_anywhere {
            // Later a sandbox hides who has a home.
            restore::may_delete_in(&self.target).map_err(|e| Failure::from(Error::from(e)))?;
        }
        // What takes the place of a directory, or would, is looked at from above.
        let above =
            std::path::absolute(&self.target).ok().and_then(|target| target.parent().map(PathBuf::from));
        let context = context.listing(&above).hashing(self.verify);
        let context = &match self.dry_run {
            true => context.reading([&self.target]),
            false => context.spilling_beside(&self.target).writing([&self.target]),
        };
        let restore = |place: &Place<'_>| self.restore(context, filter, owners, place);
        match self.use_recovered_index {
            true => at_recovered(context, &self.reference, restore),
            false => at(context, &self.reference, restore),
        }
    }

    fn restore(
        &self,
        context: &Context,
        filter: Filter,
        owners: OwnerMap,
        place: &Place<'_>,
    ) -> Result<Exit, Failure> {
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
        let lists = (self.dry_run || context.verbose) && !context.json && !context.quiet;
        let reporter = Reporter::new(context, lists);
        self.announce(found);
        let restore = self.with_existing(Restore::new(contents, entry));
        let result = restore
            .snapshot(found.root.to_string())
            .memory(context.memory_for_data(contents)?)
            .threads(context.threads)
            .reads(context.reads.unwrap_or(contents.store().hints().reads))
            .filter(filter.clone())
            .rename_collisions(self.rename_collisions)
            .delete(self.delete)
            .delete_anywhere(self.delete_anywhere)
            .dry_run(self.dry_run)
            .owner(!self.no_owner)
            .owners(owners)
            .permissions(!self.no_permissions)
            .times(!self.no_times)
            .sparse(self.sparse)
            .verify(self.verify)
            .fail_fast(self.fail_fast)
            .fsync(self.fsync)
            .cancel(clean_up.flag())
            .run(&self.target, &reporter);
        let listed = reporter.finish();
        let summary = result
            .map_err(|error| Failure::from(Error::from(error)).snapshot(&found.root).during("restoring"))?;

        listed.map_err(Failure::output)?;
        if !summary.stopped {
            for pattern in filter.unmatched() {
                tracing::warn!("{pattern:?} matches nothing in the snapshot");
            }
        }
        let mut out = Output::new();
        if context.json {
            out.json_report(
                context.stats(),
                &Restored { summary: &summary, newer_may_exist: found.newer.is_some() },
            )?;
        } else if !context.quiet {
            out.line(escape(&text(&summary, self.dry_run)))?;
        }
        out.finish()?;
        if !summary.refused.is_empty() {
            tracing::warn!("{} [attributes-refused]", summary.refused);
        }
        let exact = summary.refused.is_empty() || !self.strict_attributes;
        if summary.error_count > 0 && context.quiet {
            // The line that counts them is not printed.
            tracing::error!("{} could not be restored", counted(summary.error_count, "entry/entries"));
        }
        let whole = exact && (summary.error_count == 0 || self.ignore_errors);
        Ok(if whole { Exit::Done } else { Exit::Partial })
    }
}

impl Args {
    fn filter(&self) -> Result<Filter, Failure> {
        let mut builder = Filter::builder();
        builder = self.include.iter().fold(builder, FilterBuilder::include);
        builder = self.iinclude.iter().fold(builder, FilterBuilder::include_ignoring_case);
        builder = self.exclude.iter().fold(builder, FilterBuilder::exclude);
        builder = self.iexclude.iter().fold(builder, FilterBuilder::exclude_ignoring_case);
        if let Some(path) = &self.files_from {
            let list = read_list(path)
                .map_err(|e| Failure::wrong_usage(format!("--files-from {}: {e}", path.display())))?;
            let end = if list.contains('\0') { '\0' } else { '\n' };
            builder = builder.paths(list.split(end).filter(|path| !path.is_empty()));
        }
        builder.build().map_err(|e| Failure::wrong_usage(format!("invalid pattern: {e}")))
    }

    /// Says what was chosen before anything is done with it.
    fn announce(&self, found: &Found) {
        let doing = if self.dry_run { "would restore" } else { "restoring" };
        let part = if found.path.is_empty() { String::new() } else { format!("{} of ", found.path) };
        let target = std::path::absolute(&self.target).unwrap_or_else(|_| self.target.clone());
        match found.snapshot() {
            Some(snapshot) => tracing::info!(
                "{doing} {part}{}, snapshot {} of {}, {}, to {}",
                snapshot.source,
                snapshot.id,
                human_time(snapshot.start_time),
                ago(snapshot.start_time, UtcTimestamp::now()),
                target.display()
            ),
            None => tracing::info!("{doing} {part}object {} to {}", found.root, target.display()),
        }
    }

    fn with_existing<'a>(&self, restore: Restore<'a>) -> Restore<'a> {
        if self.delta || self.skip_existing || self.overwrite.is_some() {
            let overwrite = match self.overwrite {
                None | Some(Replaced::Always) => Overwrite::Always,
                Some(Replaced::IfChanged) => Overwrite::IfChanged,
                Some(Replaced::Never) => Overwrite::Never,
            };
            return restore.overwrite(overwrite).delta(self.delta).skip_existing(self.skip_existing);
        }
        match self.existing.unwrap_or_default() {
            Existing::Update => restore.skip_existing(true),
            Existing::Compare => restore.delta(true),
            Existing::Replace => restore.overwrite(Overwrite::Always),
            Existing::Keep => restore.overwrite(Overwrite::Never),
        }
    }
}

/// Understands `--owner-map`: names are those of this machine.
fn owners(rules: &[String]) -> Result<OwnerMap, Failure> {
    rules.iter().try_fold(OwnerMap::new(), |map, rule| {
        let wrong = |why: &str| wrong_value("--owner-map", rule, why);
        let (from, to) = rule.split_once('=').ok_or_else(|| wrong("FROM=TO"))?;
        let ((user, group), (to_user, to_group)) = (halves(from), halves(to));
        if (user.is_empty(), group.is_empty()) != (to_user.is_empty(), to_group.is_empty()) {
            return Err(wrong("a user for a user and a group for a group"));
        }
        let no_user = || wrong("a user of this machine, or its number");
        let no_group = || wrong("a group of this machine, or its number");
        let map = match (user, to_user) {
            ("", _) => map,
            ("*", to) => map.other_users(user_id(to).ok_or_else(no_user)?),
            (from, to) => map.user(user_id(from).ok_or_else(no_user)?, user_id(to).ok_or_else(no_user)?),
        };
        Ok(match (group, to_group) {
            ("", _) => map,
            ("*", to) => map.other_groups(group_id(to).ok_or_else(no_group)?),
            (from, to) => map.group(group_id(from).ok_or_else(no_group)?, group_id(to).ok_or_else(no_group)?),
        })
    })
}

/// User and group.
fn halves(owner: &str) -> (&str, &str) {
    owner.split_once(':').unwrap_or((owner, ""))
}

fn user_id(user: &str) -> Option<u32> {
    user.parse().ok().or_else(|| users::user_named(user)).filter(|id| *id != NO_ID)
}

fn group_id(group: &str) -> Option<u32> {
    group.parse().ok().or_else(|| users::group_named(group)).filter(|id| *id != NO_ID)
}

fn read_list(path: &Path) -> std::io::Result<String> {
    if path == Path::new("-") {
        return std::io::read_to_string(std::io::stdin());
    }
    std::fs::read_to_string(path)
}

fn text(summary: &Summary, dry_run: bool) -> String {
    let Summary { files, dirs, symlinks, bytes, fetched_bytes, skipped, deleted, error_count, .. } = summary;
    let kinds =
        [(*dirs, "directory/directories"), (*symlinks, "link")].into_iter().filter(|(count, _)| *count > 0);
    let others: String = kinds.map(|(count, name)| format!(", {}", counted(count, name))).collect();
    let mut text = format!(
        "{} {}{others} ({}) to {} in {}, {} fetched",
        if dry_run { "would restore" } else { "restored" },
        counted(*files, "file"),
        human_size(*bytes),
        summary.target.display(),
        human_span(Duration::from_secs_f64(summary.seconds.max(0.0))),
        human_size(*fetched_bytes),
    );
    for (count, what) in [(skipped, "unchanged"), (deleted, "deleted"), (error_count, "not restored")] {
        if *count > 0 {
            text += &format!(", {count} {what}");
        }
    }
    text
}
