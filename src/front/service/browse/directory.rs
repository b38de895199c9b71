//! A directory of a snapshot, and a file as far as it is text.

use std::fmt::Write;
use std::sync::Arc;

use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::library::Opened;
use super::{Trouble, Visit, allowed, from_tree, html, links, tree};
use crate::front::service::page::{day, size};
use crate::snapshot::{DirEntry, EntryType, Snapshot};
use crate::text::{counted, escape_bytes, escape_html, human_size, permissions};

/// Entries on a page.
const PAGE: usize = 1000;

/// Of a text, this much is shown.
const SHOWN: usize = 64 << 10;

#[derive(Deserialize)]
pub(super) struct Asked {
    /// Show the entries behind this one.
    after: Option<String>,
}

pub(super) async fn root(
    visit: Visit,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Trouble> {
    page(visit, id, String::new(), asked).await
}

pub(super) async fn below(
    visit: Visit,
    Path((id, path)): Path<(String, String)>,
    Query(asked): Query<Asked>,
) -> Result<Response, Trouble> {
    page(visit, id, path, asked).await
}

async fn page(visit: Visit, id: String, path: String, asked: Asked) -> Result<Response, Trouble> {
    let viewer = visit.viewer.clone();
    let (title, body) = visit
        .read(move |opened| {
            let snapshot = allowed(&viewer, opened.snapshot(&id)?)?;
            let entry = tree(opened, &snapshot)?.entry(&path).map_err(from_tree)?;
            let title = path.rsplit('/').find(|part| !part.is_empty()).unwrap_or("/").to_owned();
            let mut body = format!("{}<h1>{}</h1>", html::trail(&snapshot, &path), escape_html(&title));
            if !snapshot.is_complete() {
                let why = escape_html(snapshot.incomplete.as_str());
                let _ = write!(
                    body,
                    "<p class=\"warn\">The snapshot is incomplete ({why}): files may be missing.</p>"
                );
            }
            body.push_str(&actions(opened, &snapshot, &path, &entry)?);
            match entry.kind {
                EntryType::Directory => {
                    list(&mut body, opened, &snapshot, &path, &entry, asked.after.as_deref())?
                }
                EntryType::File => text(&mut body, opened, &entry)?,
                EntryType::Symlink => {
                    let target = tree(opened, &snapshot)?.link_target(&entry, &path).map_err(from_tree)?;
                    let _ = write!(body, "<p>A symbolic link to {}</p>", escape_html(&escape_bytes(&target)));
                }
                EntryType::Unknown => body.push_str("<p>Its type is not known.</p>"),
            }
            Ok((title, body))
        })
        .await?;
    Ok(html::page(StatusCode::OK, &title, Some(&visit.viewer), &body))
}

/// What can be done with it, and the same path in the snapshots before and after.
fn actions(
    opened: &Opened,
    snapshot: &Arc<Snapshot>,
    path: &str,
    entry: &DirEntry,
) -> Result<String, Trouble> {
    let id = snapshot.id.as_str();
    let mut items = Vec::new();
    match entry.kind {
        EntryType::Directory => {
            items.push((links::at("archive/tar", id, path), "Download as tar"));
            items.push((links::at("archive/zip", id, path), "Download as zip"));
        }
        EntryType::File => items.push((links::at("file", id, path), "Download")),
        EntryType::Symlink | EntryType::Unknown => {}
    }
    items.push((links::history(id, path), "History"));
    let all = opened.snapshots_with(id)?.of(&snapshot.found_as);
    let at = all.iter().position(|other| other.id == snapshot.id);
    let neighbour = |at: Option<usize>| at.and_then(|at| all.iter().nth(at));
    if let Some(older) = neighbour(at.and_then(|at| at.checked_sub(1))) {
        items.push((links::at("snapshot", older.id.as_str(), path), "In the snapshot before"));
    }
    if let Some(newer) = neighbour(at.map(|at| at + 1)) {
        items.push((links::at("snapshot", newer.id.as_str(), path), "In the snapshot after"));
    }
    let items =
        items.iter().map(|(href, name)| format!("<li><a href=\"{}\">{name}</a></li>", escape_html(href)));
    Ok(format!("<ul class=\"actions\">{}</ul>", items.collect::<String>()))
}

fn list(
    body: &mut String,
    opened: &Opened,
    snapshot: &Snapshot,
    path: &str,
    entry: &DirEntry,
    after: Option<&str>,
) -> Result<(), Trouble> {
    let id = snapshot.id.as_str();
    let entries = opened.vfs.entries_of(entry)?;
    let from = after.map_or(0, |after| entries.partition_point(|entry| *entry.name <= *after));
    let left = entries.len() - from;
    let _ = write!(body, "<p class=\"dim\">{}", counted(entries.len() as u64, "entry/entries"));
    if left < entries.len() || left > PAGE {
        let _ = write!(body, ", {} to {} shown", from + 1, from + left.min(PAGE));
    }
    body.push_str(
        "</p><table class=\"list\"><thead><tr><th>Name</th><th class=\"n\">Size</th><th class=\"n\">Modified</th><th>Mode</th>\
         <th class=\"n\">Owner</th></tr></thead><tbody>",
    );
    for listed in entries.iter().skip(from).take(PAGE) {
        let Some(entry) = listed.entry() else { continue };
        let slash = if entry.is_directory() { "/" } else { "" };
        let (bytes, mtime) = entry.kopia_size_and_mtime();
        let size = if entry.kind == EntryType::Symlink { "link".to_owned() } else { size(bytes) };
        let _ = write!(
            body,
            "<tr><td class=\"name\"><a href=\"{}\">{}{slash}</a></td><td class=\"n\">{size}</td><td class=\"n\">{}</td><td>\
             <code>{}</code></td><td class=\"n\">{}:{}</td></tr>",
            links::at("snapshot", id, &format!("{path}/{}", listed.name)),
            escape_html(&listed.name),
            day(mtime),
            permissions(entry.mode.to_posix()),
            entry.uid,
            entry.gid,
        );
    }
    body.push_str("</tbody></table>");
    if left > PAGE
        && let Some(last) = entries.get(from + PAGE - 1)
    {
        let here = links::at("snapshot", id, path);
        let _ = write!(
            body,
            "<p><a href=\"{here}?after={}\" rel=\"next\">Next</a></p>",
            links::encode(&last.name)
        );
    }
    Ok(())
}

fn text(body: &mut String, opened: &Opened, entry: &DirEntry) -> Result<(), Trouble> {
    let _ = write!(
        body,
        "<p>{}, modified {}, <code>{}</code>, {}:{}</p>",
        human_size(entry.size),
        day(entry.mtime),
        permissions(entry.mode.to_posix()),
        entry.uid,
        entry.gid
    );
    let bytes = opened.vfs.open_entry(entry)?.read_at(0, SHOWN)?;
    let Some(text) = as_text(&bytes) else {
        body.push_str("<p class=\"dim\">It is not text.</p>");
        return Ok(());
    };
    let more = if (bytes.len() as u64) < entry.size {
        format!("<p class=\"dim\">The first {} are shown.</p>", human_size(bytes.len() as u64))
    } else {
        String::new()
    };
    let _ = write!(body, "{more}<pre tabindex=\"0\">");
    for line in text.split_inclusive('\n') {
        body.push_str(&escape_html(line.trim_end_matches('\n')));
        if line.ends_with('\n') {
            body.push('\n');
        }
    }
    body.push_str("</pre>");
    Ok(())
}

/// The bytes as text, if they are: a character may be cut at their end.
pub(super) fn as_text(bytes: &[u8]) -> Option<&str> {
    if bytes.contains(&0) {
        return None;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(bytes.get(..error.valid_up_to())?).ok()
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::as_text;

    #[test]
    fn text_is_told_from_data() {
        assert_eq!(as_text("grün".as_bytes()), Some("grün"));
        assert_eq!(as_text(&"grü".as_bytes()[..3]), Some("gr"), "cut in a character");
        assert_eq!(as_text(b"a\0b"), None);
        assert_eq!(as_text(b"a\xffb"), None);
    }
}
