//! The audit as one HTML file that needs nothing else.

use std::fmt::Write as _;

use super::state;
use super::stores::Comparison;
use crate::audit::{Audit, Severity, SourceAudit};
use crate::front::cli::page;
use crate::front::cli::units::{human_size, human_span, human_time, short_age};
use crate::snapshot::UtcTimestamp;
use crate::text::escape_html as text;

/// The colour of a finding.
fn class(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "bad",
        Severity::Warning => "part",
        Severity::Notice => "note",
    }
}

/// The whole document.
pub(super) fn html(audit: &Audit, complete: bool, compared: &Comparison, now: UtcTimestamp) -> String {
    let mut page = String::new();
    // Writing to a string does not fail.
    let _ = document(audit, complete, compared, now, &mut page);
    page
}

fn document(
    audit: &Audit,
    complete: bool,
    compared: &Comparison,
    now: UtcTimestamp,
    out: &mut String,
) -> std::fmt::Result {
    let found = match compared.is_good() {
        true => audit.worst(),
        false => audit.worst().max(Some(Severity::Warning)),
    };
    let found = found.filter(|worst| *worst > Severity::Notice);
    let (colour, worst) = found.map_or(("good", "ok"), |worst| (class(worst), worst.as_str()));
    let places: Vec<String> =
        compared.stores.iter().map(|store| format!("<code>{}</code>", text(&store.location))).collect();
    page::begin(out, &format!("{worst}: backups"), colour, worst)?;
    writeln!(out, "<p>{}, audited on {}.</p>", places.join(", "), text(&human_time(now)))?;
    if !complete {
        out.push_str("<p>The list of snapshots may be incomplete.</p>\n");
    }
    for store in &compared.stores {
        if let Some(problem) = &store.problem {
            let (location, message) = (text(&store.location), text(&problem.message));
            writeln!(out, "<p><b class=\"bad\">critical</b> {location}: {message}</p>")?;
        }
    }
    for finding in compared.health().map(|health| health.findings(now)).unwrap_or_default() {
        let (colour, severity) = (class(finding.severity()), finding.severity().as_str());
        let (message, cure) = (text(&finding.to_string()), text(finding.cure()));
        writeln!(out, "<p><b class=\"{colour}\">{severity}</b> {message}: {cure}</p>")?;
    }
    out.push_str(
        "<table><thead><tr><th>State</th><th>Source</th><th class=\"n\">Snapshots</th><th class=\"n\">Age</th>\
         <th class=\"n\">Max age</th><th class=\"n\">Size</th><th>Findings</th></tr></thead><tbody>\n",
    );
    for source in &audit.sources {
        row(source, compared, now, out)?;
    }
    let version = env!("CARGO_PKG_VERSION");
    writeln!(out, "</tbody></table>\n<footer>rokopia {version}</footer></body></html>")
}

fn row(source: &SourceAudit, compared: &Comparison, now: UtcTimestamp, out: &mut String) -> std::fmt::Result {
    let unjudged = if source.is_age_unjudged() { "note" } else { "good" };
    let (colour, state) = (source.worst().map_or(unjudged, class), state(source));
    let newest = source.newest.as_ref();
    let age = newest.map_or_else(|| "-".to_owned(), |newest| short_age(newest.time, now));
    let size =
        newest.and_then(|newest| u64::try_from(newest.size).ok()).map_or_else(|| "-".to_owned(), human_size);
    let limit = source.limit.map_or_else(|| "-".to_owned(), |limit| human_span(limit.age));
    write!(
        out,
        "<tr><td><b class=\"{colour}\">{state}</b></td><td><code>{}</code></td><td class=\"n\" data-of=\"Snapshots\">{}</td>\
         <td class=\"n\" data-of=\"Age\">{age}</td><td class=\"n\" data-of=\"Max age\">{limit}</td>\
         <td class=\"n\" data-of=\"Size\">{size}</td><td>",
        text(&source.source.to_string()),
        source.snapshots
    )?;
    for finding in &source.findings {
        write!(out, "<p>{}: {}</p>", text(&finding.to_string()), text(finding.cure()))?;
    }
    let stores = compared.sources.iter().filter(|compared| compared.source == source.source);
    for (at, finding) in stores.flat_map(|stores| &stores.findings) {
        let place = compared.stores.get(*at).map_or("", |store| store.location.as_str());
        write!(out, "<p><code>{}</code>: {finding}: {}</p>", text(place), text(finding.cure()))?;
    }
    out.push_str("</td></tr>\n");
    Ok(())
}
