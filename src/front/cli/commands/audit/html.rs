//! The audit as one HTML file that needs nothing else.

use std::fmt::Write as _;

use super::stores::Comparison;
use crate::audit::{Audit, Severity, SourceAudit};
use crate::front::cli::units::{human_duration, human_size, human_time, short_age};
use crate::snapshot::UtcTimestamp;
use crate::text::escape_html as text;

const STYLE: &str = "\
:root{color-scheme:light dark;--ok:#2a8a4a;--critical:#c02d2d;--warning:#b07a10;--notice:#4a6a9a;--line:#8885}\
body{font:16px/1.5 system-ui,sans-serif;max-width:80rem;margin:0 auto;padding:1rem}\
h1{display:inline-block;color:#fff;padding:.2rem .8rem;border-radius:.4rem}\
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.3rem .6rem;\
border-bottom:1px solid var(--line)}code{overflow-wrap:anywhere}b{color:#fff;padding:0 .4rem;border-radius:.3rem}\
.ok{background:var(--ok)}.critical{background:var(--critical)}.warning{background:var(--warning)}\
.notice{background:var(--notice)}footer{opacity:.7}";

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
    let worst = match (audit.worst(), compared.is_good()) {
        (Some(Severity::Critical), _) => "critical",
        (worst, false) if worst < Some(Severity::Warning) => "warning",
        (worst, _) => worst.filter(|worst| *worst > Severity::Notice).map_or("ok", Severity::as_str),
    };
    let places: Vec<String> =
        compared.stores.iter().map(|store| format!("<code>{}</code>", text(&store.location))).collect();
    write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{worst}: backups</title>\
         <style>{STYLE}</style></head><body>\n<h1 class=\"{worst}\">{worst}</h1>\n<p>{}, audited on {}.</p>\n",
        places.join(", "),
        text(&human_time(now))
    )?;
    if !complete {
        out.push_str("<p>The list of snapshots may be incomplete.</p>\n");
    }
    for store in &compared.stores {
        if let Some(problem) = &store.problem {
            let (location, message) = (text(&store.location), text(&problem.message));
            writeln!(out, "<p><b class=\"critical\">critical</b> {location}: {message}</p>")?;
        }
    }
    for finding in compared.health().map(|health| health.findings(now)).unwrap_or_default() {
        let severity = finding.severity().as_str();
        let (message, cure) = (text(&finding.to_string()), text(finding.cure()));
        writeln!(out, "<p><b class=\"{severity}\">{severity}</b> {message}: {cure}</p>")?;
    }
    out.push_str(
        "<table><thead><tr><th>State</th><th>Source</th><th>Snapshots</th><th>Age</th><th>Most</th><th>Size</th>\
         <th>Findings</th></tr></thead><tbody>\n",
    );
    for source in &audit.sources {
        row(source, compared, now, out)?;
    }
    let version = env!("CARGO_PKG_VERSION");
    writeln!(out, "</tbody></table>\n<footer>rokopia {version}</footer></body></html>")
}

fn row(source: &SourceAudit, compared: &Comparison, now: UtcTimestamp, out: &mut String) -> std::fmt::Result {
    let state = source.worst().map_or("ok", Severity::as_str);
    let newest = source.newest.as_ref();
    let age = newest.map_or_else(|| "-".to_owned(), |newest| short_age(newest.time, now));
    let size =
        newest.and_then(|newest| u64::try_from(newest.size).ok()).map_or_else(|| "-".to_owned(), human_size);
    let limit = source.limit.map_or_else(|| "-".to_owned(), |limit| human_duration(limit.age));
    write!(
        out,
        "<tr><td><b class=\"{state}\">{state}</b></td><td><code>{}</code></td><td>{}</td><td>{age}</td><td>{limit}</td>\
         <td>{size}</td><td>",
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
