//! S3, and all that speaks it.

mod answers;
mod credentials;
mod endpoint;

use object_store::aws::AwsAuthorizer;
use object_store::client::HttpRequestBody;
use reqwest::header::RANGE;
use reqwest::{Request, Response, StatusCode};

use self::answers::Denied;
use self::credentials::Credentials;
pub use self::credentials::Role;
use self::endpoint::Endpoint;
use super::service::{Ask, Page, Refusal, Service, range_header};
use super::store::Objects;
use crate::blob::remote::{Client, Hidden, Tls, encoded_path, error_text, query, whole};
use crate::blob::{Cause, Error, Trouble};
use crate::os::sync::Mutex;

/// Where requests go that name no region, as those of Kopia do.
const DEFAULT_REGION: &str = "us-east-1";

/// A page of a thousand names has less.
const MAX_PAGE: u64 = 16 << 20;

/// A bucket, and how it is reached.
#[derive(Debug, Clone, Default)]
pub struct S3Options {
    /// The bucket.
    pub bucket: String,
    /// What the names of all objects begin with.
    pub prefix: String,
    /// `host` or `host:port`; empty for Amazon.
    pub endpoint: String,
    /// Connect without TLS.
    pub plain_http: bool,
    /// How the server is trusted.
    pub tls: Tls,
    /// The region; empty to find it out.
    pub region: String,
    /// Static credentials; without them, those that the environment offers, or none.
    pub access_key: Hidden,
    /// The other half of them.
    pub secret_key: Hidden,
    /// Beside them, where they are temporary.
    pub session_token: Hidden,
    /// A role to take on with these credentials.
    pub role: Option<Role>,
}

impl S3Options {
    /// The bucket as a store. Nothing is asked of the server yet.
    ///
    /// # Errors
    /// What cannot be reached so: see [`Cause`].
    pub fn open(self) -> Result<Objects, Error> {
        let place = self.to_string();
        let refuse = |trouble: Trouble| Error::Remote(Box::new(trouble.during(format!("opening {place}"))));
        let prefix = self.prefix.clone();
        let s3 = S3::new(self).map_err(refuse)?;
        Objects::new(Service::S3(s3), prefix, place)
    }
}

impl std::fmt::Display for S3Options {
    /// As the location that names it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "s3://{}", self.bucket)?;
        if !self.prefix.is_empty() {
            write!(f, "/{}", self.prefix)?;
        }
        if !self.endpoint.is_empty() {
            let scheme = if self.plain_http { "http" } else { "https" };
            write!(f, "?endpoint={scheme}://{}", self.endpoint)?;
        }
        Ok(())
    }
}

/// A bucket that is talked to.
#[derive(Debug)]
pub(super) struct S3 {
    bucket: String,
    endpoint: Endpoint,
    client: Client,
    credentials: Credentials,
    /// The region that requests are signed for, corrected by the first answer that knows better.
    region: Mutex<String>,
}

impl S3 {
    fn new(options: S3Options) -> Result<Self, Trouble> {
        let endpoint = Endpoint::new(&options.endpoint, options.plain_http, &options.bucket)?;
        let client = Client::new(&options.tls, !options.plain_http)?;
        let region = match options.region.as_str() {
            "" => endpoint.region().unwrap_or(DEFAULT_REGION).to_owned(),
            region => region.to_owned(),
        };
        let credentials = Credentials::new(&options, &region)?;
        Ok(Self { bucket: options.bucket, endpoint, client, credentials, region: Mutex::new(region) })
    }

    fn region(&self) -> String {
        self.region.lock().clone()
    }

    /// Asks for an object, or for something about the bucket. Where the bucket is in another region than was thought, once
    /// more there.
    async fn ask(&self, key: &str, query: &str, range: Option<(u64, usize)>) -> Result<Response, Denied> {
        let region = self.region();
        match self.ask_in(&region, key, query, range).await {
            Err(Denied { region: Some(other), .. }) if other != region => {
                let answer = self.ask_in(&other, key, query, range).await;
                if answer.as_ref().map_or_else(|denied| !denied.is_about_the_region(), |_| true) {
                    tracing::debug!(region = %other, "the bucket is in another region");
                    *self.region.lock() = other;
                }
                answer
            }
            answer => answer,
        }
    }

    async fn ask_in(
        &self,
        region: &str,
        key: &str,
        query: &str,
        range: Option<(u64, usize)>,
    ) -> Result<Response, Denied> {
        let mut address = self.endpoint.bucket(region);
        address.push('/');
        address.push_str(&encoded_path(key));
        if !query.is_empty() {
            address.push('?');
            address.push_str(query);
        }
        let mut request = http::Request::get(&address);
        if let Some(range) = range {
            request = request.header(RANGE, range_header(range));
        }
        let unusable = |why: String| Denied::from(Trouble::new(Cause::Refused, format!("{address}: {why}")));
        let mut request = request.body(HttpRequestBody::empty()).map_err(|e| unusable(e.to_string()))?;
        let credential = self.credentials.get().await?;
        if let Some(credential) = &credential {
            AwsAuthorizer::new(credential, "s3", region)
                .try_authorize(&mut request, None)
                .map_err(|e| unusable(e.to_string()))?;
        }
        let url = reqwest::Url::parse(&address).map_err(|e| unusable(e.to_string()))?;
        let mut plain = Request::new(reqwest::Method::GET, url);
        *plain.headers_mut() = request.into_parts().0.headers;
        let response = self.client.send(plain).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, headers) = (response.status(), response.headers().clone());
        let body = error_text(response).await;
        Err(Denied::read(status, &headers, &body, credential.is_none()))
    }

    pub(super) async fn get(&self, key: &str, range: Option<(u64, usize)>) -> Result<Response, Refusal> {
        self.ask(key, "", range).await.map_err(|denied| match (denied.status, denied.code.as_str()) {
            (Some(StatusCode::NOT_FOUND), "NoSuchKey") => Refusal::NotFound,
            (Some(StatusCode::RANGE_NOT_SATISFIABLE), "InvalidRange") => Refusal::BehindEnd,
            _ => Refusal::Trouble(denied.trouble),
        })
    }

    pub(super) async fn page(&self, ask: Ask<'_>) -> Result<Page, Trouble> {
        let mut pairs = vec![("list-type", "2"), ("encoding-type", "url"), ("prefix", ask.prefix)];
        if ask.flat {
            pairs.push(("delimiter", "/"));
        }
        if let Some(token) = ask.token {
            pairs.push(("continuation-token", token));
        }
        if let Some(after) = ask.after {
            pairs.push(("start-after", after));
        }
        let response = self.ask("", &query(&pairs), None).await.map_err(|denied| denied.trouble)?;
        let body = whole(response, MAX_PAGE).await?;
        let body =
            body.map_err(|size| Trouble::new(Cause::AnswerInvalid, format!("a page of {size} bytes")))?;
        answers::page(&body, &self.bucket, ask.prefix)
    }
}
