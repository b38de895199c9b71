//! Requests with the signature of Amazon.

use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::HttpRequestBody;
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, Request, Url};

use crate::blob::{Cause, Trouble};

/// A request, signed where there is a credential, for a service in a region.
pub(super) fn request(
    method: Method,
    address: &str,
    headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
    body: Vec<u8>,
    signed: Option<(&AwsCredential, &str, &str)>,
) -> Result<Request, Trouble> {
    let unusable = |why: String| Trouble::new(Cause::Refused, format!("{address}: {why}"));
    let url = Url::parse(address).map_err(|e| unusable(e.to_string()))?;
    let mut request = http::Request::builder()
        .method(method.clone())
        .uri(address)
        .body(HttpRequestBody::from(body.clone()))
        .map_err(|e| unusable(e.to_string()))?;
    request.headers_mut().extend(headers);
    if let Some((credential, service, region)) = signed {
        AwsAuthorizer::new(credential, service, region)
            .try_authorize(&mut request, None)
            .map_err(|e| unusable(e.to_string()))?;
    }
    let mut plain = Request::new(method, url);
    *plain.headers_mut() = request.into_parts().0.headers;
    if !body.is_empty() {
        *plain.body_mut() = Some(body.into());
    }
    Ok(plain)
}
