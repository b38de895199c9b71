//! S3, and all that speaks it.

mod answers;
mod b2;
mod credentials;
mod endpoint;
mod role;
mod signing;
mod versions;

use reqwest::header::{HeaderValue, RANGE};
use reqwest::{Method, StatusCode};

use self::answers::Denied;
use self::credentials::Credentials;
use self::endpoint::Endpoint;
pub use self::role::Role;
use super::service::{Answer, Ask, Page, Refusal, Service, VersionAsk, VersionPage, range_header};
use super::store::Objects;
use crate::blob::remote::{Client, Hidden, Tls, encoded_path, error_text, query, whole};
use crate::blob::{Cause, Error, ObjectLock, Protection, Question, Traffic, Trouble};
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
    /// The server of Backblaze B2 that names endpoint and region for a key; empty for Backblaze's own.
    pub b2: Option<String>,
    /// Read the bucket as it was at this moment, from the versions that it keeps.
    pub moment: Option<jiff::Timestamp>,
}

impl S3Options {
    /// The bucket as a store, whose requests are counted in `traffic`. Nothing is asked of the server yet.
    ///
    /// # Errors
    /// What cannot be reached so: see [`Cause`].
    pub fn open(self, traffic: &Traffic) -> Result<Objects, Error> {
        let (place, prefix, moment) = (self.to_string(), self.prefix.clone(), self.moment);
        let service = S3::new(self, traffic).map(|s3| Service::S3(Box::new(s3)));
        Ok(Objects::new(service, prefix, place)?.at_moment(moment))
    }
}

impl std::fmt::Display for S3Options {
    /// As the location that names it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", if self.b2.is_some() { "b2" } else { "s3" }, self.bucket)?;
        if !self.prefix.is_empty() {
            write!(f, "/{}", self.prefix)?;
        }
        if !self.endpoint.is_empty() {
            let scheme = if self.plain_http { "http" } else { "https" };
            write!(f, "?endpoint={scheme}://{}", self.endpoint)?;
        }
        match self.moment {
            Some(moment) => write!(f, "{}at={moment}", if self.endpoint.is_empty() { '?' } else { '&' }),
            None => Ok(()),
        }
    }
}

/// Where the bucket is.
#[derive(Debug)]
enum Address {
    Known(Endpoint),
    /// What B2 tells.
    OfAccount(b2::Account),
}

/// The region in the name of a server of Backblaze B2.
#[must_use]
pub fn b2_region(host: &str) -> Option<&str> {
    b2::region(host)
}

/// A bucket that is talked to.
#[derive(Debug)]
pub(super) struct S3 {
    bucket: String,
    endpoint: Address,
    client: Client,
    credentials: Credentials,
    /// The region that requests are signed for, corrected by the first answer that knows better.
    region: Mutex<String>,
}

impl S3 {
    fn new(options: S3Options, traffic: &Traffic) -> Result<Self, Trouble> {
        let client = Client::new(&options.tls, !options.plain_http)?.counted(traffic.clone());
        let endpoint = match &options.b2 {
            Some(server) => Address::OfAccount(b2::Account::new(&options, server)?),
            None => Address::Known(Endpoint::new(&options.endpoint, options.plain_http, &options.bucket)?),
        };
        let region = match (options.region.as_str(), &endpoint) {
            ("", Address::Known(endpoint)) => endpoint.region().unwrap_or(DEFAULT_REGION).to_owned(),
            (region, _) => region.to_owned(),
        };
        let credentials = Credentials::new(&options, &region)?;
        Ok(Self { bucket: options.bucket, endpoint, client, credentials, region: Mutex::new(region) })
    }

    /// Where the bucket is, and in which region it is thought to be.
    async fn address(&self) -> Result<(&Endpoint, String), Trouble> {
        let endpoint = match &self.endpoint {
            Address::Known(endpoint) => endpoint,
            Address::OfAccount(account) => {
                let found = account.find(&self.client).await?;
                let mut region = self.region.lock();
                if region.is_empty() {
                    region.clone_from(&found.region);
                }
                &found.endpoint
            }
        };
        Ok((endpoint, self.region.lock().clone()))
    }

    /// Asks for an object, or for something about the bucket. Where the bucket is in another region than was thought, once
    /// more there.
    async fn ask(&self, key: &str, query: &str, range: Option<(u64, usize)>) -> Result<Answer, Denied> {
        let (endpoint, region) = self.address().await?;
        match self.ask_in(endpoint, &region, key, query, range).await {
            Err(Denied { region: Some(other), .. }) if other != region => {
                let answer = self.ask_in(endpoint, &other, key, query, range).await;
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
        endpoint: &Endpoint,
        region: &str,
        key: &str,
        query: &str,
        range: Option<(u64, usize)>,
    ) -> Result<Answer, Denied> {
        let mut address = endpoint.bucket(region);
        address.push('/');
        address.push_str(&encoded_path(key));
        if !query.is_empty() {
            address.push('?');
            address.push_str(query);
        }
        let range = range.and_then(|range| HeaderValue::from_str(&range_header(range)).ok());
        let headers = range.map(|range| (RANGE, range));
        let credential = self.credentials.get().await?;
        let signed = credential.as_deref().map(|credential| (credential, "s3", region));
        let request = signing::request(Method::GET, &address, headers, Vec::new(), signed)?;
        let question = if key.is_empty() { Question::List } else { Question::Read };
        let response = self.client.send(question, request).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, headers) = (response.status(), response.headers().clone());
        let body = error_text(response).await;
        Err(Denied::read(status, &headers, &body, credential.is_none()))
    }

    pub(super) async fn get(
        &self,
        key: &str,
        version: Option<&str>,
        range: Option<(u64, usize)>,
    ) -> Result<Answer, Refusal> {
        let query = version.map(|version| query(&[("versionId", version)])).unwrap_or_default();
        self.ask(key, &query, range).await.map_err(|denied| match (denied.status, denied.code.as_str()) {
            (Some(StatusCode::NOT_FOUND), "NoSuchKey" | "NoSuchVersion") => Refusal::NotFound,
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
        answers::page(&self.about_bucket(&query(&pairs)).await?, &self.bucket, ask.prefix)
    }

    pub(super) async fn versions(&self, ask: VersionAsk<'_>) -> Result<VersionPage, Trouble> {
        let mut pairs = vec![("versions", ""), ("encoding-type", "url"), ("prefix", ask.prefix)];
        if ask.flat {
            pairs.push(("delimiter", "/"));
        }
        if let Some(marker) = ask.marker {
            pairs.push(("key-marker", marker.key.as_str()));
            pairs.extend(marker.id.iter().map(|id| ("version-id-marker", id.as_str())));
        }
        versions::page(&self.about_bucket(&query(&pairs)).await?, &self.bucket, ask.prefix)
    }

    pub(super) async fn keeps_versions(&self) -> Result<bool, Trouble> {
        let answer = self.about_bucket("versioning=").await?;
        versions::are_kept(&answer)
            .ok_or_else(|| Trouble::new(Cause::AnswerInvalid, "it does not say whether versions are kept"))
    }

    pub(super) async fn protection(&self) -> Protection {
        let lock = match self.ask("", "object-lock=", None).await {
            Ok(response) => {
                let answer = whole(response, MAX_PAGE).await;
                answer.ok().and_then(Result::ok).as_deref().and_then(versions::lock)
            }
            Err(denied) if denied.code == "ObjectLockConfigurationNotFoundError" => {
                Some(ObjectLock::default())
            }
            Err(denied) => {
                tracing::debug!(error = %denied.trouble, "whether objects are locked is not known");
                None
            }
        };
        let versions = self.keeps_versions().await;
        if let Err(error) = &versions {
            tracing::debug!(%error, "whether versions are kept is not known");
        }
        Protection { versions: versions.ok(), lock }
    }

    /// The body of the answer to a question about the bucket.
    async fn about_bucket(&self, query: &str) -> Result<Vec<u8>, Trouble> {
        let response = self.ask("", query, None).await.map_err(|denied| denied.trouble)?;
        let body = whole(response, MAX_PAGE).await?;
        body.map_err(|size| Trouble::new(Cause::AnswerInvalid, format!("a page of {size} bytes")))
    }
}
