//! What changed between two versions of a text file.

use std::fmt::Write;
use std::time::{Duration, Instant};

use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use similar::{ChangeTag, TextDiff};

use super::directory::as_text;
use super::library::Opened;
use super::{Trouble, Visit, allowed, from_tree, html, tree};
use crate::front::service::page::day;
use crate::snapshot::{DirEntry, EntryType, Snapshot};
use crate::text::{escape_html, human_size};

/// Larger files are not compared line by line.
const MOST: u64 = 1 << 20;

/// After this long the comparison becomes coarser.
const PATIENCE: Duration = Duration::from_secs(3);

/// Lines shown around a change.
const CONTEXT: usize = 3;

#[derive(Deserialize)]
pub(super) struct Asked {
    old: String,
    new: String,
    path: String,
}

pub(super) async fn page(visit: Visit, Query(asked): Query<Asked>) -> Result<Response, Trouble> {
    let viewer = visit.viewer.clone();
    let title = format!("Changes of {}", asked.path);
    let heading = title.clone();
    let body = visit
        .read(move |opened| {
            let old = allowed(&viewer, opened.snapshot(&asked.old)?)?;
            let new = allowed(&viewer, opened.snapshot(&asked.new)?)?;
            let mut body = format!("{}<h1>{}</h1>", html::trail(&new, &asked.path), escape_html(&heading));
            let (before, after) = (file(opened, &old, &asked.path)?, file(opened, &new, &asked.path)?);
            for (name, snapshot, entry) in [("Old", &old, &before), ("New", &new, &after)] {
                let _ = write!(
                    body,
                    "<p>{name}: snapshot of {}, {}, modified {}</p>",
                    day(snapshot.start_time),
                    human_size(entry.size),
                    day(entry.mtime)
                );
            }
            if before.object == after.object {
                body.push_str("<p>The content is the same.</p>");
                return Ok(body);
            }
            if before.size.max(after.size) > MOST {
                let most = human_size(MOST);
                let _ =
                    write!(body, "<p>Files of more than {most} are not compared here: download both.</p>");
                return Ok(body);
            }
            let (before, after) = (whole(opened, &before)?, whole(opened, &after)?);
            match (as_text(&before), as_text(&after)) {
                (Some(before), Some(after)) => lines(&mut body, before, after),
                _ => body.push_str("<p>The content is not the same, and it is not text.</p>"),
            }
            Ok(body)
        })
        .await?;
    Ok(html::page(StatusCode::OK, &title, Some(&visit.viewer), &body))
}

fn file(opened: &Opened, snapshot: &Snapshot, path: &str) -> Result<DirEntry, Trouble> {
    let entry = tree(opened, snapshot)?.entry(path).map_err(from_tree)?;
    if entry.kind == EntryType::File { Ok(entry) } else { Err(Trouble::Usage("only files are compared")) }
}

fn whole(opened: &Opened, entry: &DirEntry) -> Result<Vec<u8>, Trouble> {
    Ok(opened.vfs.open_entry(entry)?.read_at(0, MOST as usize)?)
}

/// Added and removed lines, each with a sign of its own: colour says nothing more.
fn lines(body: &mut String, old: &str, new: &str) {
    let diff = TextDiff::configure().deadline(Instant::now() + PATIENCE).diff_lines(old, new);
    body.push_str("<pre tabindex=\"0\">");
    for group in diff.grouped_ops(CONTEXT) {
        if let (Some(first), Some(last)) = (group.first(), group.last()) {
            let range = |from: usize, to: usize| format!("{},{}", from + 1, to - from);
            let old = range(first.old_range().start, last.old_range().end);
            let new = range(first.new_range().start, last.new_range().end);
            let _ = writeln!(body, "<span class=\"at\">@@ -{old} +{new} @@</span>");
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let line = escape_html(change.value().trim_end_matches('\n'));
            let _ = match change.tag() {
                ChangeTag::Insert => writeln!(body, "<ins>+{line}</ins>"),
                ChangeTag::Delete => writeln!(body, "<del>-{line}</del>"),
                ChangeTag::Equal => writeln!(body, " {line}"),
            };
        }
    }
    body.push_str("</pre>");
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines_are_marked_and_escaped() {
        let mut body = String::new();
        super::lines(&mut body, "a\n<b>\nc\n", "a\n<i>\nc\n");
        assert_eq!(
            body,
            "<pre tabindex=\"0\"><span class=\"at\">@@ -1,3 +1,3 @@</span>\n a\n<del>-&lt;b&gt;</del>\n\
             <ins>+&lt;i&gt;</ins>\n c\n</pre>"
        );
    }
}
