//! Files by name, in all snapshots of a source.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::fmt::Write;
use std::hash::BuildHasher;
use std::time::{Duration, Instant};

use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::Response;
use globset::{GlobBuilder, GlobMatcher};
use serde::Deserialize;

use super::library::Opened;
use super::{Trouble, Visit, allowed, html, links, sources, tree};
use crate::front::service::page::{day, size};
use crate::snapshot::{DirEntry, UtcTimestamp};
use crate::text::{counted, escape_html};

/// Paths shown.
const MOST: usize = 300;

/// A search ends after this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Directories and paths that are remembered.
const MAX_REMEMBERED: usize = 1 << 20;

#[derive(Deserialize)]
pub(super) struct Asked {
    of: String,
    name: String,
}

/// A path, in the newest snapshot that has it.
struct Found {
    path: String,
    entry: DirEntry,
    snapshot: String,
    time: UtcTimestamp,
}

/// What a search came to.
#[derive(Default)]
struct Search {
    found: Vec<Found>,
    /// Why there may be more.
    ended: Option<&'static str>,
    unreadable: u64,
}

pub(super) async fn page(visit: Visit, Query(asked): Query<Asked>) -> Result<Response, Trouble> {
    let view = visit.view()?;
    let state = sources::source(&visit, &view, &asked.of)?;
    let (viewer, name) = (visit.viewer.clone(), Name::parse(&asked.name)?);
    // The newest first: what it has is not looked for in those before.
    let ids: Vec<_> = state.snapshots().iter().rev().map(|snapshot| snapshot.id.to_string()).collect();
    let search = visit.read(move |opened| search(opened, &viewer, &ids, &name)).await?;
    let mut body = format!(
        "<nav aria-label=\"Path\"><ol class=\"trail\"><li><a href=\"{}\">{}</a></li></ol></nav><h1>{}</h1>{}",
        links::source(state.source()),
        escape_html(&asked.of),
        counted(search.found.len() as u64, "path"),
        html::search_form(&asked.of, &asked.name)
    );
    if let Some(why) = search.ended {
        let _ = write!(body, "<p class=\"warn\">There may be more: {why}.</p>");
    }
    if search.unreadable > 0 {
        let count = counted(search.unreadable, "directory/directories");
        let _ = write!(body, "<p class=\"bad\">{count} could not be read: there may be more.</p>");
    }
    body.push_str(
        "<table class=\"list\"><thead><tr><th>Path</th><th class=\"n\">Size</th><th class=\"n\">Modified</th><th>Newest snapshot \
         with it</th><th>History</th></tr></thead><tbody>",
    );
    for Found { path, entry, snapshot, time } in &search.found {
        let (bytes, mtime) = entry.kopia_size_and_mtime();
        let slash = if entry.is_directory() { "/" } else { "" };
        let _ = write!(
            body,
            "<tr><td class=\"name\"><a href=\"{}\">{}{slash}</a></td><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td>\
             <td><a href=\"{}\">all versions</a></td></tr>",
            links::at("snapshot", snapshot, path),
            escape_html(path),
            size(bytes),
            day(mtime),
            day(*time),
            escape_html(&links::history(snapshot, path)),
        );
    }
    body.push_str("</tbody></table>");
    Ok(html::page(StatusCode::OK, &format!("Search for {}", asked.name), Some(&visit.viewer), &body))
}

fn search(opened: &Opened, viewer: &super::Viewer, ids: &[String], wanted: &Name) -> Result<Search, Trouble> {
    let ends = Instant::now() + PATIENCE;
    let (keys, mut known) = (RandomState::new(), HashSet::new());
    let mut search = Search::default();
    for id in ids {
        let snapshot = match opened.snapshot(id) {
            Ok(snapshot) => allowed(viewer, snapshot)?,
            // It was deleted since the list was made.
            Err(Trouble::NotFound) => continue,
            Err(trouble) => return Err(trouble),
        };
        let Ok(tree) = tree(opened, &snapshot) else { continue };
        let Ok(mut walk) = tree.walk("") else { continue };
        while let Some(item) = walk.next() {
            if Instant::now() > ends {
                search.ended = Some("the search took too long, and older snapshots were not looked into");
                return Ok(search);
            }
            let Ok(found) = item else {
                search.unreadable += 1;
                continue;
            };
            let (path, entry) = (found.path, found.entry);
            // A directory that a newer snapshot has as it is holds nothing new.
            let directory = entry.is_directory().then_some(entry.object);
            if !path.is_empty() && directory.is_some() {
                let is_new = known.len() >= MAX_REMEMBERED || known.insert(keys.hash_one((&path, directory)));
                if !is_new {
                    walk.skip_directory();
                }
            }
            let name = path.rsplit('/').next().unwrap_or(&path);
            if path.is_empty() || !wanted.matches(name) {
                continue;
            }
            if known.len() < MAX_REMEMBERED && !known.insert(keys.hash_one(&path)) {
                continue;
            }
            if search.found.len() >= MOST {
                search.ended = Some("a more exact name finds less");
                return Ok(search);
            }
            let (snapshot, time) = (id.clone(), snapshot.start_time);
            search.found.push(Found { path, entry, snapshot, time });
        }
    }
    Ok(search)
}

/// What a name must be like.
enum Name {
    Glob(GlobMatcher),
    /// A part of it, whatever its case.
    Part(String),
}

impl Name {
    fn parse(text: &str) -> Result<Self, Trouble> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Trouble::Usage("A name to look for is missing."));
        }
        if !text.contains(['*', '?', '[', '{']) {
            return Ok(Self::Part(text.to_lowercase()));
        }
        let glob = GlobBuilder::new(text).case_insensitive(true).build();
        let glob = glob.map_err(|_| Trouble::Usage("The name is not a valid pattern."))?;
        Ok(Self::Glob(glob.compile_matcher()))
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Glob(glob) => glob.is_match(name),
            Self::Part(part) => name.to_lowercase().contains(part),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Name;

    #[test]
    fn names_match_in_part_or_by_pattern() {
        let matches = |wanted: &str, name: &str| Name::parse(wanted).unwrap().matches(name);
        assert!(matches("conf", "App.CONF") && matches("ÜBER", "über.txt"));
        assert!(matches("*.conf", "app.Conf") && !matches("*.conf", "app.conf.bak"));
        assert!(Name::parse(" ").is_err() && Name::parse("[").is_err());
    }
}
