//! Roles that are taken on with other credentials.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use object_store::aws::AwsCredential;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use tokio::sync::Mutex;

use super::signing;
use crate::blob::remote::{Client, Element, Tls, error_text, is_skewed, query, retry_after, whole};
use crate::blob::{Cause, Question, Trouble};

/// Amazon's own, of all regions.
const SERVER: &str = "https://sts.amazonaws.com";
const REGION: &str = "us-east-1";

/// The version of the protocol.
const VERSION: &str = "2011-06-15";

/// What a session is called that was given no name.
const SESSION: &str = "rokopia";

/// Credentials are renewed so long before they expire.
const MARGIN: SignedDuration = SignedDuration::from_mins(5);

/// The answer has less than 4 KiB.
const MAX_ANSWER: u64 = 64 << 10;

/// A role that is taken on with other credentials.
#[derive(Debug, Clone, Default)]
pub struct Role {
    /// Its Amazon resource name.
    pub arn: String,
    /// What the session is called in logs of the server.
    pub session: String,
    /// How long its credentials hold, in seconds; 0 for as long as the server grants.
    pub seconds: u64,
    /// The address of the token service; empty for that of Amazon.
    pub endpoint: String,
    /// The region that is asked; empty for the usual one.
    pub region: String,
}

/// A role, and the credentials that it has for now.
pub(super) struct TakenOn {
    role: Role,
    client: Client,
    now: Mutex<Option<Session>>,
}

#[derive(Clone)]
struct Session {
    credential: Arc<AwsCredential>,
    until: Timestamp,
}

impl TakenOn {
    pub(super) fn new(role: Role) -> Result<Self, Trouble> {
        let endpoint = if role.endpoint.is_empty() { SERVER.to_owned() } else { role.endpoint.clone() };
        // A host alone is meant with TLS, as everywhere.
        let endpoint = if endpoint.contains("://") { endpoint } else { format!("https://{endpoint}") };
        let client = Client::new(&Tls::default(), !endpoint.starts_with("http://"))?;
        Ok(Self { role: Role { endpoint, ..role }, client, now: Mutex::new(None) })
    }

    /// The credentials of the role, asked for with those of `base` when there are none that hold.
    pub(super) async fn credential(&self, base: &AwsCredential) -> Result<Arc<AwsCredential>, Trouble> {
        let mut now = self.now.lock().await;
        if let Some(session) = now.as_ref().filter(|session| session.until > Timestamp::now() + MARGIN) {
            return Ok(Arc::clone(&session.credential));
        }
        let session = self.ask(base).await?;
        Ok(Arc::clone(&now.insert(session).credential))
    }

    async fn ask(&self, base: &AwsCredential) -> Result<Session, Trouble> {
        let Role { arn, session, seconds, endpoint, region } = &self.role;
        let or = |text: &str, default: &str| if text.is_empty() { default } else { text }.to_owned();
        let (session, region) = (or(session, SESSION), or(region, REGION));
        let seconds = seconds.to_string();
        let mut pairs = vec![
            ("Action", "AssumeRole"),
            ("Version", VERSION),
            ("RoleArn", arn.as_str()),
            ("RoleSessionName", session.as_str()),
        ];
        if seconds != "0" {
            pairs.push(("DurationSeconds", seconds.as_str()));
        }
        let address = format!("{}/", endpoint.trim_end_matches('/'));
        let headers = [(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))];
        let body = query(&pairs).into_bytes();
        let request = signing::request(Method::POST, &address, headers, body, Some((base, "sts", &region)))?;
        let response = self.client.send(Question::Read, request).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        if status.is_success() {
            let body = whole(response, MAX_ANSWER).await?.unwrap_or_default();
            return granted(&body).ok_or_else(|| {
                Trouble::new(Cause::AnswerInvalid, format!("taking on {arn}: the answer has no credentials"))
            });
        }
        let text = error_text(response).await;
        let error = Element::parse(text.as_bytes());
        let error = error.as_ref().and_then(|answer| answer.one("Error"));
        let value = |name| error.and_then(|error| error.value(name)).unwrap_or_default();
        let (code, message) = (value("Code"), value("Message"));
        let cause = match (code, status.as_u16()) {
            ("RequestExpired" | "RequestTimeTooSkewed", _) => Cause::ClockSkewed,
            ("SignatureDoesNotMatch", _) if is_skewed(&headers) => Cause::ClockSkewed,
            ("Throttling", _) | (_, 429 | 503) => Cause::Busy,
            ("AccessDenied", _) => Cause::AccessDenied,
            ("", 404) => Cause::NotTheStorage,
            (_, 500..) => Cause::ServerFailed,
            _ => Cause::CredentialsRefused,
        };
        let said = if code.is_empty() {
            format!("status {}", status.as_u16())
        } else {
            format!("{code}: {message}")
        };
        Err(Trouble::new(cause, format!("taking on {arn}: {said}")).retry_after(retry_after(&headers)))
    }
}

fn granted(body: &[u8]) -> Option<Session> {
    let root = Element::parse(body).filter(|root| root.name() == "AssumeRoleResponse")?;
    let credentials = root.one("AssumeRoleResult")?.one("Credentials")?;
    let value = |name| credentials.value(name).map(str::trim).filter(|text| !text.is_empty());
    let graphic = |text: &str| text.bytes().all(|b| b.is_ascii_graphic()).then(|| text.to_owned());
    let credential = AwsCredential {
        key_id: graphic(value("AccessKeyId")?)?,
        secret_key: graphic(value("SecretAccessKey")?)?,
        token: Some(graphic(value("SessionToken")?)?),
    };
    let until = value("Expiration")?.parse().ok()?;
    Some(Session { credential: Arc::new(credential), until })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_a_session() {
        let answer = "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
            <AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t==</SessionToken>\
            <Expiration>2026-12-01T13:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>";
        let session = granted(answer.as_bytes()).unwrap();
        assert_eq!(
            (session.credential.key_id.as_str(), session.credential.token.as_deref()),
            ("ASIA", Some("t=="))
        );
        assert_eq!(session.until.to_string(), "2026-12-01T13:00:00Z");
        for bad in ["<SessionToken>t==</SessionToken>", "2026-12-01T13:00:00Z", "AssumeRoleResult"] {
            assert!(granted(answer.replace(bad, "").as_bytes()).is_none(), "{bad}");
        }
    }
}
