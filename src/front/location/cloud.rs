//! Buckets: `s3://`, `gs://` and `az://`, and what all storage over a network takes from the environment.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Location;
use super::url::Url;
#[cfg(feature = "azure")]
use crate::blob::object::AzureOptions;
#[cfg(feature = "gcs")]
use crate::blob::object::GcsOptions;
#[cfg(feature = "s3")]
use crate::blob::object::{Role, S3Options, b2_region};
use crate::blob::remote::{Hidden, Tls};

/// A bundle of all roots of a system has 200 KiB.
const MAX_ROOTS: u64 = 4 << 20;

/// Files that hold tokens, which are replaced while we run.
const TOKEN_FILES: [&str; 3] =
    ["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AZURE_FEDERATED_TOKEN_FILE"];

/// The files of tokens that the environment names.
pub(super) fn token_files() -> impl Iterator<Item = PathBuf> {
    TOKEN_FILES.into_iter().filter_map(variable).map(PathBuf::from)
}

pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(any(feature = "azure", feature = "webdav", feature = "sftp"))]
pub(super) fn secret(name: &str) -> Hidden {
    Hidden::new(variable(name).unwrap_or_default())
}

/// An endpoint with or without a scheme: without TLS only where it says `http://`.
#[cfg(feature = "s3")]
pub(super) fn endpoint(text: &str) -> Result<(String, bool), String> {
    let (plain, host) = match text.split_once("://") {
        None => (false, text),
        Some(("https", host)) => (false, host),
        Some(("http", host)) => (true, host),
        Some(_) => return Err("the endpoint begins with neither https:// nor http://".into()),
    };
    let host = host.trim_end_matches('/');
    match host.contains(['/', '@', '?', '#']) || host.is_empty() {
        true => Err("the endpoint is not of the form https://host:port".into()),
        false => Ok((host.to_owned(), plain)),
    }
}

/// The certificates in a file.
pub(crate) fn roots_in(path: &Path) -> Result<Vec<u8>, String> {
    let size = std::fs::metadata(path).map(|metadata| metadata.len());
    match size.and_then(|size| if size > MAX_ROOTS { Ok(Vec::new()) } else { std::fs::read(path) }) {
        Ok(roots) if !roots.is_empty() => Ok(roots),
        Ok(_) => Err(format!("{} is no file of certificates", path.display())),
        Err(e) => Err(format!("reading the certificates {}: {e}", path.display())),
    }
}

/// Whom to trust, from parameters and what Kopia looks at.
pub(super) fn tls(url: &mut Url) -> Result<Tls, String> {
    let roots = match (url.take("ca"), variable("ROOT_CA_PEM_BASE64")) {
        (Some(file), _) => Some(roots_in(Path::new(&file))?),
        (None, Some(text)) => {
            let decoded = STANDARD.decode(text.trim());
            Some(decoded.map_err(|_| "ROOT_CA_PEM_BASE64 is not base64".to_owned())?)
        }
        (None, None) => None,
    };
    let unverified = url.take_switch("verify")? == Some(false);
    Ok(Tls { roots, unverified, fingerprint: None })
}

/// `s3://bucket/prefix?endpoint=…&region=…`
#[cfg(feature = "s3")]
pub(super) fn s3(mut url: Url) -> Result<Location, String> {
    if url.authority.is_empty() {
        return Err("it names no bucket, as s3://bucket/prefix does".into());
    }
    let (endpoint, plain_http) =
        url.take("endpoint").map_or(Ok((String::new(), false)), |text| endpoint(&text))?;
    let options = S3Options {
        bucket: std::mem::take(&mut url.authority),
        prefix: std::mem::take(&mut url.path),
        endpoint,
        plain_http,
        region: url.take("region").unwrap_or_default(),
        tls: tls(&mut url)?,
        role: url.take("role").map(|arn| Role {
            arn,
            endpoint: url.take("role-endpoint").unwrap_or_default(),
            ..Role::default()
        }),
        moment: moment_in(&mut url)?,
        ..S3Options::default()
    };
    url.finish("endpoint, region, at, role, role-endpoint, ca and verify are")?;
    Ok(Location::S3(Box::new(options)))
}

/// The moment of `?at=`.
#[cfg(feature = "s3")]
fn moment_in(url: &mut Url) -> Result<Option<jiff::Timestamp>, String> {
    let read = |text: String| {
        let wrong = || format!("at={text} is no time, such as 2026-11-21T08:00:00Z");
        super::moment(&text).ok_or_else(wrong)
    };
    url.take("at").map(read).transpose()
}

/// `b2://bucket/prefix?region=…`: by the S3 address of Backblaze, which the key leads to where no region is named.
#[cfg(feature = "s3")]
pub(super) fn b2(mut url: Url) -> Result<Location, String> {
    if url.authority.is_empty() {
        return Err("it names no bucket, as b2://bucket/prefix does".into());
    }
    let first =
        |names: &[&str]| Hidden::new(names.iter().find_map(|name| variable(name)).unwrap_or_default());
    let endpoint = match (url.take("endpoint"), url.take("region")) {
        (Some(endpoint), _) => Some(endpoint),
        (None, Some(region)) => Some(format!("https://s3.{region}.backblazeb2.com")),
        (None, None) => None,
    };
    let moment = moment_in(&mut url)?;
    let (bucket, prefix) = (std::mem::take(&mut url.authority), std::mem::take(&mut url.path));
    url.finish("endpoint, region and at are")?;
    b2_bucket(B2Settings {
        bucket,
        prefix,
        endpoint,
        key_id: first(&["B2_KEY_ID", "B2_APPLICATION_KEY_ID", "B2_ACCOUNT_ID"]),
        key: first(&["B2_KEY", "B2_APPLICATION_KEY"]),
        moment,
    })
}

/// What leads to a bucket of B2.
#[cfg(feature = "s3")]
pub(crate) struct B2Settings {
    pub(crate) bucket: String,
    pub(crate) prefix: String,
    /// To be found out where it is not named.
    pub(crate) endpoint: Option<String>,
    pub(crate) key_id: Hidden,
    pub(crate) key: Hidden,
    pub(crate) moment: Option<jiff::Timestamp>,
}

/// A bucket of B2.
#[cfg(feature = "s3")]
pub(crate) fn b2_bucket(settings: B2Settings) -> Result<Location, String> {
    let B2Settings { bucket, prefix, endpoint: named, key_id, key, moment } = settings;
    if key_id.is_empty() || key.is_empty() {
        return Err("the key is missing: give an application key in B2_KEY_ID and B2_KEY".into());
    }
    let b2 = named.is_none().then(String::new);
    let (host, plain_http) = named.map_or(Ok((String::new(), false)), |text| endpoint(&text))?;
    Ok(Location::S3(Box::new(S3Options {
        bucket,
        prefix,
        plain_http,
        region: b2_region(&host).unwrap_or_default().to_owned(),
        endpoint: host,
        access_key: key_id,
        secret_key: key,
        b2,
        moment,
        ..S3Options::default()
    })))
}

/// `gs://bucket/prefix?credentials=/file`
#[cfg(feature = "gcs")]
pub(super) fn gcs(mut url: Url) -> Result<Location, String> {
    if url.authority.is_empty() {
        return Err("it names no bucket, as gs://bucket/prefix does".into());
    }
    let file = url.take("credentials").or_else(|| variable("GOOGLE_APPLICATION_CREDENTIALS"));
    let options = GcsOptions {
        bucket: std::mem::take(&mut url.authority),
        prefix: std::mem::take(&mut url.path),
        credentials: Hidden::default(),
        credentials_file: file.map(PathBuf::from),
        emulator: variable("STORAGE_EMULATOR_HOST"),
    };
    url.finish("credentials is")?;
    Ok(Location::Gcs(Box::new(options)))
}

/// `az://container/prefix?account=…`
#[cfg(feature = "azure")]
pub(super) fn azure(mut url: Url) -> Result<Location, String> {
    if url.authority.is_empty() {
        return Err("it names no container, as az://container/prefix does".into());
    }
    let account = url.take("account").or_else(|| variable("AZURE_STORAGE_ACCOUNT"));
    let Some(account) = account else {
        return Err(
            "the storage account is missing: give it with ?account= or in AZURE_STORAGE_ACCOUNT".into()
        );
    };
    let options = AzureOptions {
        container: std::mem::take(&mut url.authority),
        prefix: std::mem::take(&mut url.path),
        account,
        domain: url.take("domain").or_else(|| variable("AZURE_STORAGE_DOMAIN")).unwrap_or_default(),
        plain_http: false,
        tls: tls(&mut url)?,
        sas_token: secret("AZURE_STORAGE_SAS_TOKEN"),
        account_key: secret("AZURE_STORAGE_KEY"),
        tenant: variable("AZURE_TENANT_ID").unwrap_or_default(),
        client: variable("AZURE_CLIENT_ID").unwrap_or_default(),
        client_secret: secret("AZURE_CLIENT_SECRET"),
        federated_token_file: variable("AZURE_FEDERATED_TOKEN_FILE").map(PathBuf::from),
    };
    url.finish("account, domain, ca and verify are")?;
    Ok(Location::Azure(Box::new(options)))
}

#[cfg(all(test, feature = "s3"))]
mod tests {
    use super::*;

    fn s3_of(text: &str) -> Result<S3Options, String> {
        match Url::parse(text.as_bytes()).and_then(s3)? {
            Location::S3(options) => Ok(*options),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn a_bucket_with_a_prefix_at_an_endpoint() {
        let options = s3_of("bucket/a/b%20c/?endpoint=http://nas:9000&region=garage").unwrap();
        assert_eq!((options.bucket.as_str(), options.prefix.as_str()), ("bucket", "a/b c/"));
        assert_eq!((options.endpoint.as_str(), options.plain_http), ("nas:9000", true));
        assert_eq!(options.region, "garage");
        let options = s3_of("bucket?endpoint=nas.lan&verify=false").unwrap();
        assert!(options.prefix.is_empty() && !options.plain_http && options.tls.unverified);
        assert_eq!(s3_of("bucket/kopia-").unwrap().prefix, "kopia-");
    }

    #[test]
    fn a_bucket_as_it_was_and_with_a_role() {
        let options =
            s3_of("b?at=2026-11-21T08:00:00Z&role=arn:aws:iam::1:role/r&role-endpoint=http://nas").unwrap();
        assert_eq!(options.moment.unwrap().to_string(), "2026-11-21T08:00:00Z");
        let role = options.role.unwrap();
        assert_eq!((role.arn.as_str(), role.endpoint.as_str()), ("arn:aws:iam::1:role/r", "http://nas"));
    }

    #[test]
    fn a_bucket_of_b2() {
        let settings = |endpoint: Option<&str>| B2Settings {
            bucket: "b".into(),
            prefix: "p/".into(),
            endpoint: endpoint.map(str::to_owned),
            key_id: Hidden::new("id"),
            key: Hidden::new("hunter2"),
            moment: None,
        };
        let of = |endpoint| match b2_bucket(settings(endpoint)) {
            Ok(Location::S3(options)) => *options,
            other => panic!("{other:?}"),
        };
        let found = of(None);
        assert_eq!((found.to_string().as_str(), found.endpoint.as_str()), ("b2://b/p/", ""));
        let named = of(Some("https://s3.us-west-004.backblazeb2.com"));
        assert_eq!((named.region.as_str(), named.b2), ("us-west-004", None));
        assert!(b2_bucket(B2Settings { key: Hidden::default(), ..settings(None) }).is_err());
    }

    #[test]
    fn what_does_not_make_sense_is_refused() {
        for text in [
            "",
            "/prefix",
            "b?endpoint=ftp://x",
            "b?endpoint=http://x/path",
            "b?endpoint=http://",
            "b?region=a&region=b",
            "b?verify=perhaps",
            "b?ca=/no/such/file",
            "b?unknown=1",
            "b?at=sometime",
            "user@b",
        ] {
            assert!(s3_of(text).is_err(), "{text}");
        }
    }
}
