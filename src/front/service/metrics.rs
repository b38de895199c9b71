//! `/metrics` in Prometheus' text format, version 0.0.4.
//!
//! The four `pvc…` names and their types are fixed by the contract, which predates OpenMetrics: a counter there is named
//! with its `_total`.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::State as Extract;
use axum::http::StatusCode;
use axum::response::Response;

use super::app::App;
use super::exists::decision;
use super::http::text;
use super::process::Process;
use super::stores::{Compared, compared};
use super::v1::audited;
use crate::checker::{Answer, BlobUsage, Checker, SourceState, State, Status, Usage, View};
use crate::os::sync::Mutex;
use crate::snapshot::UtcTimestamp;

const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What is counted for each request.
#[derive(Debug, Default)]
pub(super) struct Counters {
    requests: AtomicU64,
    errors: AtomicU64,
    decisions: [AtomicU64; 3],
    unknown: Mutex<BTreeMap<&'static str, u64>>,
}

/// The decisions in the order in which they are printed.
const STATES: [State; 3] = [State::Absent, State::Exists, State::Unknown];

impl Counters {
    pub(super) fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn error(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn decision(&self, answer: &Answer) {
        if let Some((_, counter)) =
            STATES.iter().zip(&self.decisions).find(|(state, _)| **state == answer.state)
        {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(reason) = &answer.reason {
            self.error();
            let mut unknown = self.unknown.lock();
            *unknown.entry(reason.code()).or_default() += 1;
        }
    }
}

pub(super) async fn metrics(Extract(app): Extract<Arc<App>>) -> Response {
    text(StatusCode::OK, CONTENT_TYPE, render(&app))
}

fn render(app: &App) -> String {
    let mut out = Exposition::default();
    let status = app.checker.status();
    let name = "rokopia_build_info";
    out.head(name, "gauge", "The program.");
    out.sample(name, &[("version", env!("CARGO_PKG_VERSION"))], 1);
    requests(&mut out, app, &status);
    latencies(&mut out, app);
    refreshes(&mut out, app, &status);
    if let Some(view) = &status.view {
        repository(&mut out, view);
        sources(&mut out, view, app.config.metric_sources);
    }
    stores(&mut out, app);
    if let Some(usage) = status.usage.as_deref() {
        usage_of_storage(&mut out, &usage.1);
    }
    process(&mut out, &Process::now());
    out.0
}

fn latencies(out: &mut Exposition, app: &App) {
    let name = "rokopia_http_request_duration_seconds";
    out.head(name, "histogram", "How long answers took, by route.");
    for (route, measured) in app.latencies.measured() {
        for (bound, count) in &measured.buckets {
            out.sample(&format!("{name}_bucket"), &[("route", route), ("le", &bound.to_string())], count);
        }
        out.sample(&format!("{name}_bucket"), &[("route", route), ("le", "+Inf")], measured.count);
        out.sample(&format!("{name}_sum"), &[("route", route)], measured.seconds);
        out.sample(&format!("{name}_count"), &[("route", route)], measured.count);
    }
}

fn usage_of_storage(out: &mut Exposition, usage: &Usage) {
    type Value = fn(&BlobUsage) -> u64;
    let per_kind: [(&str, &str, Value); 2] = [
        ("rokopia_repository_size_bytes", "Size of the repository in its storage.", |usage| usage.bytes),
        ("rokopia_repository_blobs", "Blobs of the repository.", |usage| usage.blobs),
    ];
    for (name, help, value) in per_kind {
        out.head(name, "gauge", help);
        for (kind, usage) in usage {
            out.sample(name, &[("kind", kind)], value(usage));
        }
    }
}

fn process(out: &mut Exposition, process: &Process) {
    let count = |value: Option<u64>| value.map(|value| value as f64);
    let figures = [
        ("process_cpu_seconds_total", "counter", "Time that processors worked for it.", process.cpu_seconds),
        ("process_resident_memory_bytes", "gauge", "Memory in use.", count(process.resident_bytes)),
        ("process_virtual_memory_bytes", "gauge", "Size of the address space.", count(process.virtual_bytes)),
        ("process_start_time_seconds", "gauge", "When it was started, in Unix time.", process.start_seconds),
        ("process_open_fds", "gauge", "Open file descriptors.", count(process.open_fds)),
        ("process_max_fds", "gauge", "The most file descriptors that may be open.", count(process.max_fds)),
    ];
    for (name, kind, help, value) in figures {
        if let Some(value) = value {
            out.single(name, kind, help, value);
        }
    }
}

fn requests(out: &mut Exposition, app: &App, status: &Status) {
    let counters = &app.counters;
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    out.single("pvc_plumber_requests_total", "counter", "Requests to /exists/.", get(&counters.requests));
    out.single(
        "pvc_plumber_requests_errors_total",
        "counter",
        "Requests to /exists/ that were malformed or whose answer is unknown.",
        get(&counters.errors),
    );
    let name = "pvc_plumber_backup_check_total";
    out.head(name, "counter", "Answers by decision.");
    let backend = if app.config.backend.is_empty() { "unknown" } else { app.config.backend.as_str() };
    for (state, counter) in STATES.iter().zip(&counters.decisions).filter(|(_, counter)| get(counter) > 0) {
        out.sample(name, &[("backend", backend), ("decision", decision(*state))], get(counter));
    }
    out.single(
        "pvcplumber_exists_singleflight_dedup_total",
        "counter",
        "Questions answered by a refresh that another question had asked for.",
        status.followers,
    );
    let name = "rokopia_unknown_total";
    out.head(name, "counter", "Unknown answers by reason.");
    for (reason, count) in counters.unknown.lock().iter() {
        out.sample(name, &[("reason", reason)], count);
    }
}

fn refreshes(out: &mut Exposition, app: &App, status: &Status) {
    let name = "rokopia_refreshes_total";
    out.head(name, "counter", "Refreshes of the view by result.");
    out.sample(name, &[("result", "failure")], status.failures);
    out.sample(name, &[("result", "success")], status.refreshes);
    let gauges = [
        ("rokopia_ready", "Whether /readyz says ok.", u64::from(app.ready().is_ok())),
        ("rokopia_hung_threads", "Threads that hang in the storage.", status.hung_threads as u64),
        (
            "rokopia_packs_checked",
            "Whether packs that no index names have been looked into.",
            u64::from(status.scanned),
        ),
    ];
    for (name, help, value) in gauges {
        out.single(name, "gauge", help, value);
    }
    if let Some(view) = &status.view {
        let age = app.checker.now().elapsed_since(view.started());
        let took = view.took();
        out.single("rokopia_view_age_seconds", "gauge", "Age of what is known.", age.as_secs_f64());
        out.single(
            "rokopia_refresh_duration_seconds",
            "gauge",
            "Time the last refresh took.",
            took.as_secs_f64(),
        );
        out.single(
            "rokopia_open_duration_seconds",
            "gauge",
            "Time it took to open the repository, the last time that had to be done.",
            view.opened_in().as_secs_f64(),
        );
    }
}

fn repository(out: &mut Exposition, view: &View) {
    let info = view.repository();
    let name = "rokopia_repository_info";
    out.head(name, "gauge", "What the repository is.");
    let version = info.version.to_string();
    out.sample(name, &[("unique_id", &info.unique_id), ("version", &version)], 1);
    let gauges = [
        (
            "rokopia_index_blobs",
            "Index blobs in use; thousands mean that maintenance does not run.",
            view.index_blobs(),
        ),
        ("rokopia_sources", "Sources with snapshots.", view.sources().len()),
        ("rokopia_snapshots", "Snapshots of all sources.", view.snapshots()),
        ("rokopia_doubts", "Why no source at all can be called absent.", view.doubts().count()),
        (
            "rokopia_suspects",
            "Snapshots that cannot be understood or that no index names.",
            view.suspects().count(),
        ),
    ];
    for (name, help, value) in gauges {
        out.single(name, "gauge", help, value);
    }
}

/// Each store, where there are several: whether it answers, how old its newest backup is, and in how many sources it is
/// behind another one.
fn stores(out: &mut Exposition, app: &App) {
    let view = app.checker.view();
    let Some(view) = view.filter(|_| !app.others.is_empty()) else { return };
    let compared = compared(app, &audited(&view, app.checker.now().utc(), app.config.stale_after));
    let views: Vec<_> = app.checkers().map(Checker::view).collect();
    let newest = |view: &View| {
        let complete = view.sources().iter().filter_map(SourceState::newest_complete);
        complete.map(|snapshot| seconds(snapshot.start)).max_by(f64::total_cmp)
    };
    type Value<'a> = &'a dyn Fn(&Compared, Option<&View>) -> Option<f64>;
    let per_store: [(&str, &str, Value<'_>); 3] = [
        ("rokopia_store_ready", "Whether a store answers.", &|store, _| {
            Some(f64::from(u8::from(store.ready.is_ok())))
        }),
        (
            "rokopia_store_newest_complete_timestamp_seconds",
            "When the newest complete snapshot in a store began.",
            &|_, view| newest(view?),
        ),
        (
            "rokopia_store_sources_behind",
            "Sources that are older in a store than in another one, or missing.",
            &|store, _| Some(store.findings.len() as f64),
        ),
    ];
    for (name, help, value) in per_store {
        out.head(name, "gauge", help);
        for (store, view) in compared.iter().zip(&views) {
            if let Some(value) = value(store, view.as_deref()) {
                out.sample(name, &[("store", &store.location)], value);
            }
        }
    }
}

/// Metrics of each source, for at most `limit` sources: a writer of the repository could otherwise fill the memory
/// of Prometheus.
fn sources(out: &mut Exposition, view: &View, limit: usize) {
    let shown = view.sources().get(..limit).unwrap_or(view.sources());
    let omitted = view.sources().len() - shown.len();
    out.single("rokopia_sources_omitted", "gauge", "Sources without metrics of their own.", omitted);
    let newest = |source: &SourceState| source.newest_complete().map(|snapshot| seconds(snapshot.start));
    let count = |source: &SourceState| Some(source.snapshots().len() as f64);
    let size = |source: &SourceState| source.newest_complete().map(|snapshot| snapshot.size as f64);
    type Value<'a> = &'a dyn Fn(&SourceState) -> Option<f64>;
    let unsaved = |source: &SourceState| source.newest_complete().map(|snapshot| snapshot.errors as f64);
    let per_source: [(&str, &str, Value<'_>); 4] = [
        (
            "rokopia_source_newest_complete_timestamp_seconds",
            "When the newest complete snapshot of a source began.",
            &newest,
        ),
        ("rokopia_source_snapshots", "Snapshots of a source, incomplete ones included.", &count),
        (
            "rokopia_source_unsaved_entries",
            "Entries that Kopia could not save in the newest complete snapshot of a source.",
            &unsaved,
        ),
        ("rokopia_source_size_bytes", "Size of the newest complete snapshot of a source.", &size),
    ];
    for (name, help, value) in per_source {
        out.head(name, "gauge", help);
        for state in shown {
            let source = state.source();
            let labels = [("user", source.user.as_str()), ("host", &source.host), ("path", &source.path)];
            if let Some(value) = value(state) {
                out.sample(name, &labels, value);
            }
        }
    }
}

fn seconds(time: UtcTimestamp) -> f64 {
    let (seconds, nanos) = time.to_unix();
    seconds as f64 + f64::from(nanos) / 1e9
}

/// Text in the making.
#[derive(Default)]
struct Exposition(String);

impl Exposition {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.head(name, kind, help);
        self.sample(name, &[], value);
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let open = if at == 0 { '{' } else { ',' };
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{open}{label}=\"{text}\"");
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{close} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut out = Exposition::default();
        out.single("a", "counter", "Help.", 1);
        out.sample("b", &[("x", "1"), ("y", "\"\\\n")], 2.5);
        assert_eq!(out.0, "# HELP a Help.\n# TYPE a counter\na 1\nb{x=\"1\",y=\"\\\"\\\\\\n\"} 2.5\n");
    }
}
