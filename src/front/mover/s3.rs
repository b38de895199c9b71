//! The variables that name a bucket of S3.

use std::ffi::OsStr;

use super::environment::Environment;
use super::error::Error;

/// Where a bucket is, and who asks for it.
pub(super) struct S3<'e> {
    pub(super) bucket: String,
    pub(super) prefix: String,
    /// Without a scheme; empty for Amazon's.
    pub(super) endpoint: String,
    pub(super) plain_http: bool,
    pub(super) access_key: Option<String>,
    pub(super) secret_key: Option<String>,
    pub(super) region: Option<String>,
    pub(super) session_token: Option<String>,
    /// A file of certificates, where it is there.
    pub(super) ca: Option<&'e OsStr>,
}

impl<'e> S3<'e> {
    /// The bucket that the environment names, if it names one.
    pub(super) fn of(environment: &'e Environment, url: &str) -> Result<Option<Self>, Error> {
        if !environment.has("KOPIA_S3_BUCKET") && !url.starts_with("s3://") {
            return Ok(None);
        }
        let first = |names: &[&str]| names.iter().find_map(|name| environment.text(name)).map(String::from);
        let (in_url, prefix) =
            url.strip_prefix("s3://").map_or(("", ""), |rest| rest.split_once('/').unwrap_or((rest, "")));
        let endpoint = first(&["KOPIA_S3_ENDPOINT", "AWS_S3_ENDPOINT"]).unwrap_or_default();
        let bare =
            endpoint.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
        let switched =
            environment.is_true("KOPIA_S3_DISABLE_TLS") || environment.is_true("AWS_S3_DISABLE_TLS");
        Ok(Some(Self {
            bucket: first(&["KOPIA_S3_BUCKET"]).unwrap_or(in_url.into()),
            prefix: if prefix.is_empty() { String::new() } else { checked(prefix)? },
            plain_http: switched,
            endpoint: bare.to_owned(),
            access_key: first(&["AWS_ACCESS_KEY_ID"]),
            secret_key: first(&["AWS_SECRET_ACCESS_KEY"]),
            region: first(&["AWS_REGION", "AWS_DEFAULT_REGION"]),
            session_token: first(&["AWS_SESSION_TOKEN"]),
            ca: environment.raw("CUSTOM_CA").filter(|path| std::path::Path::new(path).exists()),
        }))
    }
}

/// The part of the URL after the bucket: no doubled slashes, one at the end.
fn checked(prefix: &str) -> Result<String, Error> {
    let plain = prefix.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'/' | b'-'));
    if !plain || prefix.contains("..") {
        let expected = "an S3 location with a plain prefix";
        return Err(Error::Setting {
            name: "KOPIA_REPOSITORY", value: format!("s3://…/{prefix}"), expected
        });
    }
    let parts: Vec<&str> = prefix.split('/').filter(|part| !part.is_empty()).collect();
    Ok(format!("{}/", parts.join("/")))
}
