//! `/v1/`: what the service knows, beyond the one question. Described in `openapi.json`.
//!
//! All of it comes from the view in memory and says how old that is; only a *no* of `/v1/snapshots?source=` is asked again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State as Extract};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::app::App;
use super::http::{json, text};
use super::stores::{Compared, compared};
use crate::audit::{self, Expectations, Finding, StoreFinding};
use crate::checker::{Candidates, Reason, SnapshotInfo, SourceState, State, Suspect, View};
use crate::front::rows::{self, SourceRow};
use crate::gojson::duration::GoDuration;
use crate::snapshot::{AskedSource, Period, Source, UtcTimestamp};

/// The description of all routes.
pub(super) const OPENAPI: &str = include_str!("openapi.json");

pub(super) async fn openapi() -> Response {
    text(StatusCode::OK, "application/json", OPENAPI)
}

#[derive(Serialize)]
struct Problem<'a> {
    code: &'a str,
    message: &'a str,
}

impl<'a> From<&'a Reason> for Problem<'a> {
    fn from(reason: &'a Reason) -> Self {
        Self { code: reason.code(), message: reason.message() }
    }
}

#[derive(Serialize)]
struct Failed<'a> {
    error: Problem<'a>,
}

fn failed(status: StatusCode, code: &str, message: &str) -> Response {
    json(status, &Failed { error: Problem { code, message } })
}

/// The view, or the response that says why there is none.
fn view(app: &App) -> Result<Arc<View>, Box<Response>> {
    app.checker.view().ok_or_else(|| {
        let reason = app.checker.ready().err();
        let message = reason.as_ref().map_or("the repository has not been read yet", Reason::message);
        let code = reason.as_ref().map_or("not-ready", Reason::code);
        Box::new(failed(StatusCode::SERVICE_UNAVAILABLE, code, message))
    })
}

/// When the view was begun that all else comes from.
#[derive(Serialize)]
struct Age {
    began: UtcTimestamp,
    age_seconds: f64,
    took_seconds: f64,
}

impl Age {
    fn of(app: &App, view: &View) -> Self {
        Self {
            began: view.started().utc(),
            age_seconds: app.checker.now().elapsed_since(view.started()).as_secs_f64(),
            took_seconds: view.took().as_secs_f64(),
        }
    }
}

/// Why lists may be too short.
fn doubts(view: &View) -> Vec<Problem<'_>> {
    view.doubts().chain(view.suspects().map(|suspect| &suspect.reason)).map(Problem::from).collect()
}

#[derive(Serialize)]
struct Repository<'a> {
    unique_id: &'a str,
    location: &'a str,
    format_version: u8,
    hash: &'a str,
    encryption: &'a str,
    index_version: u8,
    epochs: bool,
    ecc_overhead_percent: u8,
    index_blobs: usize,
    sources: usize,
    snapshots: usize,
    view: Age,
    ready: bool,
    refreshing_seconds: Option<f64>,
    failure: Option<Problem<'a>>,
    packs_checked: bool,
    doubts: Vec<Problem<'a>>,
}

pub(super) async fn repository(Extract(app): Extract<Arc<App>>) -> Response {
    let view = match view(&app) {
        Ok(view) => view,
        Err(response) => return *response,
    };
    let status = app.checker.status();
    let info = view.repository();
    let repository = Repository {
        unique_id: &info.unique_id,
        location: &info.location,
        format_version: info.version,
        hash: info.hash,
        encryption: info.encryption,
        index_version: info.index_version,
        epochs: info.epochs,
        ecc_overhead_percent: info.ecc_overhead_percent,
        index_blobs: view.index_blobs(),
        sources: view.sources().len(),
        snapshots: view.snapshots(),
        view: Age::of(&app, &view),
        ready: app.checker.ready().is_ok(),
        refreshing_seconds: status.refreshing.map(|since| since.as_secs_f64()),
        failure: status.failure.as_ref().map(|failure| Problem::from(&failure.reason)),
        packs_checked: status.scanned,
        doubts: doubts(&view),
    };
    json(StatusCode::OK, &repository)
}

#[derive(Serialize)]
struct Sources<'a> {
    view: Age,
    sources: Vec<SourceRow<'a>>,
    doubts: Vec<Problem<'a>>,
}

pub(super) async fn sources(Extract(app): Extract<Arc<App>>) -> Response {
    match view(&app) {
        Ok(view) => {
            let hidden: Vec<Suspect> = view.unlisted().cloned().collect();
            let sources = view.sources().iter().map(|state| SourceRow::new(state, &hidden)).collect();
            json(StatusCode::OK, &Sources { view: Age::of(&app, &view), sources, doubts: doubts(&view) })
        }
        Err(response) => *response,
    }
}

#[derive(Deserialize)]
pub(super) struct SnapshotQuery {
    source: Option<String>,
    as_of: Option<String>,
}

#[derive(Serialize)]
struct Chosen<'a> {
    source: String,
    as_of: Option<UtcTimestamp>,
    state: &'static str,
    snapshot: Option<SnapshotSummary<'a>>,
    view: Option<Age>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Problem<'a>>,
    /// Why a newer snapshot than the chosen one may exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    newer: Option<Problem<'a>>,
}

#[derive(Serialize)]
struct SnapshotSummary<'a> {
    id: &'a str,
    start: UtcTimestamp,
    end: UtcTimestamp,
    size: i64,
    files: i64,
    errors: i64,
    /// Why it is incomplete, where it is.
    #[serde(skip_serializing_if = "str::is_empty")]
    incomplete: &'a str,
    root: Option<String>,
}

#[derive(Serialize)]
struct AllSnapshots<'a> {
    view: Age,
    snapshots: Box<serde_json::value::RawValue>,
    doubts: Vec<Problem<'a>>,
}

/// All snapshots, those that are incomplete too. They are made one list at a time, so that many questions do not take much
/// memory.
async fn all_snapshots(app: Arc<App>) -> Response {
    let view = match view(&app) {
        Ok(view) => view,
        Err(response) => return *response,
    };
    let _one = app.listing.lock().await;
    let listed = Arc::clone(&view);
    let listing = tokio::task::spawn_blocking(move || {
        let hidden: Vec<Suspect> = listed.unlisted().cloned().collect();
        rows::all_snapshots(listed.manifests(), &hidden)
    });
    match listing.await {
        Ok(Ok(snapshots)) => json(
            StatusCode::OK,
            &AllSnapshots { view: Age::of(&app, &view), snapshots, doubts: doubts(&view) },
        ),
        _ => failed(StatusCode::INTERNAL_SERVER_ERROR, "internal-error", "the list could not be made"),
    }
}

impl<'a> From<&'a SnapshotInfo> for SnapshotSummary<'a> {
    fn from(snapshot: &'a SnapshotInfo) -> Self {
        Self {
            id: snapshot.id.as_str(),
            start: snapshot.start,
            end: snapshot.end,
            size: snapshot.size,
            files: snapshot.files,
            errors: snapshot.errors,
            incomplete: &snapshot.incomplete,
            root: snapshot.root.as_ref().map(ToString::to_string),
        }
    }
}

/// All snapshots; of one source, the snapshot that a restore would choose, at a time or now.
pub(super) async fn snapshots(
    Extract(app): Extract<Arc<App>>,
    query: Result<Query<SnapshotQuery>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let usage = |message: &str| failed(StatusCode::BAD_REQUEST, "usage", message);
    let Ok(Query(query)) = query else { return usage("expected ?source=user@host:/path&as_of=TIME") };
    let source = match &query.source {
        Some(source) => source,
        None if query.as_of.is_none() => return all_snapshots(app).await,
        None => return usage("as_of needs a source: ?source=user@host:/path&as_of=TIME"),
    };
    let source = source.parse().ok().filter(|source: &AskedSource| !source.is_without_path());
    let Some(source) = source else { return usage("source must look like user@host:/path") };
    let Ok(as_of) = query.as_of.as_deref().map(as_of).transpose() else {
        return usage("as_of must be a time such as 2026-11-21T08:00:00Z");
    };
    let answered = app.ask(&Candidates::of(source.clone())).await;
    let elsewhere = answered.elsewhere();
    let answer = answered.first();
    let view = app.checker.view();
    let chosen = view.as_deref().and_then(|view| choose(view, &source, as_of));
    let suspect = view.as_deref().and_then(|view| view.suspects().find(|s| s.scope.may_be(&source)));
    // Found in a directory above alone: it is there, but not as a snapshot that could be chosen.
    let inside = answer.found.as_ref().filter(|found| source.is_inside(found));
    let inside = inside.map(|found| Reason::source_inside(&source, found));
    let suspected = suspect.map(|suspect| &suspect.reason);
    let doubt = answer.reason.as_ref().or(suspected).or(inside.as_ref()).or(elsewhere.as_ref());
    let newer = chosen.zip(view.as_deref()).and_then(|(chosen, view)| {
        let until = as_of.map(Period::last);
        let newer = |s: &&Suspect| s.scope.may_be(&source) && s.may_have_begun_between(chosen.start, until);
        view.suspects().find(newer)
    });
    let (status, state) = match (chosen, doubt) {
        (Some(_), _) => (StatusCode::OK, State::Exists),
        (None, Some(_)) => (StatusCode::SERVICE_UNAVAILABLE, State::Unknown),
        (None, None) => (StatusCode::OK, State::Absent),
    };
    let body = Chosen {
        source: source.to_string(),
        as_of: as_of.map(Period::first),
        state: state.as_str(),
        snapshot: chosen.map(SnapshotSummary::from),
        view: view.as_deref().map(|view| Age::of(&app, view)),
        error: doubt.filter(|_| chosen.is_none()).map(Problem::from),
        newer: newer.map(|suspect| Problem::from(&suspect.reason)),
    };
    json(status, &body)
}

/// A time that was asked for.
fn as_of(text: &str) -> Result<Period, ()> {
    Period::rfc3339(text).ok_or(())
}

fn choose<'a>(view: &'a View, source: &AskedSource, as_of: Option<Period>) -> Option<&'a SnapshotInfo> {
    let found = source.readings().iter().flat_map(|source| view.find(source));
    let newest = found.filter_map(|state| state.newest_backup(as_of.map(Period::last)));
    newest.max_by_key(|snapshot| (snapshot.is_complete(), snapshot.start, snapshot.end))
}

#[derive(Deserialize)]
pub(super) struct AuditQuery {
    max_age: Option<String>,
}

#[derive(Serialize)]
struct Audit<'a> {
    ok: bool,
    max_age_seconds: u64,
    view: Age,
    sources: usize,
    stale: Vec<Stale<'a>>,
    /// What the history of a source shows beside its age.
    findings: Vec<Found>,
    /// The stores, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stores: Vec<InStore<'a>>,
    doubts: Vec<Problem<'a>>,
}

/// A store compared with the others.
#[derive(Serialize)]
struct InStore<'a> {
    location: &'a str,
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Problem<'a>>,
    findings: Vec<Found>,
}

impl<'a> From<&'a Compared> for InStore<'a> {
    fn from(store: &'a Compared) -> Self {
        let found = |(source, finding): &(Source, StoreFinding)| Found {
            source: source.to_string(),
            code: finding.code(),
            severity: finding.severity().as_str(),
            message: finding.to_string(),
            help: finding.cure(),
        };
        Self {
            location: &store.location,
            ready: store.ready.is_ok(),
            failure: store.ready.as_ref().err().map(Problem::from),
            findings: store.findings.iter().map(found).collect(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct Found {
    pub(super) source: String,
    pub(super) code: &'static str,
    severity: &'static str,
    pub(super) message: String,
    help: &'static str,
}

/// The findings of an audit in one list, without those about ages: they are told as stale.
pub(super) fn findings(audit: &audit::Audit) -> Vec<Found> {
    let mut found = Vec::new();
    for source in &audit.sources {
        let told =
            |finding: &&Finding| !matches!(finding, Finding::Stale { .. } | Finding::NeverCompleted { .. });
        found.extend(source.findings.iter().filter(told).map(|finding| Found {
            source: source.source.to_string(),
            code: finding.code(),
            severity: finding.severity().as_str(),
            message: finding.to_string(),
            help: finding.cure(),
        }));
    }
    found
}

#[derive(Serialize)]
struct Stale<'a> {
    source: String,
    user: &'a str,
    host: &'a str,
    path: &'a str,
    snapshots: usize,
    newest_complete: Option<UtcTimestamp>,
    age_seconds: Option<i64>,
}

/// How old the newest complete snapshot of a source is; none for a source that has none.
fn age_of(state: &SourceState, now: UtcTimestamp) -> Option<i64> {
    Some(now.seconds_since(state.newest_complete()?.start))
}

/// The sources that have no complete snapshot that is certainly young enough.
pub(super) fn stale(audit: &audit::Audit) -> BTreeSet<&Source> {
    audit.sources.iter().filter(|audited| audited.is_stale()).map(|audited| &audited.source).collect()
}

/// The histories of all sources, looked through.
pub(super) fn audited(view: &View, now: UtcTimestamp, max_age: Duration) -> audit::Audit {
    let expectations = Expectations::default().with_default_limit(Some(max_age));
    audit::audit(view.sources(), true, &expectations, now)
}

/// The sources whose newest complete snapshot is too old, and what else their histories show.
pub(super) async fn audit_sources(
    Extract(app): Extract<Arc<App>>,
    Query(query): Query<AuditQuery>,
) -> Response {
    let max_age = match query.max_age.as_deref() {
        None => Some(app.config.stale_after),
        Some(text) => text.parse::<GoDuration>().ok().and_then(GoDuration::positive),
    };
    let Some(max_age) = max_age else {
        return failed(StatusCode::BAD_REQUEST, "usage", "max_age must be a duration such as 26h");
    };
    let view = match view(&app) {
        Ok(view) => view,
        Err(response) => return *response,
    };
    let now = app.checker.now().utc();
    let audited = audited(&view, now, max_age);
    let too_old = stale(&audited);
    let stale: Vec<Stale<'_>> = view
        .sources()
        .iter()
        .filter(|state| too_old.contains(state.source()))
        .map(|state| Stale {
            source: state.source().to_string(),
            user: &state.source().user,
            host: &state.source().host,
            path: &state.source().path,
            snapshots: state.snapshots().len(),
            newest_complete: state.newest_complete().map(|snapshot| snapshot.start),
            age_seconds: age_of(state, now),
        })
        .collect();
    let doubts = doubts(&view);
    let stores = compared(&app, &audited);
    let audit = Audit {
        ok: stale.is_empty()
            && doubts.is_empty()
            && audited.is_good()
            && stores.iter().all(Compared::is_good),
        max_age_seconds: max_age.as_secs(),
        view: Age::of(&app, &view),
        sources: view.sources().len(),
        stale,
        findings: findings(&audited),
        stores: stores.iter().map(InStore::from).collect(),
        doubts,
    };
    json(StatusCode::OK, &audit)
}
