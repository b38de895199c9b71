//! Connections to a server.

use std::io;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use jiff::fmt::rfc2822;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Request, Response, StatusCode};

use super::Tls;
use super::late::Answers;
use crate::blob::{Cause, Question, Traffic, Trouble};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a server may send nothing. There is no bound on a whole answer: a large one over a slow line takes long.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Connections that are kept for the next request.
const MAX_IDLE: usize = 64;

/// No server asks for a longer pause in earnest.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(120);

/// Servers take signatures of this age.
const MAX_SKEW: jiff::SignedDuration = jiff::SignedDuration::from_mins(15);

/// Makes requests, on connections that it keeps. Redirects are not followed: credentials go nowhere else.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    inner: reqwest::Client,
    traffic: Traffic,
    answers: Arc<Answers>,
}

impl Client {
    /// For servers that are trusted so. Proxies are those of the environment.
    pub(crate) fn new(tls: &Tls, encrypted: bool) -> Result<Self, Trouble> {
        Self::with_patience(tls, encrypted, None)
    }

    /// The same for a server on this machine. No proxy is asked for it, as in Go.
    #[cfg(feature = "webdav")]
    pub(crate) fn local(tls: &Tls, encrypted: bool) -> Result<Self, Trouble> {
        Self::of(Self::builder(tls, encrypted, None)?.no_proxy())
    }

    /// The same for a server that answers in this time or not at all.
    pub(crate) fn with_patience(
        tls: &Tls,
        encrypted: bool,
        patience: Option<Duration>,
    ) -> Result<Self, Trouble> {
        Self::of(Self::builder(tls, encrypted, patience)?)
    }

    fn builder(
        tls: &Tls,
        encrypted: bool,
        patience: Option<Duration>,
    ) -> Result<reqwest::ClientBuilder, Trouble> {
        Ok(reqwest::Client::builder()
            .tls_backend_preconfigured(tls.config(encrypted)?)
            .dns_resolver(Names)
            .redirect(Policy::none())
            .referer(false)
            .http1_only()
            .connect_timeout(patience.unwrap_or(CONNECT_TIMEOUT))
            .read_timeout(patience.unwrap_or(READ_TIMEOUT))
            .pool_max_idle_per_host(MAX_IDLE)
            .user_agent(concat!("rokopia/", env!("CARGO_PKG_VERSION"))))
    }

    fn of(builder: reqwest::ClientBuilder) -> Result<Self, Trouble> {
        let inner = builder.build().map_err(|e| Trouble::new(Cause::Tls, causes(&e)))?;
        Ok(Self { inner, traffic: Traffic::default(), answers: Arc::default() })
    }

    /// The same, with its requests counted there.
    pub(crate) fn counted(self, traffic: Traffic) -> Self {
        Self { traffic, ..self }
    }

    /// The client below, for those who ask for credentials.
    pub(crate) fn inner(&self) -> &reqwest::Client {
        &self.inner
    }

    /// Sends a request, and one that reads once more where the answer is late. An answer of any status is an answer.
    pub(crate) async fn send(&self, question: Question, request: Request) -> Result<Answer, Trouble> {
        let again = if question == Question::Read { request.try_clone() } else { None };
        wait(self.traffic.asks(question)).await;
        let first = self.inner.execute(request);
        let again = || {
            again.map(|request| async {
                wait(self.traffic.asks(question)).await;
                self.inner.execute(request).await
            })
        };
        let response = match question {
            Question::Read => self.answers.first_of(first, again).await,
            Question::List | Question::Size => first.await,
        };
        let response = response.map_err(|e| trouble(&e))?;
        Ok(Answer { response, traffic: self.traffic.clone() })
    }
}

/// An answer, whose body is taken no faster than bytes may come.
#[derive(Debug)]
pub(crate) struct Answer {
    response: Response,
    traffic: Traffic,
}

impl Answer {
    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// Bytes of the body, where that is said.
    pub(crate) fn content_length(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// The next bytes of the body; `None` behind the last.
    pub(crate) async fn chunk(&mut self) -> Result<Option<impl Deref<Target = [u8]> + use<>>, Trouble> {
        let chunk = self.response.chunk().await.map_err(|e| trouble(&e))?;
        if let Some(bytes) = &chunk {
            wait(self.traffic.received(bytes.len())).await;
        }
        Ok(chunk)
    }
}

async fn wait(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

/// A name that nobody knows.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {source}")]
struct NameUnknown {
    name: String,
    source: io::Error,
}

/// Looks names up as the system does, and tells a name that is not known from other failures.
#[derive(Debug)]
struct Names;

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let name = name.as_str().to_owned();
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            match found.map(|addresses| addresses.collect::<Vec<_>>()) {
                Ok(addresses) => Ok(Box::new(addresses.into_iter()) as Addrs),
                Err(source) => Err(NameUnknown { name, source }.into()),
            }
        })
    }
}

/// What a failure to get an answer, or the rest of one, means.
fn trouble(error: &reqwest::Error) -> Trouble {
    Trouble::new(cause(error), causes(error))
}

fn cause(error: &reqwest::Error) -> Cause {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if error.is::<NameUnknown>() {
            return Cause::HostUnknown;
        }
        if is_tls(error) {
            return Cause::Tls;
        }
        next = error.source();
    }
    match error {
        e if e.is_timeout() => Cause::Timeout,
        e if e.is_connect() => Cause::Unreachable,
        e if e.is_builder() => Cause::Refused,
        _ => Cause::CutOff,
    }
}

/// Whether it is one of TLS, also within errors of the system, which do not name what they wrap as their source.
fn is_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    error.is::<rustls::Error>() || wrapped.is_some_and(|wrapped| is_tls(wrapped))
}

/// The causes of an error, from the first one that says something. Addresses of requests are not among them: they may carry
/// a signature.
fn causes(error: &reqwest::Error) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut next = std::error::Error::source(error);
    while let Some(error) = next {
        let text = error.to_string();
        if words.last().is_none_or(|last| !last.contains(&text)) {
            words.push(text);
        }
        next = error.source();
    }
    words.join(": ")
}

/// A header as text.
pub(crate) fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Whether the clock of the server differs by more than signatures may be old.
pub(crate) fn is_skewed(headers: &HeaderMap) -> bool {
    let date = header(headers, DATE.as_str()).and_then(|text| rfc2822::parse(text).ok());
    date.is_some_and(|date| date.timestamp().duration_since(jiff::Timestamp::now()).abs() > MAX_SKEW)
}

/// How long the server asks to wait.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let pause = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let until = rfc2822::parse(text).ok()?.timestamp();
            Duration::try_from(until.duration_since(jiff::Timestamp::now())).ok()?
        }
    };
    Some(pause.min(MAX_RETRY_AFTER))
}
