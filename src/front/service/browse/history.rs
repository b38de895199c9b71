//! When a path appeared, changed and vanished.

use std::fmt::Write;

use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::{Trouble, Visit, allowed, html, links};
use crate::front::service::page::{day, size};
use crate::snapshot::EntryType;
use crate::snapshot::history::{Change, History};
use crate::text::escape_html;

#[derive(Deserialize)]
pub(super) struct Asked {
    snapshot: String,
    #[serde(default)]
    path: String,
}

pub(super) async fn page(visit: Visit, Query(asked): Query<Asked>) -> Result<Response, Trouble> {
    let viewer = visit.viewer.clone();
    let title = format!("History of {}", if asked.path.is_empty() { "/" } else { &asked.path });
    let heading = title.clone();
    let body = visit
        .read(move |opened| {
            let snapshots = opened.snapshots_with(&asked.snapshot)?;
            let named = allowed(&viewer, snapshots.get(&asked.snapshot).cloned().ok_or(Trouble::NotFound)?)?;
            let complete = snapshots.of(&named.found_as).complete();
            let mut body = format!("{}<h1>{}</h1>", html::trail(&named, &asked.path), escape_html(&heading));
            let mut changes = Vec::new();
            for change in History::new(&opened.source, complete.iter().cloned(), &asked.path) {
                match change {
                    Ok(change) => changes.push(change),
                    Err(error) => {
                        let (message, code) = (escape_html(&error.to_string()), error.code());
                        let _ = write!(body, "<p class=\"bad\">{message} <code>{code}</code></p>");
                    }
                }
            }
            if changes.is_empty() {
                body.push_str("<p>No complete snapshot of this source has it.</p>");
                return Ok(body);
            }
            table(&mut body, &changes, &asked.path);
            Ok(body)
        })
        .await?;
    Ok(html::page(StatusCode::OK, &title, Some(&visit.viewer), &body))
}

/// The newest change first.
fn table(body: &mut String, changes: &[Change], path: &str) {
    body.push_str(
        "<table class=\"list\"><thead><tr><th>Snapshot</th><th>Change</th><th class=\"n\">Size</th><th class=\"n\">Modified\
         </th><th>Compare</th></tr></thead><tbody>",
    );
    for (at, change) in changes.iter().enumerate().rev() {
        let id = change.snapshot.id.as_str();
        let before = at.checked_sub(1).and_then(|at| changes.get(at));
        let aspects: Vec<_> = change.kind.aspects().iter().map(|aspect| aspect.as_str()).collect();
        let aspects = if aspects.is_empty() { String::new() } else { format!(" ({})", aspects.join(", ")) };
        let entry = change.entry.as_ref();
        let time = day(change.snapshot.start_time);
        let link = match entry {
            Some(_) => format!("<a href=\"{}\">{time}</a>", links::at("snapshot", id, path)),
            None => time,
        };
        let is_file =
            |change: &Change| change.entry.as_ref().is_some_and(|entry| entry.kind == EntryType::File);
        let compare =
            before.filter(|before| is_file(before) && is_file(change)).map_or_else(String::new, |before| {
                let href = escape_html(&links::compare(before.snapshot.id.as_str(), id, path));
                format!("<a href=\"{href}\">with the version before</a>")
            });
        let figures = entry.map(|entry| entry.kopia_size_and_mtime());
        let _ = write!(
            body,
            "<tr><td class=\"name\">{link}</td><td>{}{aspects}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{compare}\
             </td></tr>",
            change.kind.as_str(),
            figures.map_or_else(String::new, |(bytes, _)| size(bytes)),
            figures.map_or_else(String::new, |(_, mtime)| day(mtime)),
        );
    }
    body.push_str("</tbody></table>");
}
