//! `/`: the page for people. Rendered here, without scripts and without anything from elsewhere.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State as Extract;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue};
use axum::response::Response;

use super::app::App;
use super::http;
use super::timeline;
use super::v1::{age_of, is_stale};
use crate::checker::{Reason, SourceState, View};
use crate::snapshot::UtcTimestamp;
use crate::text::{escape_html, human_size};

const STYLE: &str = include_str!("page.css");
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// Doubts that are spelled out; of the rest, the number.
const MAX_DOUBTS: usize = 20;

pub(super) async fn page(Extract(app): Extract<Arc<App>>) -> Response {
    let mut response = http::text(StatusCode::OK, "text/html; charset=utf-8", render(&app));
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn render(app: &App) -> String {
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width,initial-scale=1\"><meta http-equiv=\"refresh\" content=\"60\"><title>Backups</title>\
         <style>{STYLE}</style></head><body>"
    );
    let now = app.checker.now();
    let status = app.checker.status();
    let ready = app.checker.ready();
    match &ready {
        Ok(()) => html.push_str("<h1>Backups <span class=\"good\">● ready</span></h1>"),
        Err(reason) => {
            html.push_str("<h1>Backups <span class=\"bad\">● not ready</span></h1>");
            problem(&mut html, "bad", "Every question is answered with unknown", reason);
        }
    }
    if let Some(failure) = status.failure.as_ref().filter(|_| ready.is_ok()) {
        problem(&mut html, "warn", "The last attempt to read the repository failed", &failure.reason);
    }
    if let Some(view) = &status.view {
        summary(&mut html, view, now.elapsed_since(view.started()));
        doubts(&mut html, view);
        sources(&mut html, view, now.utc(), app.config.stale_after);
    }
    html.push_str("</body></html>\n");
    html
}

fn problem(html: &mut String, class: &str, title: &str, reason: &Reason) {
    let (code, message) = (reason.code(), escape_html(reason.message()));
    let _ = write!(
        html,
        "<div class=\"box {class}\"><strong>{title}</strong><p>{message} <code>{code}</code></p></div>"
    );
}

fn summary(html: &mut String, view: &View, age: Duration) {
    let info = view.repository();
    let newest = view.sources().iter().filter_map(SourceState::newest_complete).map(|s| s.start).max();
    html.push_str("<div class=\"box\"><dl>");
    for (name, value) in [
        ("Repository", escape_html(&info.location)),
        ("Unique ID", info.unique_id.get(..16).unwrap_or(&info.unique_id).to_owned()),
        ("Sources", view.sources().len().to_string()),
        ("Snapshots", view.snapshots().to_string()),
        ("Newest", newest.map_or("none".to_owned(), day)),
        ("Index blobs", view.index_blobs().to_string()),
        ("Read", format!("{} ago, in {} ms", span(age.as_secs()), view.took().as_millis())),
    ] {
        let _ = write!(html, "<div><dt>{name}</dt><dd>{value}</dd></div>");
    }
    html.push_str("</dl></div>");
}

fn doubts(html: &mut String, view: &View) {
    let global: Vec<_> = view.doubts().map(|reason| (String::new(), reason)).collect();
    let scoped: Vec<_> =
        view.suspects().map(|suspect| (format!("{}: ", suspect.source()), &suspect.reason)).collect();
    list(html, "bad", "No source can be called absent", &global);
    list(html, "warn", "Sources that cannot be called absent", &scoped);
}

fn list(html: &mut String, class: &str, title: &str, reasons: &[(String, &Reason)]) {
    if reasons.is_empty() {
        return;
    }
    let _ = write!(html, "<div class=\"box {class}\"><strong>{title}</strong><ul>");
    for (source, reason) in reasons.iter().take(MAX_DOUBTS) {
        let (source, message) = (escape_html(source), escape_html(reason.message()));
        let _ = write!(html, "<li>{source}{message} <code>{}</code></li>", reason.code());
    }
    if let Some(more) = reasons.len().checked_sub(MAX_DOUBTS).filter(|more| *more > 0) {
        let _ = write!(html, "<li>and {more} more</li>");
    }
    html.push_str("</ul></div>");
}

fn sources(html: &mut String, view: &View, now: UtcTimestamp, stale_after: Duration) {
    let (stale, current): (Vec<_>, Vec<_>) =
        view.sources().iter().partition(|state| is_stale(state, now, stale_after));
    let limit = span(stale_after.as_secs());
    if !stale.is_empty() {
        let _ = write!(
            html,
            "<h2 class=\"warn\">{} stale: no complete snapshot within {limit}</h2>",
            stale.len()
        );
        table(html, &stale, now, "warn");
    }
    if !current.is_empty() {
        let _ = write!(html, "<h2>{} current</h2>", current.len());
        table(html, &current, now, "good");
    }
    if view.sources().is_empty() {
        html.push_str("<h2>No snapshots</h2><p class=\"dim\">The repository was read, and it has none.</p>");
    }
}

fn table(html: &mut String, sources: &[&SourceState], now: UtcTimestamp, class: &str) {
    let _ = write!(
        html,
        "<table><thead><tr><th>Source</th><th class=\"n\">Newest complete</th><th class=\"n\">Snapshots</th><th \
         class=\"n\">Size</th><th>Last {} days</th></tr></thead><tbody>",
        timeline::DAYS
    );
    for state in sources {
        let age = match age_of(state, now) {
            Some(age) => match u64::try_from(age) {
                Ok(age) => format!("{} ago", span(age)),
                Err(_) => "in the future: a clock is wrong".to_owned(),
            },
            None => "never".to_owned(),
        };
        let began = state.newest_complete().map(|s| day(s.start)).unwrap_or_default();
        let count = state.snapshots().len();
        let incomplete = match count - state.complete() {
            0 => String::new(),
            some => format!(" <span class=\"warn\">({some} incomplete)</span>"),
        };
        let size = state
            .newest_complete()
            .map(|s| human_size(s.size.try_into().unwrap_or_default()))
            .unwrap_or_default();
        let _ = write!(
            html,
            "<tr><td class=\"name\">{}</td><td class=\"n {class}\" title=\"{began}\">{age}</td><td class=\"n\">{count}\
             {incomplete}</td><td class=\"n\">{size}</td><td class=\"line\">{}</td></tr>",
            escape_html(&state.source().to_string()),
            timeline::svg(state, now)
        );
    }
    html.push_str("</tbody></table>");
}

/// A time to the second.
fn day(time: UtcTimestamp) -> String {
    let (seconds, _) = time.to_unix();
    let whole = UtcTimestamp(seconds.saturating_mul(1_000_000_000)).to_string();
    whole.replace('T', " ").replace('Z', " UTC")
}

/// A length of time in its two largest units.
fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
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
        assert_eq!(span(93_600), "1 d 2 h");
        assert_eq!(day(UtcTimestamp(1_500_000_000)), "1970-01-01 00:00:01 UTC");
    }
}
