//! Completion of what is typed at a shell: options and their values by the parser's own definitions, and snapshots, sources
//! and paths by what the repository has.
//!
//! A person waits, so that nothing here asks for a password, and what takes too long is left out. The names of sources and
//! snapshots are kept for a short time in a file that only this user can read; nothing of what they hold is.

use std::ffi::OsStr;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::{Duration, SystemTime};

use clap_complete::CompleteEnv;
use clap_complete::engine::CompletionCandidate;
use serde::{Deserialize, Serialize};

use super::args::Global;
use super::context::Context;
use super::open_repository::OpenRepository;
use super::reference::{Resolved, resolve};
use super::tree::open_found;
use super::units::table_time;
use super::usage;
use crate::blob::WritablePath;
use crate::snapshot::Snapshots;
use crate::text::counted;

/// Set by the scripts that `rokopia completions` prints, to the name of the shell.
const VARIABLE: &str = "ROKOPIA_COMPLETE";

/// What a person at a shell waits for.
const PATIENCE: Duration = Duration::from_millis(2500);

/// Names younger than this are offered without asking the repository. Older ones are where it does not answer in time.
const FRESH: Duration = Duration::from_secs(120);

/// Names older than this are no use.
const OLD: Duration = Duration::from_secs(24 * 3600);

/// What a file of names is read up to.
const MAX_CACHE: u64 = 8 << 20;

/// Snapshots offered of each source.
const MAX_SNAPSHOTS: usize = 20;

/// The script for a shell.
pub(super) fn script(shell: &str) -> std::io::Result<Vec<u8>> {
    let shells = clap_complete::env::Shells::builtins();
    let found = shells.completer(shell).ok_or_else(|| std::io::Error::other("an unknown shell"))?;
    let mut script = Vec::new();
    found.write_registration(VARIABLE, "rokopia", "rokopia", "rokopia", &mut script)?;
    if shell == "bash" {
        script.extend_from_slice(include_bytes!("complete.bash"));
    }
    Ok(script)
}

/// Answers a shell that asks what could be typed. False where none asks.
pub(super) fn answer() -> bool {
    if std::env::var_os(VARIABLE).is_none() {
        return false;
    }
    CompleteEnv::with_factory(usage::completed).var(VARIABLE).complete();
    true
}

/// Candidates for a source.
pub(super) fn sources(typed: &OsStr) -> Vec<CompletionCandidate> {
    matching(&names().sources, &typed.to_string_lossy())
}

/// Candidates for a reference: `latest`, sources, snapshot IDs, and after a slash the entries of a directory.
pub(super) fn references(typed: &OsStr) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy().into_owned();
    let names = names();
    let mut found = matching(&names.sources, &typed);
    found.extend(matching(&names.snapshots, &typed));
    if typed.starts_with('/') {
        found.extend(matching(&names.paths(), &typed));
    }
    if found.is_empty() && typed.contains('/') {
        let entries = in_time(move |repo| entries(repo, &typed).unwrap_or_default());
        found = entries.unwrap_or_default();
    }
    found
}

/// Names that can be typed, each with a few words about it.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Names {
    sources: Vec<(String, String)>,
    snapshots: Vec<(String, String)>,
}

impl Names {
    fn of(snapshots: &Snapshots) -> Self {
        let digits = snapshots.unique_digits();
        let (mut sources, mut listed) = (Vec::new(), Vec::new());
        listed.push(("latest".to_owned(), "the newest complete snapshot".to_owned()));
        for (source, group) in snapshots.groups() {
            sources.push((source.to_string(), counted(group.len() as u64, "snapshot")));
            for snapshot in group.iter().rev().take(MAX_SNAPSHOTS) {
                let id = super::output::short_id(snapshot.id.as_str(), digits).to_owned();
                listed.push((id, format!("{}, {source}", table_time(snapshot.start_time))));
            }
        }
        Self { sources, snapshots: listed }
    }

    /// The absolute paths of sources, which name them as well where there is one user and host.
    fn paths(&self) -> Vec<(String, String)> {
        let path = |(source, _): &(String, String)| {
            let (_, path) = source.split_once(":/")?;
            Some((format!("/{path}"), source.clone()))
        };
        self.sources.iter().filter_map(path).collect()
    }
}

/// The names in the repository that the environment names: those kept of late, else those it has, else older ones.
fn names() -> Names {
    let cache = cache();
    let kept = |limit| cache.as_deref().and_then(|cache| read(cache, limit));
    if let Some(names) = kept(FRESH) {
        return names;
    }
    let guarded = |repo: &mut OpenRepository| (Names::of(&repo.snapshots), repo.repository.store().guard());
    match in_time(guarded) {
        Some((names, guard)) => {
            // Completion works without.
            if let Some(path) = cache.as_deref().and_then(|cache| guard.writable(cache).ok()) {
                let _ = write(&path, &names);
            }
            names
        }
        None => kept(OLD).unwrap_or_default(),
    }
}

/// Where the names of this repository are kept, by a number that says nothing of where it is.
fn cache() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || set("HOME").map(|home| home.join(".cache"));
    let directory = set("XDG_CACHE_HOME").or_else(home).filter(|directory| directory.is_absolute())?;
    let mut hasher = DefaultHasher::new();
    // All that may decide which repository it is.
    for name in ["ROKOPIA_REPOSITORY", "KOPIA_REPOSITORY", "KOPIA_CONFIG_PATH"] {
        std::env::var_os(name).hash(&mut hasher);
    }
    std::env::current_dir().ok().hash(&mut hasher);
    Some(directory.join("rokopia").join(format!("names-{:016x}.json", hasher.finish())))
}

fn read(cache: &Path, limit: Duration) -> Option<Names> {
    let metadata = fs::symlink_metadata(cache).ok().filter(fs::Metadata::is_file)?;
    let age = SystemTime::now().duration_since(metadata.modified().ok()?).ok()?;
    if age > limit || metadata.len() > MAX_CACHE {
        return None;
    }
    serde_json::from_slice(&fs::read(cache).ok()?).ok()
}

fn write(cache: &WritablePath, names: &Names) -> std::io::Result<()> {
    let json = serde_json::to_vec(names)?;
    cache.create_private_parent()?;
    let suffix = format!(".new{}", std::process::id());
    cache.replace_by_way_of(&suffix, 0o600, |file| file.write_all(&json))
}

/// The entries of the directory that is typed so far.
fn entries(repo: &mut OpenRepository, typed: &str) -> Option<Vec<CompletionCandidate>> {
    let (directory, _) = typed.rsplit_once('/')?;
    let Resolved::Found { .. } = resolve(&repo.snapshots, directory, &jiff::Zoned::now()) else {
        return None;
    };
    let found = repo.find(directory).ok()?;
    let contents = repo.contents().ok()?;
    let tree = open_found(repo, &contents, directory, &found).ok()?;
    let entry = tree.entry(&found.path).ok()?;
    let mut candidates = Vec::new();
    for entry in tree.directory(&entry, &found.path).ok()?.flatten() {
        let slash = if entry.is_directory() { "/" } else { "" };
        candidates.push((format!("{directory}/{}{slash}", entry.raw_name), String::new()));
    }
    Some(matching(&candidates, typed))
}

fn matching(candidates: &[(String, String)], typed: &str) -> Vec<CompletionCandidate> {
    let matching = candidates.iter().filter(|(text, _)| text.starts_with(typed));
    matching.map(|(text, help)| CompletionCandidate::new(text).help(Some(help.clone().into()))).collect()
}

/// What the repository that the environment names has to offer, unless that takes too long.
fn in_time<T: Send + 'static>(ask: impl FnOnce(&mut OpenRepository) -> T + Send + 'static) -> Option<T> {
    let (send, answer) = channel();
    let work = move || {
        let global = Global { quiet: true, ..Global::default() };
        let context = Context::new(&global).ok()?;
        let mut repo = OpenRepository::open_quietly(&context).ok()?;
        send.send(ask(&mut repo)).ok()
    };
    let _ = std::thread::Builder::new().name("complete".into()).spawn(work);
    answer.recv_timeout(PATIENCE).ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::blob::Guard;

    #[test]
    fn names_are_kept_for_this_user_alone() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("rokopia/names-0.json");
        let writable = Guard::new(tempfile::tempdir().unwrap().path()).unwrap().writable(&cache).unwrap();
        assert_eq!(read(&cache, OLD), None);
        let names = Names { sources: vec![("u@h:/p".into(), "1 snapshot".into())], ..Names::default() };
        write(&writable, &names).unwrap();
        write(&writable, &names).unwrap();
        assert_eq!(read(&cache, OLD), Some(names));
        assert_eq!(read(&cache, Duration::ZERO), None);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&cache), mode(cache.parent().unwrap())), (0o600, 0o700));
        fs::write(&cache, "no names").unwrap();
        assert_eq!(read(&cache, OLD), None);
    }
}
