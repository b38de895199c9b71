//! Completion of what is typed at a shell: options and their values by the parser's own definitions, and snapshots, sources
//! and paths by what the repository has.
//!
//! A person waits, so that nothing here asks for a password, and what takes too long is left out.

use std::ffi::OsStr;
use std::sync::mpsc::channel;
use std::time::Duration;

use clap_complete::CompleteEnv;
use clap_complete::engine::CompletionCandidate;

use super::args::Global;
use super::context::Context;
use super::reference::{Resolved, resolve};
use super::session::Session;
use super::tree::open_found;
use super::units::table_time;
use super::usage;
use crate::snapshot::Snapshots;
use crate::text::counted;

/// Set by the scripts that `rokopia completions` prints, to the name of the shell.
const VARIABLE: &str = "ROKOPIA_COMPLETE";

/// What a person at a shell waits for.
const PATIENCE: Duration = Duration::from_millis(2500);

/// Snapshots offered of each source.
const MAX_SNAPSHOTS: usize = 20;

/// The script for a shell.
pub(super) fn script(shell: &str) -> std::io::Result<Vec<u8>> {
    let shells = clap_complete::env::Shells::builtins();
    let found = shells.completer(shell).ok_or_else(|| std::io::Error::other("an unknown shell"))?;
    let mut script = Vec::new();
    found.write_registration(VARIABLE, "rokopia", "rokopia", "rokopia", &mut script)?;
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
    let typed = typed.to_string_lossy().into_owned();
    in_time(move |session| matching(source_candidates(&session.snapshots), &typed))
}

/// Candidates for a reference: `latest`, sources, snapshot IDs, and after a slash the entries of a directory.
pub(super) fn references(typed: &OsStr) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy().into_owned();
    in_time(move |session| {
        let mut candidates = source_candidates(&session.snapshots);
        candidates.push(("latest".into(), "the newest complete snapshot".into()));
        let digits = session.snapshots.unique_digits();
        for (source, group) in session.snapshots.groups() {
            for snapshot in group.iter().rev().take(MAX_SNAPSHOTS) {
                let id = super::output::short_id(snapshot.id.as_str(), digits).to_owned();
                candidates.push((id, format!("{}, {source}", table_time(snapshot.start_time))));
            }
        }
        let mut found = matching(candidates, &typed);
        if found.is_empty() {
            found = entries(session, &typed).unwrap_or_default();
        }
        found
    })
}

/// The entries of the directory that is typed so far.
fn entries(session: &mut Session, typed: &str) -> Option<Vec<CompletionCandidate>> {
    let (directory, _) = typed.rsplit_once('/')?;
    let Resolved::Found { .. } = resolve(&session.snapshots, directory, &jiff::Zoned::now()) else {
        return None;
    };
    let found = session.find(directory).ok()?;
    let contents = session.contents().ok()?;
    let tree = open_found(session, &contents, directory, &found).ok()?;
    let entry = tree.entry(&found.path).ok()?;
    let mut candidates = Vec::new();
    for entry in tree.directory(&entry, &found.path).ok()?.flatten() {
        let slash = if entry.is_directory() { "/" } else { "" };
        candidates.push((format!("{directory}/{}{slash}", entry.raw_name), String::new()));
    }
    Some(matching(candidates, typed))
}

fn source_candidates(snapshots: &Snapshots) -> Vec<(String, String)> {
    let sources = snapshots.groups().into_iter();
    sources.map(|(source, group)| (source.to_string(), counted(group.len() as u64, "snapshot"))).collect()
}

fn matching(candidates: Vec<(String, String)>, typed: &str) -> Vec<CompletionCandidate> {
    let matching = candidates.into_iter().filter(|(text, _)| text.starts_with(typed));
    matching.map(|(text, help)| CompletionCandidate::new(text).help(Some(help.into()))).collect()
}

/// What the repository that the environment names has to offer, unless that takes too long.
fn in_time(
    ask: impl FnOnce(&mut Session) -> Vec<CompletionCandidate> + Send + 'static,
) -> Vec<CompletionCandidate> {
    let (send, answer) = channel();
    let work = move || {
        let global = Global { quiet: true, ..Global::default() };
        let context = Context::new(&global).ok()?;
        let mut session = Session::open_quietly(&context).ok()?;
        send.send(ask(&mut session)).ok()
    };
    let _ = std::thread::Builder::new().name("complete".into()).spawn(work);
    answer.recv_timeout(PATIENCE).unwrap_or_default()
}
