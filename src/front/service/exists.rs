//! `/exists/{namespace}/{pvc}`: the wire contract that admission policies rely on; and `/v1/decision/{namespace}/{pvc}`, the
//! same for policies that see the body of a 200 only.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::State as Extract;
use axum::http::header::{HeaderName, HeaderValue};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use percent_encoding::percent_decode_str;
use serde::Serialize;

use super::app::App;
use super::http::json;
use super::log;
use super::stores::Answered;
use crate::checker::{Answer, Question, Reason, State};
use crate::snapshot::UtcTimestamp;

const INVALID_PATH: &str = "invalid path format, expected /exists/{namespace}/{pvc}";

/// Age of the view that an answer rests on, and why it is unknown: beside the body, whose fields are fixed.
const VIEW_AGE: HeaderName = HeaderName::from_static("rokopia-view-age-seconds");
const REASON: HeaderName = HeaderName::from_static("rokopia-reason");

/// The newest snapshot that was found, and its age.
const SNAPSHOT: HeaderName = HeaderName::from_static("rokopia-snapshot");
const SNAPSHOT_AGE: HeaderName = HeaderName::from_static("rokopia-snapshot-age-seconds");

/// The fields in the order of the contract.
#[derive(Serialize)]
struct Body<'a> {
    exists: bool,
    decision: &'static str,
    authoritative: bool,
    namespace: &'a str,
    pvc: &'a str,
    backend: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Beyond the contract, where there are several stores: which one to restore from, and what each one says.
    #[serde(skip_serializing_if = "Option::is_none")]
    restore_from: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stores: Vec<StoreBody<'a>>,
}

/// What one of several stores says.
#[derive(Serialize)]
struct StoreBody<'a> {
    location: &'a str,
    decision: &'static str,
    snapshots: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    latest_complete: Option<UtcTimestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    age_seconds: Option<i64>,
    /// Why it is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
}

impl<'a> StoreBody<'a> {
    fn new(location: &'a str, answer: &Answer, now: UtcTimestamp) -> Self {
        Self {
            location,
            decision: decision(answer.state),
            snapshots: answer.snapshots,
            latest_complete: answer.latest_complete,
            age_seconds: answer.latest_complete.map(|latest| now.seconds_since(latest)),
            code: answer.reason.as_ref().map(Reason::code),
        }
    }
}

/// The answer before version 1.5 of the contract, in which a failure looks like a *no*.
#[derive(Serialize)]
struct LegacyBody<'a> {
    exists: bool,
    namespace: &'a str,
    pvc: &'a str,
    backend: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
struct LegacyInvalid {
    error: &'static str,
    exists: bool,
}

/// The word for a state in answers, metrics and logs.
pub(super) fn decision(state: State) -> &'static str {
    match state {
        State::Exists => "restore",
        State::Absent => "fresh",
        State::Unknown => "unknown",
    }
}

pub(super) async fn exists(Extract(app): Extract<Arc<App>>, uri: Uri) -> Response {
    match decide(&app, "/exists/", uri.path()).await {
        Some((question, answer)) => respond(&app, &question, &answer),
        None => invalid(&app),
    }
}

/// Kyverno's `apiCall` drops the body of every answer that is not a 200, and with it the reason of an *unknown*.
pub(super) async fn decided(Extract(app): Extract<Arc<App>>, uri: Uri) -> Response {
    match decide(&app, "/v1/decision/", uri.path()).await {
        Some((question, answer)) => json(StatusCode::OK, &Body::new(&app, &question, &answer)),
        None => json(StatusCode::OK, &Body::invalid()),
    }
}

async fn decide(app: &App, route: &str, path: &str) -> Option<(Question, Answered)> {
    let Some(question) = path.strip_prefix(route).and_then(question) else {
        app.counters.request();
        app.counters.error();
        log::refused(path);
        return None;
    };
    let answer = answer(app, &question).await;
    Some((question, answer))
}

/// The answer to a question, counted and logged.
pub(super) async fn answer(app: &App, question: &Question) -> Answered {
    let asked = Instant::now();
    app.counters.request();
    let candidates = app.checker.settings().template.candidates(question);
    let answered = app.ask(&candidates).await;
    app.counters.decision(&answered.answer);
    log::decision(app, question, &answered.answer, asked.elapsed());
    answered
}

/// What the end of the path asks for. Both parts must be names that Kubernetes allows: a *no* about any other would be a *no*
/// about something that nobody has asked for.
fn question(names: &str) -> Option<Question> {
    let decoded = percent_decoded(names)?;
    let (namespace, pvc) = decoded.split_once('/')?;
    Question::new(namespace, pvc).ok()
}

/// Unlike in a location, a percent sign that begins no escape is a mistake.
fn percent_decoded(text: &str) -> Option<String> {
    let is_whole = |escape: &str| {
        escape.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let decoded =
        text.split('%').skip(1).all(is_whole).then(|| percent_decode_str(text).decode_utf8().ok())?;
    Some(decoded?.into_owned())
}

fn invalid(app: &App) -> Response {
    if app.config.legacy {
        return json(StatusCode::BAD_REQUEST, &LegacyInvalid { error: INVALID_PATH, exists: false });
    }
    json(StatusCode::BAD_REQUEST, &Body::invalid())
}

impl<'a> Body<'a> {
    fn new(app: &'a App, question: &'a Question, answered: &'a Answered) -> Self {
        let (answer, now) = (&answered.answer, app.checker.now().utc());
        let stores = answered.stores.iter();
        Self {
            exists: answer.state == State::Exists,
            decision: decision(answer.state),
            authoritative: answer.state != State::Unknown,
            namespace: question.namespace(),
            pvc: question.pvc(),
            backend: &app.config.backend,
            source: Some(answer.source.to_string()),
            error: error(answer),
            restore_from: answered.restore_from(),
            stores: stores.map(|(location, answer)| StoreBody::new(location, answer, now)).collect(),
        }
    }

    fn invalid() -> Self {
        Self {
            exists: false,
            decision: decision(State::Unknown),
            authoritative: false,
            namespace: "",
            pvc: "",
            backend: "",
            source: None,
            error: Some(INVALID_PATH.to_owned()),
            restore_from: None,
            stores: Vec::new(),
        }
    }
}

/// Why nothing is known, in the words of the contract.
fn error(answer: &Answer) -> Option<String> {
    answer.reason.as_ref().map(|reason| format!("failed to list snapshots: {reason}"))
}

fn respond(app: &App, question: &Question, answered: &Answered) -> Response {
    let answer = &answered.answer;
    let mut response = if app.config.legacy {
        let exists = answer.state == State::Exists;
        let (namespace, pvc) = (question.namespace(), question.pvc());
        let backend = app.config.backend.as_str();
        json(StatusCode::OK, &LegacyBody { exists, namespace, pvc, backend, error: error(answer) })
    } else {
        let body = Body::new(app, question, answered);
        json(if body.authoritative { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &body)
    };
    let headers = response.headers_mut();
    if let Some(as_of) = answer.as_of {
        headers.insert(VIEW_AGE, HeaderValue::from(app.checker.now().elapsed_since(as_of).as_secs()));
    }
    if let (Some(id), Some(latest)) = (&answer.latest_id, answer.latest) {
        // An ID is whatever its writer chose; what cannot be a header is left out.
        if let Ok(id) = HeaderValue::from_str(id.as_str()) {
            headers.insert(SNAPSHOT, id);
        }
        let age = app.checker.now().utc().seconds_since(latest);
        headers.insert(SNAPSHOT_AGE, HeaderValue::from(age));
    }
    if let Some(reason) = &answer.reason {
        headers.insert(REASON, HeaderValue::from_static(reason.code()));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_ask_something() {
        let asked = |path| question(path).map(|q| format!("{} {}", q.namespace(), q.pvc()));
        assert_eq!(asked("media/web").as_deref(), Some("media web"));
        assert_eq!(asked("media/w%65b").as_deref(), Some("media web"));
        assert_eq!(asked("m%65dia%2fweb").as_deref(), Some("media web"));
        for bad in [
            "",
            "media",
            "media/",
            "/web",
            "media/web/",
            "media/web/x",
            "media/a%2Fb",
            "media/%",
            "media/%zz",
            "media/%ff",
            "media/a%00",
            "./media/web",
        ] {
            assert_eq!(asked(bad), None, "{bad}");
        }
    }
}
