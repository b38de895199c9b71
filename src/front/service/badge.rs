//! `/badge.svg`: how old the backup of a source is, or the headline of the page, as a picture for other pages. It says no more
//! than they do, and to whoever may see them: the tokens of `browse` are for what is in snapshots.

use std::sync::Arc;

use axum::extract::{Query, State as Extract};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue};
use axum::response::Response;
use serde::Deserialize;

use super::app::App;
use super::headline::{Grade, headline};
use super::http;
use super::page::{ago, verification_report};
use super::v1::{audited, findings, stale};
use crate::checker::{Answer, Candidates, State};
use crate::snapshot::{AskedSource, UtcTimestamp};
use crate::text::escape_html;

const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The width of a letter at this size of the font is guessed, which is good for all fonts without serifs.
const LETTER: usize = 7;
const MARGIN: usize = 6;
const NAME: &str = "backup";

#[derive(Deserialize)]
pub(super) struct BadgeQuery {
    source: Option<String>,
}

pub(super) async fn badge(Extract(app): Extract<Arc<App>>, Query(query): Query<BadgeQuery>) -> Response {
    let (status, (grade, words)) = match query.source {
        None => (StatusCode::OK, overall(&app).await),
        Some(source) => match source.parse::<AskedSource>().ok().filter(|source| !source.is_without_path()) {
            Some(source) => {
                let answer = app.ask(&Candidates::of(source)).await.answer;
                (StatusCode::OK, of_source(&answer, app.checker.now().utc(), app.config.stale_after))
            }
            None => (StatusCode::BAD_REQUEST, (Grade::Bad, "no such name of a source".to_owned())),
        },
    };
    let mut response = http::text(status, "image/svg+xml", svg(grade, &words));
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn overall(app: &App) -> (Grade, String) {
    let (status, now) = (app.checker.status(), app.checker.now().utc());
    let view = status.view.as_deref();
    let audit = view.map(|view| audited(view, now, app.config.stale_after)).unwrap_or_default();
    let verified = verification_report(app).await;
    headline(&app.ready(), &status, verified.as_ref(), stale(&audit).len(), findings(&audit).len())
}

fn of_source(answer: &Answer, now: UtcTimestamp, stale_after: std::time::Duration) -> (Grade, String) {
    match (answer.state, answer.latest_complete) {
        (State::Absent, _) => (Grade::Bad, "none".to_owned()),
        (State::Unknown, _) => (Grade::Warn, "unknown".to_owned()),
        (State::Exists, None) => (Grade::Warn, "incomplete".to_owned()),
        (State::Exists, Some(newest)) => {
            let young =
                u64::try_from(now.seconds_since(newest)).is_ok_and(|age| age <= stale_after.as_secs());
            (if young { Grade::Good } else { Grade::Warn }, ago(newest, now))
        }
    }
}

fn svg(grade: Grade, words: &str) -> String {
    let width = |text: &str| text.chars().count() * LETTER + 2 * MARGIN;
    let (name, value) = (width(NAME), width(words));
    let (whole, colour, words) = (name + value, grade.colour(), escape_html(words));
    let (left, right) = (name / 2, name + value / 2);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{whole}\" height=\"20\" role=\"img\" aria-label=\"{NAME}: {words}\">\
         <title>{NAME}: {words}</title><rect width=\"{whole}\" height=\"20\" rx=\"3\" fill=\"#444\"/>\
         <rect x=\"{name}\" width=\"{value}\" height=\"20\" rx=\"3\" fill=\"#{colour}\"/>\
         <g fill=\"#fff\" text-anchor=\"middle\" font-family=\"Verdana,sans-serif\" font-size=\"11\">\
         <text x=\"{left}\" y=\"14\">{NAME}</text><text x=\"{right}\" y=\"14\">{words}</text></g></svg>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_cannot_become_markup() {
        assert!(svg(Grade::Bad, "<b>\"").contains("&lt;b&gt;&quot;"));
    }
}
