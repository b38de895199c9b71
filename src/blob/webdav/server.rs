//! Questions to a WebDAV server.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RANGE, WWW_AUTHENTICATE,
};
use reqwest::{Method, Request, StatusCode, Url};
use zeroize::Zeroizing;

use super::WebDavOptions;
use super::multistatus::{self, Listed};
use crate::blob::folders::{Entry, EntryKind, Server, no_runtime};
use crate::blob::remote::{
    Answer, Client, Refusal, body, encoded_path, error_text, fill, header, range_header, retry_after, wait,
    whole,
};
use crate::blob::{Cause, Question, Traffic, Trouble};

/// A folder of a hundred thousand files has less.
const MAX_LIST: u64 = 64 << 20;

const PROPERTIES: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\
<propfind xmlns=\"DAV:\"><prop><resourcetype/><getcontentlength/><getlastmodified/></prop></propfind>";

/// A folder that is talked to.
#[derive(Debug)]
pub(in crate::blob) struct WebDav {
    client: Client,
    /// `https://host:port`
    origin: String,
    /// The path of the folder, not encoded, without slashes at its ends.
    base: String,
    authorization: Option<HeaderValue>,
}

fn is_on_this_machine(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let is_loopback = |address: std::net::IpAddr| address.is_loopback();
    name == "localhost" || name.trim_matches(['[', ']']).parse().is_ok_and(is_loopback)
}

/// What is listed: a thing alone, or what is in it.
#[derive(Clone, Copy)]
enum Depth {
    Alone,
    Within,
}

impl WebDav {
    pub(in crate::blob) fn new(options: &WebDavOptions, traffic: &Traffic) -> Result<Self, Trouble> {
        let refuse = |why: String| Trouble::new(Cause::Refused, why);
        let scheme = if options.plain_http { "http" } else { "https" };
        let origin = format!("{scheme}://{}", options.host);
        Url::parse(&origin).map_err(|e| refuse(e.to_string()))?;
        let base = options.path.trim_matches('/').to_owned();
        if base.split('/').any(|part| matches!(part, "." | "..")) || base.chars().any(char::is_control) {
            return Err(refuse(format!("the path {base:?} would be another on its way to the server")));
        }
        let authorization = match (options.username.as_str(), options.password.is_empty()) {
            ("", true) => None,
            (user, _) => {
                let pair = Zeroizing::new(format!("{user}:{}", options.password.expose()));
                let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
                let mut value = HeaderValue::from_str(&text).map_err(|e| refuse(e.to_string()))?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        let client = if is_on_this_machine(&options.host) { Client::local } else { Client::new };
        let client = client(&options.tls, !options.plain_http)?.counted(traffic.clone());
        Ok(Self { client, origin, base, authorization })
    }

    /// The path on the server, not encoded, with a slash before it.
    fn path(&self, below: &str) -> String {
        match (self.base.as_str(), below) {
            ("", below) => format!("/{below}"),
            (base, "") => format!("/{base}"),
            (base, below) => format!("/{base}/{below}"),
        }
    }

    async fn send(
        &self,
        question: Question,
        method: Method,
        path: &str,
        more: impl FnOnce(&mut Request),
    ) -> Result<Answer, Refusal> {
        let address = format!("{}{}", self.origin, encoded_path(path));
        let url = Url::parse(&address).map_err(|e| Trouble::new(Cause::Refused, e.to_string()))?;
        let mut request = Request::new(method, url);
        // Bytes that a server compresses for sending are not those of the file.
        request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(value) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, value.clone());
        }
        more(&mut request);
        let response = self.client.send(question, request).await?;
        match response.status() {
            status if status.is_success() => Ok(response),
            StatusCode::NOT_FOUND => Err(Refusal::NotFound),
            StatusCode::RANGE_NOT_SATISFIABLE => Err(Refusal::BehindEnd),
            status => {
                let headers = response.headers().clone();
                drop(error_text(response).await);
                Err(self.refusal(status, &headers).into())
            }
        }
    }

    fn refusal(&self, status: StatusCode, headers: &HeaderMap) -> Trouble {
        let cause = match status {
            StatusCode::UNAUTHORIZED if self.authorization.is_none() => Cause::CredentialsMissing,
            status => Cause::of_status(status),
        };
        let mut detail = format!("status {}", status.as_u16());
        let asks = header(headers, WWW_AUTHENTICATE.as_str()).unwrap_or_default().to_ascii_lowercase();
        if status == StatusCode::UNAUTHORIZED && asks.starts_with("digest") {
            detail.push_str(": the server wants digest authentication, and only basic is supported here");
        }
        Trouble::new(cause, detail).retry_after(retry_after(headers))
    }

    async fn get(&self, path: &str, range: Option<(u64, usize)>) -> Result<Answer, Refusal> {
        let range = range.and_then(|range| HeaderValue::from_str(&range_header(range)).ok());
        self.send(Question::Read, Method::GET, &self.path(path), |request| {
            if let Some(range) = range {
                request.headers_mut().insert(RANGE, range);
            }
        })
        .await
    }

    /// What the server says of a path, and of what is in it.
    async fn properties(&self, path: &str, depth: Depth) -> Result<Listed, Refusal> {
        let method =
            Method::from_bytes(b"PROPFIND").map_err(|e| Trouble::new(Cause::Refused, e.to_string()))?;
        let question = if matches!(depth, Depth::Alone) { Question::Size } else { Question::List };
        let mut asked = path.to_owned();
        if matches!(depth, Depth::Within) && !asked.ends_with('/') {
            // Without it, some servers send to the address with it.
            asked.push('/');
        }
        let response = self
            .send(question, method, &asked, |request| {
                let headers = request.headers_mut();
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml; charset=utf-8"));
                let depth = if matches!(depth, Depth::Alone) { "0" } else { "1" };
                headers.insert("Depth", HeaderValue::from_static(depth));
                *request.body_mut() = Some(PROPERTIES.into());
            })
            .await?;
        if response.status() != StatusCode::MULTI_STATUS {
            let why = format!("status {} for a list: is it a WebDAV server?", response.status().as_u16());
            return Err(Trouble::new(Cause::AnswerInvalid, why).into());
        }
        let bytes = body(response, MAX_LIST).await?;
        let bytes =
            bytes.map_err(|size| Trouble::new(Cause::AnswerInvalid, format!("a list of {size} bytes")))?;
        Ok(multistatus::read(&bytes, path)?)
    }

    async fn size_of(&self, path: &str) -> Result<u64, Refusal> {
        let listed = self.properties(&self.path(path), Depth::Alone).await?;
        match (listed.itself, listed.within.is_empty()) {
            (EntryKind::File(size), true) => Ok(size),
            _ => Err(Trouble::new(Cause::AnswerInvalid, "it is no file").into()),
        }
    }
}

fn waiting<T>(work: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
    wait(work).unwrap_or_else(|e| Err(no_runtime(&e).into()))
}

impl Server for WebDav {
    fn list(&self, folder: &str) -> Result<Vec<Entry>, Refusal> {
        let listed = waiting(self.properties(&self.path(folder), Depth::Within))?;
        match listed.itself {
            EntryKind::Folder => Ok(listed.within),
            _ => Err(Trouble::new(Cause::AnswerInvalid, "it is no folder").into()),
        }
    }

    fn size(&self, path: &str) -> Result<u64, Refusal> {
        waiting(self.size_of(path))
    }

    fn read(&self, path: &str, limit: u64) -> Result<Result<Vec<u8>, u64>, Refusal> {
        waiting(async { Ok(whole(self.get(path, None).await?, limit).await?) })
    }

    fn fill(&self, path: &str, offset: u64, buffer: &mut [u8]) -> Result<usize, Refusal> {
        waiting(async {
            let response = self.get(path, Some((offset, buffer.len()))).await?;
            // Of an empty file, servers send the whole when a part is asked for.
            if response.status() == StatusCode::OK
                && response.content_length() == Some(0)
                && self.size_of(path).await? == 0
            {
                return Ok(0);
            }
            Ok(fill(response, offset, buffer).await?.0)
        })
    }
}
