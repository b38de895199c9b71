//! The frame of every page.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, StatusCode};
use axum::response::Response;

use super::access::Viewer;
use super::links;
use crate::front::service::http;
use crate::front::service::page::day;
use crate::snapshot::Snapshot;
use crate::text::escape_html;

const STYLE: &str = concat!(include_str!("../page.css"), include_str!("browse.css"));

/// A disc, as the address of an image.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http%3A//www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Ccircle \
                    cx='8' cy='8' r='7' fill='%233b7cc4'/%3E%3C/svg%3E";

const POLICY: &str = "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

/// What no response of these pages lacks: their content is private, and nothing in it is to be run or guessed at.
const HEADERS: [(HeaderName, &str); 4] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (CACHE_CONTROL, "no-store"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "same-origin"),
];

/// Adds the headers of these pages.
pub(super) fn guarded(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

pub(super) async fn style() -> Response {
    let mut response = http::text(StatusCode::OK, "text/css; charset=utf-8", STYLE);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("max-age=3600"));
    response
}

/// A page. `title` is text, `body` is markup.
pub(super) fn page(status: StatusCode, title: &str, viewer: Option<&Viewer>, body: &str) -> Response {
    let title = escape_html(title);
    let session = viewer.map_or_else(String::new, |viewer| {
        let name = escape_html(&viewer.name);
        let end = if viewer.has_session {
            " <form method=\"post\" action=\"/browse/logout\"><button>Log out</button></form>"
        } else {
            ""
        };
        format!("<span class=\"who\"><span class=\"dim\">{name}</span>{end}</span>")
    });
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width,initial-scale=1\"><title>{title} · Backups</title><link rel=\"icon\" href=\"{ICON}\">\
         <link rel=\"stylesheet\" href=\"/browse/style.css\"></head><body><a class=\"skip\" href=\"#main\">Skip to content</a>\
         <header><nav aria-label=\"Site\"><a href=\"/\">Overview</a> <a href=\"/browse\">All sources</a></nav>{session}\
         </header><main id=\"main\">{body}</main></body></html>\n"
    );
    guarded(http::text(status, "text/html; charset=utf-8", html))
}

/// A page that says why there is none.
pub(super) fn failed(status: StatusCode, title: &str, why: &str, code: Option<&str>) -> Response {
    let code = code.map_or_else(String::new, |code| format!(" <code>{}</code>", escape_html(code)));
    let body = format!("<h1>{}</h1><p>{}{code}</p>", escape_html(title), escape_html(why));
    page(status, title, None, &body)
}

/// The way down to a path in a snapshot. Each part but the last is a link.
pub(super) fn trail(snapshot: &Snapshot, path: &str) -> String {
    let source = &snapshot.found_as;
    let id = snapshot.id.as_str();
    let mut links = vec![
        (links::source(source), source.to_string()),
        (links::at("snapshot", id, ""), day(snapshot.start_time)),
    ];
    let mut below = String::new();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        below.push('/');
        below.push_str(part);
        links.push((links::at("snapshot", id, &below), part.to_owned()));
    }
    let last = links.len() - 1;
    let items = links.iter().enumerate().map(|(at, (href, name))| {
        let name = escape_html(name);
        if at == last {
            format!("<li aria-current=\"page\">{name}</li>")
        } else {
            format!("<li><a href=\"{href}\">{name}</a></li>")
        }
    });
    format!("<nav aria-label=\"Path\"><ol class=\"trail\">{}</ol></nav>", items.collect::<String>())
}

/// The form to search the snapshots of a source by name.
pub(super) fn search_form(source: &str, name: &str) -> String {
    format!(
        "<form class=\"search\" role=\"search\" action=\"/browse/search\"><input type=\"hidden\" name=\"of\" value=\"{}\">\
         <label>Find by name in all snapshots <input type=\"search\" name=\"name\" value=\"{}\" required></label> \
         <button>Find</button></form>",
        escape_html(source),
        escape_html(name)
    )
}
