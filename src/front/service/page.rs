//! `/`: the page for people. Rendered here, without scripts and without anything from elsewhere.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State as Extract;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue};
use axum::response::Response;

use super::app::App;
use super::headline::{Grade, headline};
use super::http;
use super::stores::{Compared, compared};
use super::timeline;
use super::v1::{audited, findings, stale};
use super::verified::{Verdict, Verified};
use crate::checker::{Reason, SourceState, Usage, View};
use crate::snapshot::{Source, UtcTimestamp};
use crate::text::{counted, escape_html, human_size, human_span};

const STYLE: &str = include_str!("page.css");
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";

/// The links of the page.
const LINKS: [(&str, &str); 5] = [
    ("/v1/snapshots", "Snapshots"),
    ("/v1/sources", "Sources"),
    ("/v1/audit", "Audit"),
    ("/metrics", "Metrics"),
    ("/v1/openapi.json", "API"),
];

/// Doubts that are spelled out; of the rest, the number.
const MAX_DOUBTS: usize = 20;

pub(super) async fn page(Extract(app): Extract<Arc<App>>) -> Response {
    let verified = verification_report(&app).await;
    let html = render(&app, verified.as_ref());
    let mut response = http::text(StatusCode::OK, "text/html; charset=utf-8", html);
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The report of the last verification, where one is named.
pub(super) async fn verification_report(app: &App) -> Option<Result<Verified, String>> {
    match app.config.verify_report.clone() {
        Some(path) => Some(Verified::read(path).await),
        None => None,
    }
}

fn render(app: &App, verified: Option<&Result<Verified, String>>) -> String {
    let now = app.checker.now();
    let status = app.checker.status();
    let ready = app.ready();
    let stale_after = app.config.stale_after;
    let audit = status.view.as_deref().map(|view| audited(view, now.utc(), stale_after)).unwrap_or_default();
    let (stale, findings) = (stale(&audit), findings(&audit));
    let (grade, words) = headline(&ready, &status, verified, stale.len(), findings.len());
    let class = grade.class();
    let icon = icon(grade);
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width,initial-scale=1\"><meta http-equiv=\"refresh\" content=\"60\">\
         <title>Backups: {words}</title><link rel=\"icon\" href=\"{icon}\"><style>{STYLE}</style></head><body>\
         <h1>Backups <span class=\"{class}\">● {words}</span></h1><nav>"
    );
    #[cfg(feature = "browse")]
    if app.browse.is_some() {
        html.push_str("<a href=\"/browse\">Browse</a> ");
    }
    for (href, name) in LINKS {
        let _ = write!(html, "<a href=\"{href}\">{name}</a> ");
    }
    html.push_str("</nav>");
    if let Err(reason) = &ready {
        problem(&mut html, "bad", "Every question is answered with unknown", reason);
    }
    if let Some(failure) = status.failure.as_ref().filter(|_| ready.is_ok()) {
        problem(&mut html, "warn", "The last attempt to read the repository failed", &failure.reason);
    }
    if let Some(view) = &status.view {
        let usage = status.usage.as_deref().map(|usage| &usage.1);
        let verified = verification(verified, now.utc());
        summary(&mut html, view, usage, verified, now.elapsed_since(view.started()));
        doubts(&mut html, view);
        let found: Vec<_> =
            findings.iter().map(|f| (format!("{}: ", f.source), f.message.as_str(), f.code)).collect();
        list(&mut html, "warn", "Findings of the audit", &found);
        stores(&mut html, &compared(app, &audit));
        sources(&mut html, app, view, &stale, now.utc());
    }
    let version = env!("CARGO_PKG_VERSION");
    let _ = writeln!(html, "<footer>rokopia {version}, read-only</footer></body></html>");
    html
}

/// A disc in the colour of the headline, as the address of an image.
fn icon(grade: Grade) -> String {
    let colour = grade.colour();
    format!(
        "data:image/svg+xml,%3Csvg xmlns='http%3A//www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Ccircle cx='8' cy='8' r='7' \
         fill='%23{colour}'/%3E%3C/svg%3E"
    )
}

/// What the last verification says.
pub(super) fn verification(verified: Option<&Result<Verified, String>>, now: UtcTimestamp) -> String {
    let verified = match verified {
        None => return "<span class=\"dim\">no report (--verify-report)</span>".to_owned(),
        Some(Err(why)) => return format!("<span class=\"warn\">{}</span>", escape_html(why)),
        Some(Ok(verified)) => verified,
    };
    let (class, result) = match verified.result {
        Verdict::Clean => ("good", "no damage found".to_owned()),
        Verdict::Damaged => ("bad", counted(verified.damages(), "problem")),
        Verdict::Incomplete => ("warn", "not all could be checked".to_owned()),
    };
    let age =
        human_span(Duration::from_secs(u64::try_from(now.seconds_since(verified.started)).unwrap_or(0)));
    let (percent, level) = (verified.percent(), escape_html(&verified.level));
    format!("<span class=\"{class}\">{result}</span>, {percent} % proved (level {level}), {age} ago")
}

fn problem(html: &mut String, class: &str, title: &str, reason: &Reason) {
    let (code, message) = (reason.code(), escape_html(reason.message()));
    let _ = write!(
        html,
        "<div class=\"box {class}\"><strong>{title}</strong><p>{message} <code>{code}</code></p></div>"
    );
}

fn summary(html: &mut String, view: &View, usage: Option<&Usage>, verified: String, age: Duration) {
    let info = view.repository();
    let newest = view.sources().iter().filter_map(SourceState::newest_complete).map(|s| s.start).max();
    let size = usage.map(|usage| {
        let (blobs, bytes) =
            usage.values().fold((0, 0), |sum, kind| (sum.0 + kind.blobs, sum.1 + kind.bytes));
        format!("{} in {}", human_size(bytes), counted(blobs, "blob"))
    });
    html.push_str("<div class=\"box\"><dl>");
    for (name, value) in [
        ("Repository", escape_html(&info.location)),
        ("Unique ID", info.unique_id.get(..16).unwrap_or(&info.unique_id).to_owned()),
        ("Sources", view.sources().len().to_string()),
        ("Snapshots", view.snapshots().to_string()),
        ("Newest", newest.map_or("none".to_owned(), day)),
        ("Size", size.unwrap_or_else(|| "not measured yet".to_owned())),
        ("Verified", verified),
        ("Index blobs", view.index_blobs().to_string()),
        (
            "Read",
            format!(
                "{} ago, in {} ms",
                human_span(Duration::from_secs(age.as_secs())),
                view.took().as_millis()
            ),
        ),
    ] {
        let _ = write!(html, "<div><dt>{name}</dt><dd>{value}</dd></div>");
    }
    html.push_str("</dl></div>");
}

fn doubts(html: &mut String, view: &View) {
    let global: Vec<_> =
        view.doubts().map(|reason| (String::new(), reason.message(), reason.code())).collect();
    let scoped: Vec<_> = view
        .suspects()
        .map(|suspect| (format!("{}: ", suspect.source()), suspect.reason.message(), suspect.reason.code()))
        .collect();
    list(html, "bad", "No source can be called absent", &global);
    list(html, "warn", "Sources that cannot be called absent", &scoped);
}

/// What is wrong with each store, where there are several.
fn stores(html: &mut String, stores: &[Compared]) {
    for store in stores {
        let location = &store.location;
        if let Err(reason) = &store.ready {
            problem(html, "warn", &format!("{} does not answer", escape_html(location)), reason);
        }
        let messages: Vec<_> =
            store.findings.iter().map(|(source, f)| (source, f.to_string(), f.code())).collect();
        let found: Vec<_> = messages
            .iter()
            .map(|(source, message, code)| (format!("{source}: "), message.as_str(), *code))
            .collect();
        list(html, "warn", &format!("Behind in {}", escape_html(location)), &found);
    }
}

/// A list of what is wrong: where, what, and the code of it.
fn list(html: &mut String, class: &str, title: &str, reasons: &[(String, &str, &str)]) {
    if reasons.is_empty() {
        return;
    }
    let _ = write!(html, "<div class=\"box {class}\"><strong>{title}</strong><ul>");
    for (source, message, code) in reasons.iter().take(MAX_DOUBTS) {
        let (source, message) = (escape_html(source), escape_html(message));
        let _ = write!(html, "<li>{source}{message} <code>{code}</code></li>");
    }
    if let Some(more) = reasons.len().checked_sub(MAX_DOUBTS).filter(|more| *more > 0) {
        let _ = write!(html, "<li>and {more} more</li>");
    }
    html.push_str("</ul></div>");
}

fn sources(html: &mut String, app: &App, view: &View, stale: &BTreeSet<&Source>, now: UtcTimestamp) {
    let (stale, current): (Vec<_>, Vec<_>) =
        view.sources().iter().partition(|state| stale.contains(state.source()));
    let limit = human_span(app.config.stale_after);
    if !stale.is_empty() {
        let _ = write!(
            html,
            "<h2 class=\"warn\">{} stale: no complete snapshot within {limit}</h2>",
            stale.len()
        );
        table(html, app, &stale, now, "warn");
    }
    if !current.is_empty() {
        let _ = write!(html, "<h2>{} current</h2>", current.len());
        table(html, app, &current, now, "good");
    }
    if view.sources().is_empty() {
        html.push_str("<h2>No snapshots</h2><p class=\"dim\">The repository was read, and it has none.</p>");
    }
}

fn table(html: &mut String, app: &App, sources: &[&SourceState], now: UtcTimestamp, class: &str) {
    let _ = write!(
        html,
        "<table><thead><tr><th>Source</th><th class=\"n\">Newest complete</th><th class=\"n\">Snapshots</th><th \
         class=\"n\">Size</th><th>Last {} days</th></tr></thead><tbody>",
        timeline::DAYS
    );
    for state in sources {
        let age = state.newest_complete().map_or_else(|| "never".to_owned(), |newest| ago(newest.start, now));
        let began = state.newest_complete().map(|s| day(s.start)).unwrap_or_default();
        let all = state.snapshots().len();
        let count = figure(all as u64, "snapshot");
        let incomplete = match all - state.complete() {
            0 => String::new(),
            some => format!(" <span class=\"warn\">({some} incomplete)</span>"),
        };
        let size = state.newest_complete().map(|s| size(s.size)).unwrap_or_default();
        let _ = write!(
            html,
            "<tr><td class=\"name\">{}</td><td class=\"n {class}\" title=\"{began}\">{age}</td><td class=\"n\">{count}\
             {incomplete}</td><td class=\"n\">{size}</td><td class=\"line\">{}</td></tr>",
            name(app, state.source()),
            timeline::svg(state, now)
        );
    }
    html.push_str("</tbody></table>");
}

/// The name of a source, which leads to its snapshots where they can be looked into.
fn name(app: &App, source: &Source) -> String {
    let name = escape_html(&source.to_string());
    #[cfg(feature = "browse")]
    if app.browse.is_some() {
        return format!("<a href=\"{}\">{name}</a>", super::browse::links::source(source));
    }
    let _ = app;
    name
}

/// A number in a column whose heading says what it counts; the noun is shown where there is no room for headings.
pub(super) fn figure(count: u64, noun: &str) -> String {
    let text = counted(count, noun);
    let noun = text.trim_start_matches(|c: char| c.is_ascii_digit());
    format!("{count}<span class=\"unit\">{noun}</span>")
}

/// A time to the second.
pub(super) fn day(time: UtcTimestamp) -> String {
    let (seconds, _) = time.to_unix();
    let whole = UtcTimestamp(seconds.saturating_mul(1_000_000_000)).to_string();
    whole.replace('T', " ").replace('Z', " UTC")
}

/// How long ago that was.
pub(super) fn ago(time: UtcTimestamp, now: UtcTimestamp) -> String {
    match u64::try_from(now.seconds_since(time)) {
        Ok(age) => format!("{} ago", human_span(Duration::from_secs(age))),
        Err(_) => "in the future: a clock is wrong".to_owned(),
    }
}

/// A size as Kopia has it: none is negative.
pub(super) fn size(bytes: i64) -> String {
    human_size(bytes.try_into().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_become_markup() {
        assert_eq!(escape_html("<b a='\"'>&\n"), "&lt;b a=&#39;&quot;&#39;&gt;&amp;\\n");
    }

    #[test]
    fn figures_for_people() {
        assert_eq!(day(UtcTimestamp(1_500_000_000)), "1970-01-01 00:00:01 UTC");
    }
}
