//! `/exists/{namespace}/{pvc}`: the wire contract that admission policies rely on.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::State as Extract;
use axum::http::header::{HeaderName, HeaderValue};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::Serialize;

use super::app::App;
use super::http::json;
use super::log;
use crate::checker::{Answer, Question, State};

const INVALID_PATH: &str = "invalid path format, expected /exists/{namespace}/{pvc}";

/// Age of the view that an answer rests on, and why it is unknown: beside the body, whose fields are fixed.
const VIEW_AGE: HeaderName = HeaderName::from_static("rokopia-view-age-seconds");
const REASON: HeaderName = HeaderName::from_static("rokopia-reason");

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
    let asked = Instant::now();
    app.counters.request();
    let Some(question) = question(uri.path()) else {
        app.counters.error();
        log::refused(uri.path());
        return invalid(&app);
    };
    let candidates = app.checker.settings().template.candidates(&question);
    let answer = app.ask(&candidates).await;
    app.counters.decision(&answer);
    log::decision(&app, &question, &answer, asked.elapsed());
    respond(&app, &question, &answer)
}

/// What the path asks for. Both parts must be names that Kubernetes allows: a *no* about any other would be a *no* about
/// something that nobody has asked for.
fn question(path: &str) -> Option<Question> {
    let decoded = percent_decoded(path.strip_prefix("/exists/")?)?;
    let (namespace, pvc) = decoded.split_once('/')?;
    Question::new(namespace, pvc).ok()
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = tail.split_at_checked(2)?;
        let mut byte = [0];
        hex::decode_to_slice(digits, &mut byte).ok()?;
        bytes.extend(byte);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

fn invalid(app: &App) -> Response {
    if app.config.legacy {
        return json(StatusCode::BAD_REQUEST, &LegacyInvalid { error: INVALID_PATH, exists: false });
    }
    let body = Body {
        exists: false,
        decision: decision(State::Unknown),
        authoritative: false,
        namespace: "",
        pvc: "",
        backend: "",
        source: None,
        error: Some(INVALID_PATH.to_owned()),
    };
    json(StatusCode::BAD_REQUEST, &body)
}

fn respond(app: &App, question: &Question, answer: &Answer) -> Response {
    let exists = answer.state == State::Exists;
    let (namespace, pvc) = (question.namespace(), question.pvc());
    let backend = app.config.backend.as_str();
    let error = answer.reason.as_ref().map(|reason| format!("failed to list snapshots: {reason}"));
    let mut response = if app.config.legacy {
        json(StatusCode::OK, &LegacyBody { exists, namespace, pvc, backend, error })
    } else {
        let authoritative = answer.state != State::Unknown;
        let status = if authoritative { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let source = Some(answer.source.to_string());
        let decision = decision(answer.state);
        json(status, &Body { exists, decision, authoritative, namespace, pvc, backend, source, error })
    };
    let headers = response.headers_mut();
    if let Some(as_of) = answer.as_of {
        headers.insert(VIEW_AGE, HeaderValue::from(app.checker.now().elapsed_since(as_of).as_secs()));
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
        assert_eq!(asked("/exists/media/web").as_deref(), Some("media web"));
        assert_eq!(asked("/exists/media/w%65b").as_deref(), Some("media web"));
        assert_eq!(asked("/exists/m%65dia%2fweb").as_deref(), Some("media web"));
        for bad in [
            "/exists",
            "/exists/",
            "/exists/media",
            "/exists/media/",
            "/exists//web",
            "/exists/media/web/",
            "/exists/media/web/x",
            "/exists/media/a%2Fb",
            "/exists/media/%",
            "/exists/media/%zz",
            "/exists/media/%ff",
            "/exists/media/a%00",
            "/exists/./media/web",
        ] {
            assert_eq!(asked(bad), None, "{bad}");
        }
    }
}
