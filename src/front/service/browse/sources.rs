//! The sources, and the snapshots of one of them.

use std::fmt::Write;

use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::{Trouble, Visit, html, links};
use crate::checker::{SnapshotInfo, SourceState, View};
use crate::front::service::page::{ago, day, figure, size, verification};
use crate::front::service::timeline;
use crate::front::service::v1::{audited, findings};
use crate::front::service::verified::{SnapshotVerdict, Verified};
use crate::snapshot::UtcTimestamp;
use crate::text::{counted, escape_html};

pub(super) async fn all(visit: Visit) -> Result<Response, Trouble> {
    let view = visit.view()?;
    let now = visit.app.checker.now().utc();
    let seen: Vec<_> =
        view.sources().iter().filter(|state| visit.viewer.scope.may_see(state.source())).collect();
    let mut body = format!("<h1>{}</h1>", counted(seen.len() as u64, "source"));
    body.push_str(
        "<table class=\"list\"><thead><tr><th>Source</th><th class=\"n\">Newest complete</th><th class=\"n\">Snapshots</th>\
         <th class=\"n\">Size</th></tr></thead><tbody>",
    );
    for state in seen {
        let newest = state.newest_complete();
        let _ = write!(
            body,
            "<tr><td class=\"name\"><a href=\"{}\">{}</a></td><td class=\"n\">{}</td><td class=\"n\">{}</td><td \
             class=\"n\">{}</td></tr>",
            links::source(state.source()),
            escape_html(&state.source().to_string()),
            newest.map_or("never".to_owned(), |snapshot| ago(snapshot.start, now)),
            figure(state.snapshots().len() as u64, "snapshot"),
            newest.map(|newest| size(newest.size)).unwrap_or_default(),
        );
    }
    body.push_str("</tbody></table>");
    Ok(html::page(StatusCode::OK, "Sources", Some(&visit.viewer), &body))
}

#[derive(Deserialize)]
pub(super) struct Asked {
    of: String,
}

pub(super) async fn one(visit: Visit, Query(asked): Query<Asked>) -> Result<Response, Trouble> {
    let view = visit.view()?;
    let now = visit.app.checker.now().utc();
    let state = source(&visit, &view, &asked.of)?;
    let name = state.source().to_string();
    let verified = match visit.app.config.verify_report.clone() {
        Some(path) => Some(Verified::read(path).await),
        None => None,
    };
    let mut body = format!("<h1>{}</h1>{}", escape_html(&name), html::search_form(&name, ""));
    let _ = write!(body, "<p>Verified: {}</p>", verification(verified.as_ref(), now));
    let audit = audited(&view, now, visit.app.config.stale_after);
    for found in findings(&audit).iter().filter(|found| found.source == name) {
        let (message, code) = (escape_html(&found.message), found.code);
        let _ = write!(body, "<p class=\"warn\">{message} <code>{code}</code></p>");
    }
    body.push_str(&timeline::svg(state, now));
    body.push_str(
        "<table class=\"list\"><thead><tr><th>Snapshot</th><th class=\"n\">Age</th><th class=\"n\">Files</th><th \
         class=\"n\">Size</th><th>State</th></tr></thead><tbody>",
    );
    let verified = verified.as_ref().and_then(|verified| verified.as_ref().ok());
    for snapshot in state.snapshots().iter().rev() {
        let _ = write!(
            body,
            "<tr><td class=\"name\"><a href=\"{}\">{}</a></td><td class=\"n\">{}</td><td class=\"n\">{}</td><td \
             class=\"n\">{}</td><td>{}</td></tr>",
            links::at("snapshot", snapshot.id.as_str(), ""),
            day(snapshot.start),
            ago(snapshot.start, now),
            figure(snapshot.files.unsigned_abs(), "file"),
            size(snapshot.size),
            condition(snapshot, verified, now),
        );
    }
    body.push_str("</tbody></table>");
    Ok(html::page(StatusCode::OK, &name, Some(&visit.viewer), &body))
}

/// The source of that name, if the viewer may see it.
pub(super) fn source<'v>(visit: &Visit, view: &'v View, name: &str) -> Result<&'v SourceState, Trouble> {
    let named = |state: &&SourceState| state.source().to_string() == name;
    let state = view.sources().iter().find(named).ok_or(Trouble::NotFound)?;
    if visit.viewer.scope.may_see(state.source()) { Ok(state) } else { Err(Trouble::NotFound) }
}

/// What is known of a snapshot beside its figures.
fn condition(snapshot: &SnapshotInfo, verified: Option<&Verified>, now: UtcTimestamp) -> String {
    let mut known = Vec::new();
    if !snapshot.is_complete() {
        known.push(format!("<span class=\"warn\">incomplete: {}</span>", escape_html(&snapshot.incomplete)));
    }
    if snapshot.start.clock_problem(now).is_some() {
        known.push("<span class=\"warn\">from the future</span>".to_owned());
    }
    if snapshot.errors > 0 {
        let errors = counted(snapshot.errors.unsigned_abs(), "entry/entries");
        known.push(format!("<span class=\"warn\">{errors} not saved</span>"));
    }
    known.push(match verified.and_then(|verified| verified.snapshot(snapshot.id.as_str())) {
        Some(SnapshotVerdict::Damaged(paths)) => {
            format!("<span class=\"bad\">{} lost</span>", counted(paths, "path"))
        }
        Some(SnapshotVerdict::Verified) => "<span class=\"good\">verified</span>".to_owned(),
        Some(SnapshotVerdict::NoDamageKnown) => "<span class=\"dim\">no damage known</span>".to_owned(),
        None => "<span class=\"dim\">not verified</span>".to_owned(),
    });
    known.join(", ")
}
