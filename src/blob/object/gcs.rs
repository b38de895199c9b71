//! Google Cloud Storage, by its own protocol.

use std::path::PathBuf;
use std::sync::Arc;

use object_store::RetryConfig;
use object_store::gcp::{GcpCredentialProvider, GoogleCloudStorageBuilder};
use reqwest::header::{AUTHORIZATION, HeaderValue, RANGE};
use reqwest::{Method, Request, StatusCode};
use serde::Deserialize;

use super::connector::{Connector, unobtainable};
use super::service::{Answer, Ask, Item, Page, Refusal, Service, not_a_listing, range_header};
use super::store::Objects;
use crate::blob::remote::{Client, Hidden, Tls, encoded, error_text, query, retry_after, whole};
use crate::blob::{Cause, Error, Question, Traffic, Trouble};

const SERVER: &str = "https://storage.googleapis.com";

/// A page of a thousand names has less.
const MAX_PAGE: u64 = 16 << 20;

/// A bucket, and how it is reached.
#[derive(Debug, Clone, Default)]
pub struct GcsOptions {
    /// The bucket.
    pub bucket: String,
    /// What the names of all objects begin with.
    pub prefix: String,
    /// The key of a service account, as JSON.
    pub credentials: Hidden,
    /// The file that holds it, or other application credentials.
    pub credentials_file: Option<PathBuf>,
    /// `host:port` of an emulator, which is asked without TLS and credentials.
    pub emulator: Option<String>,
}

impl GcsOptions {
    /// The bucket as a store, whose requests are counted in `traffic`. Nothing is asked of the server yet.
    ///
    /// # Errors
    /// What cannot be reached so: see [`Cause`].
    pub fn open(self, traffic: &Traffic) -> Result<Objects, Error> {
        let place = self.to_string();
        Objects::new(Gcs::new(&self, traffic).map(Service::Gcs), self.prefix, place)
    }
}

impl std::fmt::Display for GcsOptions {
    /// As the location that names it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "gs://{}/{}", self.bucket, self.prefix)
    }
}

/// A bucket that is talked to.
#[derive(Debug)]
pub(super) struct Gcs {
    /// The address of the objects of the bucket, without a slash at its end.
    address: String,
    client: Client,
    credentials: Option<GcpCredentialProvider>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    kind: String,
    #[serde(default)]
    items: Vec<Object>,
    #[serde(default)]
    prefixes: Vec<String>,
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    name: String,
    /// A number as text, so that no reader of JSON rounds it.
    size: String,
    time_created: Option<String>,
}

#[derive(Deserialize)]
struct Refused {
    error: Failure,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(default)]
    message: String,
}

impl Gcs {
    fn new(options: &GcsOptions, traffic: &Traffic) -> Result<Self, Trouble> {
        let bucket = encoded(&options.bucket);
        if options.bucket.is_empty() {
            return Err(Trouble::new(Cause::Refused, "no bucket was named"));
        }
        let server = match &options.emulator {
            Some(host) if host.contains("://") => host.trim_end_matches('/').to_owned(),
            Some(host) => format!("http://{host}"),
            None => SERVER.to_owned(),
        };
        let client = Client::new(&Tls::default(), server.starts_with("https:"))?.counted(traffic.clone());
        let credentials = match options.emulator {
            Some(_) => None,
            None => Some(credentials(options)?),
        };
        Ok(Self { address: format!("{server}/storage/v1/b/{bucket}/o"), client, credentials })
    }

    async fn ask(
        &self,
        question: Question,
        address: &str,
        range: Option<(u64, usize)>,
    ) -> Result<Answer, (Option<StatusCode>, Trouble)> {
        let unusable = |why: String| (None, Trouble::new(Cause::Refused, why));
        let url = reqwest::Url::parse(address).map_err(|e| unusable(e.to_string()))?;
        let mut request = Request::new(Method::GET, url);
        let headers = request.headers_mut();
        if let Some(range) = range {
            let value = HeaderValue::from_str(&range_header(range)).map_err(|e| unusable(e.to_string()))?;
            headers.insert(RANGE, value);
        }
        if let Some(provider) = &self.credentials {
            let credential = provider.get_credential().await.map_err(|e| (None, unobtainable(&e)))?;
            let mut value =
                HeaderValue::from_str(&format!("Bearer {}", credential.bearer)).map_err(|_| {
                    (None, Trouble::new(Cause::CredentialsRefused, "the token has characters that none has"))
                })?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let response = self.client.send(question, request).await.map_err(|trouble| (None, trouble))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let pause = retry_after(response.headers());
        let body = error_text(response).await;
        Err((Some(status), refusal(status, &body).retry_after(pause)))
    }

    pub(super) async fn get(&self, key: &str, range: Option<(u64, usize)>) -> Result<Answer, Refusal> {
        let address = format!("{}/{}?alt=media", self.address, encoded(key));
        match self.ask(Question::Read, &address, range).await {
            Ok(response) => Ok(response),
            Err((Some(StatusCode::RANGE_NOT_SATISFIABLE), _)) => Err(Refusal::BehindEnd),
            // Of a bucket that is not there the status is the same: only a listing tells.
            Err((Some(StatusCode::NOT_FOUND), _)) => {
                let ask = Ask { prefix: key, flat: false, token: None, after: None };
                let page = self.page(ask).await?;
                match page.items.iter().any(|item| item.key == key) || page.next.is_some() {
                    true => {
                        Err(Trouble::new(Cause::NotTheStorage, "the object is listed, but not found").into())
                    }
                    false => Err(Refusal::NotFound),
                }
            }
            Err((_, trouble)) => Err(trouble.into()),
        }
    }

    pub(super) async fn page(&self, ask: Ask<'_>) -> Result<Page, Trouble> {
        let mut pairs = vec![("prefix", ask.prefix), ("maxResults", "1000")];
        if ask.flat {
            pairs.push(("delimiter", "/"));
        }
        if let Some(token) = ask.token {
            pairs.push(("pageToken", token));
        }
        let address = format!("{}?{}", self.address, query(&pairs));
        let response = self.ask(Question::List, &address, None).await.map_err(|(_, trouble)| trouble)?;
        let body = whole(response, MAX_PAGE).await?;
        let body = body.map_err(|size| not_a_listing(format!("a page of {size} bytes")))?;
        read(&body)
    }
}

fn read(body: &[u8]) -> Result<Page, Trouble> {
    let list: List = serde_json::from_slice(body).map_err(|e| {
        not_a_listing(format!("it is no list of objects, at line {}, column {}", e.line(), e.column()))
    })?;
    if list.kind != "storage#objects" {
        return Err(not_a_listing(format!("it is a {:?}", list.kind)));
    }
    let item = |object: Object| {
        let size = object.size.parse().map_err(|_| not_a_listing("an object has no size"))?;
        Ok(Item {
            key: object.name,
            size,
            modified: object.time_created.and_then(|time| time.parse().ok()).map(jiff::Timestamp::into),
        })
    };
    let items: Vec<Item> = list.items.into_iter().map(item).collect::<Result<_, Trouble>>()?;
    Ok(Page {
        items,
        next: list.next_page_token.filter(|token| !token.is_empty()),
        folders: list.prefixes.len(),
    })
}

fn refusal(status: StatusCode, body: &str) -> Trouble {
    let answer: Option<Refused> = serde_json::from_str(body).ok();
    let cause = match status {
        StatusCode::NOT_FOUND if answer.is_some() => Cause::BucketMissing,
        StatusCode::NOT_FOUND => Cause::NotTheStorage,
        status => Cause::of_status(status),
    };
    let message = answer.map(|answer| answer.error.message).unwrap_or_default();
    Trouble::new(cause, format!("status {} {message}", status.as_u16()).trim_end().to_owned())
}

fn credentials(options: &GcsOptions) -> Result<GcpCredentialProvider, Trouble> {
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(&options.bucket)
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
        .with_http_connector(Connector { metadata: false });
    if !options.credentials.is_empty() {
        builder = builder.with_service_account_key(options.credentials.expose());
    } else if let Some(file) = &options.credentials_file {
        builder = builder.with_application_credentials(file.to_string_lossy());
    } else {
        builder = builder.with_http_connector(Connector { metadata: true });
    }
    let built = builder.build().map_err(|e| unobtainable(&e))?;
    Ok(Arc::clone(built.credentials()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_and_anything_else_refused() {
        let page = read(
            br#"{"kind":"storage#objects","nextPageToken":"t","prefixes":["a/"],
                "items":[{"name":"k/p1","size":"7","timeCreated":"2026-11-30T20:12:48.123Z"}]}"#,
        )
        .unwrap();
        assert_eq!((page.items[0].key.as_str(), page.items[0].size, page.folders), ("k/p1", 7, 1));
        assert_eq!(page.next.as_deref(), Some("t"));
        assert_eq!(read(br#"{"kind":"storage#objects"}"#).unwrap(), Page::default());
        for bad in [
            "",
            "{}",
            "[]",
            "<html>",
            r#"{"kind":"storage#bucket"}"#,
            r#"{"kind":"storage#objects","items":[{"name":"p"}]}"#,
        ] {
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
