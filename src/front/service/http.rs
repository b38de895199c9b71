//! The routes.

use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::handler::Handler;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{Response as HttpResponse, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{self, MethodRouter};
use serde::Serialize;

use super::app::App;
use super::{badge, exists, latency, metrics, page, probes, v1};

/// The reference takes all that begins with /exists/ for a question, however badly put.
const QUESTIONS: [&str; 3] = ["/exists", "/exists/", "/exists/{*rest}"];

type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;

/// A handler of any kind. The program would otherwise have the whole way to a handler once for each of them.
#[derive(Clone)]
struct AnyHandler(Arc<dyn Fn(Request, Arc<App>) -> Answering + Send + Sync>);

impl AnyHandler {
    fn new<T>(handler: impl Handler<T, Arc<App>, Future = Answering>) -> Self {
        Self(Arc::new(move |request, app| handler.clone().call(request, app)))
    }
}

impl Handler<(), Arc<App>> for AnyHandler {
    type Future = Answering;

    fn call(self, request: Request, app: Arc<App>) -> Answering {
        (self.0)(request, app)
    }
}

/// Answers GET and HEAD.
pub(super) fn get<T>(handler: impl Handler<T, Arc<App>, Future = Answering>) -> MethodRouter<Arc<App>> {
    routing::get(AnyHandler::new(handler))
}

/// Answers POST.
pub(super) fn post<T>(handler: impl Handler<T, Arc<App>, Future = Answering>) -> MethodRouter<Arc<App>> {
    routing::post(AnyHandler::new(handler))
}

/// Answers requests of every method.
pub(super) fn any<T>(handler: impl Handler<T, Arc<App>, Future = Answering>) -> MethodRouter<Arc<App>> {
    routing::any(AnyHandler::new(handler))
}

struct Route {
    /// The path as `openapi.json` writes it.
    described: &'static str,
    /// The paths that lead here.
    paths: Vec<&'static str>,
    handler: MethodRouter<Arc<App>>,
}

fn routes() -> Vec<Route> {
    let plain = |path, handler| Route { described: path, paths: vec![path], handler };
    let exists = Route {
        described: "/exists/{namespace}/{pvc}",
        paths: QUESTIONS.to_vec(),
        handler: any(exists::exists),
    };
    let decision = Route {
        described: "/v1/decision/{namespace}/{pvc}",
        paths: vec!["/v1/decision", "/v1/decision/", "/v1/decision/{*rest}"],
        handler: get(exists::decided),
    };
    vec![
        exists,
        decision,
        plain("/healthz", any(probes::healthz)),
        plain("/readyz", any(probes::readyz)),
        plain("/v1/ready", get(probes::has_been_ready)),
        plain("/metrics", any(metrics::metrics)),
        plain("/v1/repository", get(v1::repository)),
        plain("/v1/sources", get(v1::sources)),
        plain("/v1/snapshots", get(v1::snapshots)),
        plain("/v1/audit", get(v1::audit_sources)),
        plain("/v1/openapi.json", get(v1::openapi)),
        plain("/", get(page::page)),
        plain("/badge.svg", get(badge::badge)),
    ]
}

/// The service, ready to be served.
pub(super) fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for route in routes() {
        let handler =
            route.handler.layer(from_fn_with_state((Arc::clone(&app), route.described), latency::timed));
        for path in route.paths {
            router = router.route(path, handler.clone());
        }
    }
    #[cfg(feature = "browse")]
    let router = router.merge(super::browse::router(&app));
    router.fallback(not_found).with_state(app)
}

async fn not_found() -> Response {
    text(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "404 page not found\n")
}

/// A body of a type.
pub(super) fn text(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = HttpResponse::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A JSON body with a newline at its end.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let mut bytes = serde_json::to_vec(body).unwrap_or_default();
    bytes.push(b'\n');
    text(status, "application/json", bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_description_names_every_route() {
        let described: serde_json::Value = serde_json::from_str(v1::OPENAPI).unwrap();
        let paths = described["paths"].as_object().unwrap();
        let described: BTreeSet<&str> = paths.keys().map(String::as_str).collect();
        assert_eq!(described, routes().iter().map(|route| route.described).collect());
        for (path, item) in paths {
            let responses = item["get"]["responses"].as_object().unwrap();
            assert!(responses.contains_key("200") && item["get"]["summary"].is_string(), "{path}");
        }
    }
}
