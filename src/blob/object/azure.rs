//! Azure Blob Storage.

use std::path::PathBuf;
use std::sync::Arc;

use object_store::RetryConfig;
use object_store::azure::{AzureAuthorizer, AzureCredentialProvider, MicrosoftAzureBuilder, split_sas};
use object_store::client::HttpRequestBody;
use reqwest::header::{DATE, RANGE};
use reqwest::{Method, Request, StatusCode};

use super::connector::{Connector, unobtainable};
use super::service::{Answer, Ask, Item, Page, Refusal, Service, not_a_listing, range_header};
use super::store::Objects;
use crate::blob::remote::{
    Client, Element, Hidden, Tls, encoded, encoded_path, error_text, header, is_skewed, query, retry_after,
    whole,
};
use crate::blob::{Cause, Error, Question, Traffic, Trouble};

const DOMAIN: &str = "blob.core.windows.net";

/// A page of a thousand names has less.
const MAX_PAGE: u64 = 16 << 20;

/// The header in which the server says what was wrong.
const CODE_HEADER: &str = "x-ms-error-code";

/// A container, and how it is reached.
#[derive(Debug, Clone, Default)]
pub struct AzureOptions {
    /// The container.
    pub container: String,
    /// What the names of all blobs begin with.
    pub prefix: String,
    /// The storage account.
    pub account: String,
    /// What follows the account in the name of the server, with the port; empty for that of Azure.
    pub domain: String,
    /// Connect without TLS.
    pub plain_http: bool,
    /// How the server is trusted.
    pub tls: Tls,
    /// A shared access signature. It counts before all others.
    pub sas_token: Hidden,
    /// A key of the account.
    pub account_key: Hidden,
    /// An application and its secret or token: tenant, client, secret.
    pub tenant: String,
    /// The application.
    pub client: String,
    /// Its secret.
    pub client_secret: Hidden,
    /// A token of the cluster in place of the secret.
    pub federated_token_file: Option<PathBuf>,
}

impl AzureOptions {
    /// The container as a store, whose requests are counted in `traffic`. Nothing is asked of the server yet.
    ///
    /// # Errors
    /// What cannot be reached so: see [`Cause`].
    pub fn open(self, traffic: &Traffic) -> Result<Objects, Error> {
        let (place, prefix) = (self.to_string(), self.prefix.clone());
        Objects::new(Azure::new(self, traffic).map(Service::Azure), prefix, place)
    }
}

impl std::fmt::Display for AzureOptions {
    /// As the location that names it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "az://{}/{}?account={}", self.container, self.prefix, self.account)
    }
}

/// A container that is talked to.
#[derive(Debug)]
pub(super) struct Azure {
    account: String,
    container: String,
    /// The address of the container, without a slash at its end.
    address: String,
    client: Client,
    credentials: AzureCredentialProvider,
}

/// Why a request was not fulfilled, and the code of the storage for it.
struct Denied {
    status: Option<StatusCode>,
    code: String,
    trouble: Trouble,
}

impl From<Trouble> for Denied {
    fn from(trouble: Trouble) -> Self {
        Self { status: None, code: String::new(), trouble }
    }
}

impl Azure {
    fn new(options: AzureOptions, traffic: &Traffic) -> Result<Self, Trouble> {
        let plausible = |name: &str| {
            !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'$'))
        };
        if !plausible(&options.account) || !plausible(&options.container) {
            let why = format!(
                "{:?} and {:?} cannot be the names of an account and a container",
                options.account, options.container
            );
            return Err(Trouble::new(Cause::Refused, why));
        }
        let domain = if options.domain.is_empty() { DOMAIN } else { &options.domain };
        let scheme = if options.plain_http { "http" } else { "https" };
        let address = format!("{scheme}://{}.{domain}/{}", options.account, encoded(&options.container));
        let client = Client::new(&options.tls, !options.plain_http)?.counted(traffic.clone());
        let credentials = credentials(&options)?;
        Ok(Self { account: options.account, container: options.container, address, client, credentials })
    }

    async fn ask(
        &self,
        question: Question,
        address: &str,
        range: Option<(u64, usize)>,
    ) -> Result<Answer, Denied> {
        let unusable = |why: String| Denied::from(Trouble::new(Cause::Refused, why));
        let mut request = http::Request::get(address);
        if let Some(range) = range {
            request = request.header(RANGE, range_header(range));
        }
        let mut request = request.body(HttpRequestBody::empty()).map_err(|e| unusable(e.to_string()))?;
        let credential = self.credentials.get_credential().await.map_err(|e| unobtainable(&e))?;
        AzureAuthorizer::new(&credential, &self.account)
            .try_authorize(&mut request)
            .map_err(|e| unusable(e.to_string()))?;
        // A signature may be in the address: it is in no message.
        let url = reqwest::Url::parse(&request.uri().to_string()).map_err(|e| unusable(e.to_string()))?;
        let mut plain = Request::new(Method::GET, url);
        *plain.headers_mut() = request.into_parts().0.headers;
        let response = self.client.send(question, plain).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, headers) = (response.status(), response.headers().clone());
        let body = error_text(response).await;
        let error = Element::parse(body.as_bytes()).filter(|element| element.name() == "Error");
        let said = error.as_ref().and_then(|error| error.value("Code")).unwrap_or_default();
        let code = header(&headers, CODE_HEADER).unwrap_or(said).to_owned();
        let message = error.as_ref().and_then(|error| error.value("Message")).unwrap_or_default();
        let message = message.lines().next().unwrap_or_default();
        let cause = match cause(status, &code) {
            // The clock is one reason for a failed authentication, and has no code of its own.
            Cause::CredentialsRefused if is_skewed(&headers) => Cause::ClockSkewed,
            cause => cause,
        };
        let mut detail = format!("status {} {code} {message}", status.as_u16()).trim_end().to_owned();
        if let Some(theirs) = header(&headers, DATE.as_str()).filter(|_| cause == Cause::ClockSkewed) {
            detail.push_str(&format!(" (its clock says {theirs}, ours {})", jiff::Timestamp::now()));
        }
        let trouble = Trouble::new(cause, detail).retry_after(retry_after(&headers));
        Err(Denied { status: Some(status), code, trouble })
    }

    pub(super) async fn get(&self, key: &str, range: Option<(u64, usize)>) -> Result<Answer, Refusal> {
        let address = format!("{}/{}", self.address, encoded_path(key));
        self.ask(Question::Read, &address, range).await.map_err(|denied| {
            match (denied.status, denied.code.as_str()) {
                (Some(StatusCode::NOT_FOUND), "BlobNotFound") => Refusal::NotFound,
                (Some(StatusCode::RANGE_NOT_SATISFIABLE), "InvalidRange") => Refusal::BehindEnd,
                _ => Refusal::Trouble(denied.trouble),
            }
        })
    }

    pub(super) async fn page(&self, ask: Ask<'_>) -> Result<Page, Trouble> {
        let mut pairs = vec![("restype", "container"), ("comp", "list"), ("prefix", ask.prefix)];
        if ask.flat {
            pairs.push(("delimiter", "/"));
        }
        if let Some(token) = ask.token {
            pairs.push(("marker", token));
        }
        let address = format!("{}?{}", self.address, query(&pairs));
        let response = self.ask(Question::List, &address, None).await.map_err(|denied| denied.trouble)?;
        let body = whole(response, MAX_PAGE).await?;
        let body = body.map_err(|size| not_a_listing(format!("a page of {size} bytes")))?;
        read(&body, &self.container, ask.prefix)
    }
}

fn read(body: &[u8], container: &str, prefix: &str) -> Result<Page, Trouble> {
    let invalid = |why: &str| not_a_listing(format!("it is no list of blobs: {why}"));
    // It may begin with a mark of its encoding.
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let root = Element::parse(body).ok_or_else(|| invalid("it is not well-formed"))?;
    if root.name() != "EnumerationResults" {
        return Err(invalid(&format!("it is a {:?}", root.name())));
    }
    if root.attribute("ContainerName") != Some(container) {
        return Err(invalid("it is of another container"));
    }
    if root.value("Prefix").unwrap_or_default() != prefix {
        return Err(invalid("it is of another prefix"));
    }
    let blobs = root.one("Blobs").ok_or_else(|| invalid("it has no blobs, not even none"))?;
    let item = |blob: &Element| {
        let key = blob.value("Name").ok_or_else(|| invalid("a blob has no name"))?.to_owned();
        let size = blob.one("Properties").and_then(|properties| properties.value("Content-Length"));
        let size =
            size.and_then(|size| size.trim().parse().ok()).ok_or_else(|| invalid("a blob has no size"))?;
        Ok(Item { key, size, modified: None })
    };
    let items: Vec<Item> = blobs.all("Blob").map(item).collect::<Result<_, Trouble>>()?;
    let next = root.value("NextMarker").filter(|marker| !marker.is_empty()).map(str::to_owned);
    Ok(Page { items, next, folders: blobs.all("BlobPrefix").count() })
}

fn cause(status: StatusCode, code: &str) -> Cause {
    match code {
        "ContainerNotFound" | "ResourceNotFound" | "ContainerBeingDeleted" => Cause::BucketMissing,
        "AuthenticationFailed" | "InvalidAuthenticationInfo" | "NoAuthenticationInformation" => {
            Cause::CredentialsRefused
        }
        "ServerBusy" => Cause::Busy,
        "InternalError" | "OperationTimedOut" => Cause::ServerFailed,
        _ if status == StatusCode::NOT_FOUND => Cause::NotTheStorage,
        _ => Cause::of_status(status),
    }
}

fn credentials(options: &AzureOptions) -> Result<AzureCredentialProvider, Trouble> {
    let mut builder = MicrosoftAzureBuilder::new()
        .with_account(&options.account)
        .with_container_name(&options.container)
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
        .with_http_connector(Connector { metadata: false });
    if !options.sas_token.is_empty() {
        let pairs = split_sas(options.sas_token.expose()).map_err(|_| {
            Trouble::new(
                Cause::CredentialsRefused,
                "the shared access signature is not of the form name=value&…",
            )
        })?;
        builder = builder.with_sas_authorization(pairs);
    } else if !options.account_key.is_empty() {
        builder = builder.with_access_key(options.account_key.expose());
    } else if !options.client_secret.is_empty() {
        builder = builder.with_client_secret_authorization(
            &options.client,
            options.client_secret.expose(),
            &options.tenant,
        );
    } else if let Some(file) = &options.federated_token_file {
        builder = builder
            .with_client_id(&options.client)
            .with_tenant_id(&options.tenant)
            .with_federated_token_file(file.to_string_lossy());
    } else {
        let why = "give a shared access signature, a key of the account, or an application with its secret or token file";
        return Err(Trouble::new(Cause::CredentialsMissing, why));
    }
    let built = builder.build().map_err(|_| {
        // What it says may quote the key.
        Trouble::new(
            Cause::CredentialsRefused,
            "the credentials of the account are not of the form that such have",
        )
    })?;
    Ok(Arc::clone(built.credentials()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\u{feff}<?xml version=\"1.0\"?><EnumerationResults ServiceEndpoint=\"https://a.blob/\" \
        ContainerName=\"c\"><Prefix>k/</Prefix><Blobs><Blob><Name>k/p1</Name><Properties>\
        <Content-Length>7</Content-Length></Properties></Blob><BlobPrefix><Name>k/a/</Name></BlobPrefix></Blobs>\
        <NextMarker>m</NextMarker></EnumerationResults>";

    #[test]
    fn a_page_is_read_and_anything_else_refused() {
        let page = read(PAGE.as_bytes(), "c", "k/").unwrap();
        assert_eq!((page.items[0].key.as_str(), page.items[0].size, page.folders), ("k/p1", 7, 1));
        assert_eq!(page.next.as_deref(), Some("m"));
        for (from, to) in [
            ("\"c\"", "\"d\""),
            ("<Prefix>k/", "<Prefix>"),
            (">7<", "><"),
            ("Enumeration", "Other"),
            ("Blobs>", "Blob>"),
        ] {
            assert!(read(PAGE.replace(from, to).as_bytes(), "c", "k/").is_err(), "{from}");
        }
    }
}
