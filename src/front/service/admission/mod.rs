//! The webhook of our own: claims that have a backup get it back, claims that certainly have none are created, all others wait.
//!
//! The API server asks it twice about a new claim: `/mutate` may add the source, `/validate` sees what the claim has become, also
//! by other webhooks. The answers are those of `/exists`.

mod restored_from;
mod review;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State as Extract};
use axum::http::StatusCode;
use axum::response::Response;

pub use restored_from::{InvalidRestoredFrom, RestoredFrom};

use super::app::App;
use super::http::{any, json, post, text};
use super::{exists, probes};
use crate::checker::{Answer, Question, State};
use review::{Claim, Denial, Reference, Request, Review, Verdict};

/// etcd takes objects of up to 1.5 MiB, and a review may have two of them.
const MAX_BODY: usize = 8 << 20;

const SKIP: &str = "volsync.backup/skip-restore";
const SKIP_REASON: &str = "volsync.backup/skip-restore-reason";

/// Which of its two questions the API server asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Mutate,
    Validate,
}

/// The webhook, ready to be served over TLS.
pub(super) fn router(app: Arc<App>) -> Router {
    let step = |step| {
        post(
            move |Extract(app): Extract<Arc<App>>, body: Bytes| async move { review(&app, step, &body).await },
        )
    };
    Router::new()
        .route("/mutate", step(Step::Mutate))
        .route("/validate", step(Step::Validate))
        .route("/healthz", any(probes::healthz))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(app)
}

async fn review(app: &App, step: Step, body: &[u8]) -> Response {
    let read = Review::request(body).and_then(|request| {
        let claim = request.new_claim()?;
        Ok((request, claim))
    });
    match read {
        Ok((request, claim)) => {
            let verdict = match claim {
                Some(claim) => judge(app, step, &request, &claim).await,
                None => Verdict::Admitted,
            };
            json(StatusCode::OK, &verdict.answer(&request.uid))
        }
        // The API server takes this for a failure of the webhook, and denies.
        Err(reason) => text(StatusCode::BAD_REQUEST, "text/plain; charset=utf-8", format!("{reason}\n")),
    }
}

async fn judge(app: &App, step: Step, request: &Request, claim: &Claim) -> Verdict {
    if claim.annotation(SKIP) == "true" {
        return skipping(claim);
    }
    let question = match question(request, claim) {
        Ok(question) => question,
        Err(denial) => return Verdict::Denied(denial),
    };
    let answered = exists::answer(app, &question).await;
    match answered.only_elsewhere() {
        // A restore would find nothing in the first store, and the claim would start empty.
        Some(store) => denied(format!(
            "{}/{} has a backup in {store}, but none in {}: restore it from there, or say with the annotations {SKIP}: \"true\" and \
             {SKIP_REASON} that it starts again",
            question.namespace(),
            question.pvc(),
            app.location
        )),
        None => verdict(step, claim, &question, &answered.answer, &app.config.restored_from),
    }
}

fn skipping(claim: &Claim) -> Verdict {
    if claim.annotation(SKIP_REASON).trim().is_empty() {
        return denied(format!("a claim that skips its restore says why in the annotation {SKIP_REASON}"));
    }
    Verdict::Admitted
}

fn question(request: &Request, claim: &Claim) -> Result<Question, Denial> {
    let name = &claim.metadata.name;
    if name.is_empty() {
        let message = "a claim with a backup needs metadata.name: its backup is found by that name, and generateName makes a new one \
                       each time";
        return Err(Denial { for_now: false, message: message.to_owned() });
    }
    Question::new(&request.namespace, name).map_err(|e| Denial {
        for_now: false,
        message: format!("{:?} and {name:?} are no namespace and claim: {e}", request.namespace),
    })
}

/// What an answer means for a claim.
fn verdict(step: Step, claim: &Claim, question: &Question, answer: &Answer, from: &RestoredFrom) -> Verdict {
    let name = format!("{}/{}", question.namespace(), question.pvc());
    match answer.state {
        State::Absent => Verdict::Admitted,
        State::Unknown => {
            let reason =
                answer.reason.as_ref().map_or_else(|| "no reason is known".to_owned(), ToString::to_string);
            Verdict::Denied(Denial {
                for_now: true,
                message: format!(
                    "whether {name} has a backup is not known: {reason}. It is asked again when the claim is created again"
                ),
            })
        }
        State::Exists => {
            let wanted = Reference::to_restore(from, question.pvc());
            if claim.spec.data_source_ref.as_ref().is_some_and(|given| same(given, &wanted, question)) {
                return Verdict::Admitted;
            }
            match step {
                Step::Mutate if claim.spec.data_source.is_none() && claim.spec.data_source_ref.is_none() => {
                    Verdict::AdmittedFrom(wanted)
                }
                // Another webhook may change it yet: `/validate` sees what comes out.
                Step::Mutate => Verdict::Admitted,
                Step::Validate => denied(format!(
                    "{name} has a backup, but would not be restored from it: leave dataSource and dataSourceRef out, name the {} {}, or \
                     say with the annotations {SKIP}: \"true\" and {SKIP_REASON} that it starts again",
                    wanted.kind, wanted.name
                )),
            }
        }
    }
}

fn same(given: &Reference, wanted: &Reference, question: &Question) -> bool {
    let namespace = given.namespace.as_deref().filter(|namespace| !namespace.is_empty());
    namespace.is_none_or(|namespace| namespace == question.namespace())
        && (&given.api_group, &given.kind, &given.name) == (&wanted.api_group, &wanted.kind, &wanted.name)
}

fn denied(message: String) -> Verdict {
    Verdict::Denied(Denial { for_now: false, message })
}
