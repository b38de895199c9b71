//! Backblaze B2 by its S3 address, which its own protocol tells.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, Request, StatusCode, Url};
use serde::Deserialize;
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use super::S3Options;
use super::endpoint::Endpoint;
use crate::blob::remote::{Client, error_text, retry_after, whole};
use crate::blob::{Cause, Question, Trouble};

/// Where any account is authorised.
const SERVER: &str = "https://api.backblazeb2.com";
const DOMAIN: &str = ".backblazeb2.com";

/// The answer has less than 2 KiB.
const MAX_ANSWER: u64 = 64 << 10;

/// An account whose storage has an address that is to be found out.
#[derive(Debug)]
pub(super) struct Account {
    server: String,
    bucket: String,
    authorization: HeaderValue,
    found: OnceCell<Found>,
}

/// The address of a bucket, and the region that is in it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) endpoint: Endpoint,
    pub(super) region: String,
}

/// What is needed of an answer. The rest of it is secret.
#[derive(Deserialize)]
struct Authorised {
    #[serde(rename = "s3ApiUrl")]
    address: String,
}

#[derive(Deserialize)]
struct Refused {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

impl Account {
    /// The account of these keys, at a server other than Backblaze's own where one is named.
    pub(super) fn new(options: &S3Options, server: &str) -> Result<Self, Trouble> {
        let pair = Zeroizing::new(format!("{}:{}", options.access_key.expose(), options.secret_key.expose()));
        let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
        let unusable = |_| Trouble::new(Cause::CredentialsRefused, "the key has characters that none has");
        let mut authorization = HeaderValue::from_str(&text).map_err(unusable)?;
        authorization.set_sensitive(true);
        let server = if server.is_empty() { SERVER } else { server.trim_end_matches('/') };
        let (server, bucket) = (server.to_owned(), options.bucket.clone());
        Ok(Self { server, bucket, authorization, found: OnceCell::new() })
    }

    /// Asked once.
    pub(super) async fn find(&self, client: &Client) -> Result<&Found, Trouble> {
        self.found.get_or_try_init(|| self.ask(client)).await
    }

    async fn ask(&self, client: &Client) -> Result<Found, Trouble> {
        let address = format!("{}/b2api/v2/b2_authorize_account", self.server);
        let url = Url::parse(&address).map_err(|e| Trouble::new(Cause::Refused, e.to_string()))?;
        let mut request = Request::new(Method::GET, url);
        request.headers_mut().insert(AUTHORIZATION, self.authorization.clone());
        let response = client.send(Question::Read, request).await?;
        let (status, pause) = (response.status(), retry_after(response.headers()));
        if !status.is_success() {
            let refused: Option<Refused> = serde_json::from_str(&error_text(response).await).ok();
            return Err(denied(status, refused).retry_after(pause));
        }
        let invalid = |why: &str| Trouble::new(Cause::AnswerInvalid, format!("authorising the key: {why}"));
        let body = Zeroizing::new(whole(response, MAX_ANSWER).await?.unwrap_or_default());
        let authorised: Authorised =
            serde_json::from_slice(&body).map_err(|_| invalid("the answer names no S3 address"))?;
        self.at(&authorised.address).ok_or_else(|| invalid("the S3 address is not one of Backblaze"))?
    }

    /// The bucket at an address; `None` where a key must not be used.
    fn at(&self, address: &str) -> Option<Result<Found, Trouble>> {
        let (scheme, host) = address.trim_end_matches('/').split_once("://")?;
        let plain = scheme == "http" && self.server.starts_with("http://");
        let own = self.server == SERVER;
        if !(plain || scheme == "https") || (own && !host.ends_with(DOMAIN)) {
            return None;
        }
        let region = region(host).unwrap_or_default().to_owned();
        Some(Endpoint::new(host, plain, &self.bucket).map(|endpoint| Found { endpoint, region }))
    }
}

/// The region in the name of a server of B2.
pub(crate) fn region(host: &str) -> Option<&str> {
    host.strip_prefix("s3.")?.strip_suffix(DOMAIN).filter(|region| !region.contains('.'))
}

fn denied(status: StatusCode, refused: Option<Refused>) -> Trouble {
    let cause = match status {
        StatusCode::NOT_FOUND if refused.is_none() => Cause::NotTheStorage,
        status => Cause::of_status(status),
    };
    let said = match refused {
        Some(Refused { code, message }) => format!("{code}: {message}"),
        None => format!("status {}", status.as_u16()),
    };
    Trouble::new(cause, format!("authorising the key: {said}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::remote::Hidden;

    fn account(server: &str) -> Account {
        let options = S3Options {
            bucket: "b".into(),
            access_key: Hidden::new("id"),
            secret_key: Hidden::new("key"),
            ..S3Options::default()
        };
        Account::new(&options, server).unwrap()
    }

    #[test]
    fn the_region_is_in_the_address() {
        let found = account("").at("https://s3.us-west-004.backblazeb2.com").unwrap().unwrap();
        assert_eq!(found.region, "us-west-004");
        assert_eq!(found.endpoint.bucket(&found.region), "https://s3.us-west-004.backblazeb2.com/b");
    }

    #[test]
    fn keys_are_used_at_addresses_of_backblaze_alone() {
        for address in ["https://s3.example.com", "http://s3.us-west-004.backblazeb2.com", "s3.x", ""] {
            assert!(account("").at(address).is_none(), "{address}");
        }
    }
}
