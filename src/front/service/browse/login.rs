//! Logging in with a token, for browsers.

use std::sync::Arc;

use axum::Form;
use axum::extract::{Query, Request, State as Extract};
use axum::http::header::{HeaderMap, HeaderValue, LOCATION, SET_COOKIE};
use axum::http::{HeaderName, StatusCode};
use axum::response::Response;
use serde::Deserialize;

use super::access::{SESSION, SESSION_COOKIE};
use super::{Trouble, html, links};
use crate::front::service::app::App;
use crate::front::service::http;
use crate::text::escape_html;

/// How a proxy says that the browser speaks TLS with it.
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

#[derive(Deserialize)]
pub(super) struct Asked {
    then: Option<String>,
}

pub(super) async fn form(Query(asked): Query<Asked>) -> Response {
    page(StatusCode::OK, links::then(asked.then.as_deref()), "")
}

/// The answer to who is not logged in.
pub(super) fn ask(then: &str) -> Response {
    page(StatusCode::UNAUTHORIZED, links::then(Some(then)), "")
}

fn page(status: StatusCode, then: &str, wrong: &str) -> Response {
    let wrong =
        if wrong.is_empty() { String::new() } else { format!("<p class=\"bad\" role=\"alert\">{wrong}</p>") };
    let body = format!(
        "<h1>Log in</h1>{wrong}<p>The pages show data of backups to people who are let in.</p>\
         <form method=\"post\" action=\"/browse/login\"><input type=\"hidden\" name=\"then\" value=\"{}\">\
         <label>Token <input type=\"password\" name=\"token\" autocomplete=\"current-password\" required autofocus></label> \
         <button>Log in</button></form>",
        escape_html(then)
    );
    html::page(status, "Log in", None, &body)
}

#[derive(Deserialize)]
pub(super) struct Given {
    token: String,
    then: Option<String>,
}

pub(super) async fn log_in(
    Extract(app): Extract<Arc<App>>,
    headers: HeaderMap,
    Form(given): Form<Given>,
) -> Result<Response, Trouble> {
    let browse = app.browse.as_ref().ok_or(Trouble::NotFound)?;
    let then = links::then(given.then.as_deref());
    let Some(session) = browse.access.log_in(&given.token) else {
        tracing::warn!(code = "login-refused", "browse: a token that nobody has");
        return Ok(page(StatusCode::FORBIDDEN, then, "Nobody has this token."));
    };
    let secure = headers.get(FORWARDED_PROTO).is_some_and(|proto| proto == "https");
    Ok(go(then, &cookie(&session, SESSION.as_secs(), secure)))
}

pub(super) async fn log_out(_: Request) -> Response {
    go("/browse/login", &cookie("", 0, false))
}

fn cookie(value: &str, seconds: u64, secure: bool) -> String {
    let secure = if secure { "; Secure" } else { "" };
    format!("{SESSION_COOKIE}={value}; Path=/browse; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")
}

fn go(to: &str, cookie: &str) -> Response {
    let mut response = html::guarded(http::text(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", ""));
    for (name, value) in [(LOCATION, to), (SET_COOKIE, cookie)] {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
