//! The report as one HTML file that needs nothing else.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::words::{self, Words};
use crate::front::cli::page;
use crate::text::{counted, escape_html as text};
use crate::verify::{Damage, Report, SnapshotState, Verdict};

/// Lost paths listed for one damage; JSON has all.
const PATHS: usize = 500;

/// The whole document.
pub(super) fn html(report: &Report) -> String {
    let mut page = String::new();
    // Writing to a string does not fail.
    let _ = document(report, &mut page);
    page
}

fn document(report: &Report, out: &mut String) -> std::fmt::Result {
    let Words { verdict, meaning, figures } = Words::of(report);
    let class = match report.result {
        Verdict::Clean => "good",
        Verdict::Damaged => "bad",
        Verdict::Incomplete => "part",
    };
    let place = text(&report.repository);
    page::begin(out, &format!("{verdict}: {place}"), class, verdict)?;
    writeln!(
        out,
        "<p>{place}, verified on {}: {}.</p><p>{}.</p>",
        words::when(report.started),
        text(&meaning),
        text(&figures)
    )?;
    list(out, "What to do", &words::advice(report).iter().map(|line| text(line)).collect::<Vec<_>>())?;
    coverage(report, out)?;
    damages(out, "damage", "What is damaged", &report.damage)?;
    sources(report, out)?;
    let mended: Vec<String> = report
        .ecc
        .repairs
        .iter()
        .map(|blob| {
            let offsets: Vec<String> = blob.offsets.iter().take(10).map(ToString::to_string).collect();
            format!("<code>{}</code>: {} places, from {}", text(&blob.blob), blob.places, offsets.join(", "))
        })
        .collect();
    list(out, "Mended by error correction, but still wrong on the disk", &mended)?;
    damages(out, "unneeded", "Wrong, but no snapshot needs it", &report.unneeded)?;
    let notes = words::foreign(report)
        .into_iter()
        .chain(words::unsaved(report))
        .chain(report.warnings.iter().cloned());
    list(out, "Notes", &notes.map(|line| text(&line)).collect::<Vec<_>>())?;
    let version = env!("CARGO_PKG_VERSION");
    writeln!(out, "<footer>rokopia {version}, level {}</footer></body></html>", report.level)
}

/// How much of the repository is proved, as a bar.
fn coverage(report: &Report, out: &mut String) -> std::fmt::Result {
    let coverage = &report.coverage;
    let share = |part: u64| 1000.0 * part as f64 / coverage.bytes.max(1) as f64;
    let proved = share(coverage.verified_bytes).min(1000.0);
    let now = share(coverage.read_bytes.min(coverage.verified_bytes)).min(proved);
    writeln!(
        out,
        "<h2>Coverage</h2><svg id=\"coverage\" viewBox=\"0 0 1000 24\" width=\"100%\" height=\"24\" \
         preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{:.1} % proved\">\
         <rect class=\"u\" width=\"1000\" height=\"24\"/><rect class=\"g\" width=\"{proved:.1}\" height=\"24\" \
         opacity=\".55\"/><rect class=\"g\" width=\"{now:.1}\" height=\"24\"/></svg>\
         <p>{:.1} % of the stored bytes are proved, {:.1} % by this run.</p>",
        proved / 10.0,
        proved / 10.0,
        now / 10.0
    )
}

fn damages(out: &mut String, id: &str, heading: &str, items: &[Damage]) -> std::fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "<h2>{heading}</h2><table id=\"{id}\"><thead><tr><th>code<th>what<th>lost by it</tr></thead><tbody>"
    )?;
    for group in Damage::grouped(items) {
        let also =
            if group.count > 1 { format!(" ({} more of this blob)", group.count - 1) } else { String::new() };
        write!(
            out,
            "<tr><td><code>{}</code><td>{}{also}<td>",
            text(&group.first.code),
            text(&group.first.detail)
        )?;
        if !group.paths.is_empty() {
            let more = if group.more_paths { " or more" } else { "" };
            let count = counted(group.paths.len() as u64, "path");
            write!(out, "<details><summary>{count}{more}</summary>")?;
            for path in group.paths.iter().take(PATHS) {
                let presumed = path.named_by.as_ref().map(|_| " (presumably)").unwrap_or_default();
                write!(
                    out,
                    "<div>{} <code>{}</code>{presumed}</div>",
                    text(&path.snapshot),
                    text(&path.path)
                )?;
            }
            if group.paths.len() > PATHS {
                write!(out, "<div>… the JSON report has all</div>")?;
            }
            write!(out, "</details>")?;
        }
        writeln!(out, "</tr>")?;
    }
    writeln!(out, "</tbody></table>")
}

/// The snapshots of each source as a row of marks, oldest first.
fn sources(report: &Report, out: &mut String) -> std::fmt::Result {
    let mut sources: BTreeMap<&str, Vec<&SnapshotState>> = BTreeMap::new();
    for snapshot in &report.snapshots {
        sources.entry(&snapshot.source).or_default().push(snapshot);
    }
    let proved = report.proves_snapshots();
    // Where no trees were walked, nothing is known of snapshots but what damage tells.
    if sources.is_empty() || (!report.walks_trees() && report.lost_paths() == 0) {
        return Ok(());
    }
    let heading = if proved { "newest whole" } else { "newest without known damage" };
    writeln!(
        out,
        "<h2>Snapshots</h2><table id=\"snapshots\"><thead><tr><th>source<th>oldest to newest<th>{heading}</tr></thead><tbody>"
    )?;
    for (source, snapshots) in sources {
        let width = 14 * snapshots.len();
        write!(
            out,
            "<tr><td>{}<td><svg width=\"{width}\" height=\"14\" viewBox=\"0 0 {width} 14\" preserveAspectRatio=\"none\">",
            text(source)
        )?;
        for (at, snapshot) in snapshots.iter().enumerate() {
            let (class, state) = match (snapshot.whole, snapshot.complete) {
                (false, _) => ("b", "damaged"),
                (true, true) if proved => ("g", "whole"),
                (true, true) => ("u", "no damage known"),
                (true, false) => ("i", "incomplete"),
            };
            let (x, id, time) = (14 * at, text(&snapshot.id), words::when(snapshot.time));
            let title = format!("{id} of {time}: {state}, {} lost", counted(snapshot.damaged_paths, "path"));
            write!(
                out,
                "<rect class=\"{class}\" x=\"{x}\" width=\"12\" height=\"14\"><title>{title}</title></rect>"
            )?;
        }
        let id = report.newest_whole.get(source);
        let newest = id.and_then(|id| snapshots.iter().find(|snapshot| snapshot.id == *id));
        let newest = newest.map_or_else(
            || "none".to_owned(),
            |snapshot| format!("<code>{}</code> of {}", text(&snapshot.id), words::when(snapshot.time)),
        );
        writeln!(out, "</svg><td data-of=\"{heading}:\">{newest}</tr>")?;
    }
    writeln!(out, "</tbody></table>")
}

/// A list whose items are HTML already.
fn list(out: &mut String, heading: &str, items: &[String]) -> std::fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    writeln!(out, "<h2>{heading}</h2><ul>")?;
    for item in items {
        writeln!(out, "<li>{item}</li>")?;
    }
    writeln!(out, "</ul>")
}
