//! The wire form: `AdmissionReview` of `admission.k8s.io/v1`, as far as a webhook for claims needs it.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::restored_from::RestoredFrom;

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

/// What the API server sends.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Review {
    api_version: String,
    kind: String,
    request: Request,
}

/// What somebody wants to do.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    pub(super) uid: String,
    pub(super) resource: Resource,
    #[serde(default)]
    pub(super) sub_resource: String,
    pub(super) operation: String,
    #[serde(default)]
    pub(super) namespace: String,
    object: Option<Box<RawValue>>,
}

/// What it is done to.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Resource {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) resource: String,
}

/// A PersistentVolumeClaim.
#[derive(Debug, Deserialize)]
pub(super) struct Claim {
    pub(super) metadata: Metadata,
    pub(super) spec: Spec,
}

#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    /// Empty where the API server is to make a name.
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spec {
    pub(super) data_source: Option<Reference>,
    pub(super) data_source_ref: Option<Reference>,
}

/// What a volume is filled from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reference {
    #[serde(default)]
    pub(super) api_group: Option<String>,
    pub(super) kind: String,
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) namespace: Option<String>,
}

impl Review {
    /// The request in a body, or why there is none.
    pub(super) fn request(body: &[u8]) -> Result<Request, String> {
        let review: Self = serde_json::from_slice(body).map_err(|e| format!("no AdmissionReview: {e}"))?;
        if (review.api_version.as_str(), review.kind.as_str()) != (API_VERSION, KIND) {
            return Err(format!("an {KIND} of {API_VERSION} is expected"));
        }
        Ok(review.request)
    }
}

impl Request {
    /// The claim that is to be created; `None` when it is about anything else.
    pub(super) fn new_claim(&self) -> Result<Option<Claim>, String> {
        let claims = Resource {
            group: String::new(),
            version: "v1".to_owned(),
            resource: "persistentvolumeclaims".to_owned(),
        };
        if self.resource != claims || !self.sub_resource.is_empty() || self.operation != "CREATE" {
            return Ok(None);
        }
        let object = self.object.as_ref().ok_or("the request has no object")?;
        serde_json::from_str(object.get()).map(Some).map_err(|e| format!("no PersistentVolumeClaim: {e}"))
    }
}

impl Claim {
    pub(super) fn annotation(&self, name: &str) -> &str {
        self.metadata.annotations.as_ref().and_then(|all| all.get(name)).map_or("", String::as_str)
    }
}

impl Reference {
    /// What the claim of this name is restored from.
    pub(super) fn to_restore(from: &RestoredFrom, claim: &str) -> Self {
        Self {
            api_group: Some(from.group().to_owned()),
            kind: from.kind().to_owned(),
            name: from.name(claim),
            namespace: None,
        }
    }
}

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Admitted,
    /// With this source of its data.
    AdmittedFrom(Reference),
    Denied(Denial),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Denial {
    /// Whether the same request may be admitted later.
    pub(super) for_now: bool,
    pub(super) message: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
}

#[derive(Serialize)]
struct Status<'a> {
    code: u16,
    reason: &'static str,
    message: &'a str,
}

/// One step of a JSON patch.
#[derive(Serialize)]
struct Step<'a> {
    op: &'static str,
    path: &'static str,
    value: &'a Reference,
}

impl Verdict {
    /// The body of the answer to the request with this UID.
    pub(super) fn answer<'a>(&'a self, uid: &'a str) -> impl Serialize + 'a {
        let denial = match self {
            Self::Denied(denial) => Some(denial),
            _ => None,
        };
        let patch = match self {
            Self::AdmittedFrom(reference) => {
                let steps = [Step { op: "add", path: "/spec/dataSourceRef", value: reference }];
                Some(STANDARD.encode(serde_json::to_vec(&steps).unwrap_or_default()))
            }
            _ => None,
        };
        Answer {
            api_version: API_VERSION,
            kind: KIND,
            response: Response {
                uid,
                allowed: denial.is_none(),
                status: denial.map(|Denial { for_now, message }| Status {
                    code: if *for_now { 503 } else { 403 },
                    reason: if *for_now { "ServiceUnavailable" } else { "Forbidden" },
                    message,
                }),
                patch_type: patch.as_ref().map(|_| "JSONPatch"),
                patch,
            },
        }
    }
}
