//! Buckets that the environment names.

use super::environment::Environment;
use super::error::Error;
use crate::front::location::Location;

/// The bucket by the first setting that names one; those come before a directory.
pub(super) fn of(environment: &Environment, url: &str) -> Result<Option<Location>, Error> {
    if environment.has("KOPIA_S3_BUCKET") || url.starts_with("s3://") {
        return s3(environment, url);
    }
    if environment.has("KOPIA_AZURE_CONTAINER") {
        return azure(environment).map(Some);
    }
    if environment.has("KOPIA_GCS_BUCKET") {
        return gcs(environment).map(Some);
    }
    Ok(None)
}

#[cfg(feature = "s3")]
fn s3(environment: &Environment, url: &str) -> Result<Option<Location>, Error> {
    use super::s3::S3;
    use crate::blob::object::S3Options;
    use crate::blob::remote::{Hidden, Tls};

    let Some(s3) = S3::of(environment, url)? else { return Ok(None) };
    let hidden = |text: Option<String>| Hidden::new(text.unwrap_or_default());
    let roots = s3.ca.map(|path| crate::front::location::roots_in(path.as_ref())).transpose();
    let options = S3Options {
        bucket: s3.bucket,
        prefix: s3.prefix,
        endpoint: s3.endpoint,
        plain_http: s3.plain_http,
        tls: Tls { roots: roots.map_err(Error::CustomCa)?, ..Tls::default() },
        region: s3.region.unwrap_or_default(),
        access_key: hidden(s3.access_key),
        secret_key: hidden(s3.secret_key),
        session_token: hidden(s3.session_token),
        ..S3Options::default()
    };
    Ok(Some(Location::S3(Box::new(options))))
}

/// A bucket of Backblaze B2, which comes after a directory.
#[cfg(feature = "s3")]
pub(super) fn b2(environment: &Environment) -> Result<Location, Error> {
    use crate::blob::remote::Hidden;
    use crate::front::location::{B2Settings, b2_bucket};

    let text = |name: &'static str| environment.text(name).map(String::from).ok_or(Error::Undefined(name));
    b2_bucket(B2Settings {
        bucket: text("KOPIA_B2_BUCKET")?,
        prefix: String::new(),
        endpoint: None,
        key_id: Hidden::new(text("B2_ACCOUNT_ID")?),
        key: Hidden::new(text("B2_APPLICATION_KEY")?),
        moment: None,
    })
    .map_err(Error::Structured)
}

#[cfg(not(feature = "s3"))]
pub(super) fn b2(_: &Environment) -> Result<Location, Error> {
    Err(Error::Backend("Backblaze B2"))
}

#[cfg(not(feature = "s3"))]
fn s3(_: &Environment, _: &str) -> Result<Option<Location>, Error> {
    Err(Error::Backend("S3"))
}

#[cfg(feature = "azure")]
fn azure(environment: &Environment) -> Result<Location, Error> {
    use crate::blob::object::AzureOptions;
    use crate::blob::remote::Hidden;

    let first = |names: &[&str]| {
        names.iter().find_map(|name| environment.text(name)).map(String::from).unwrap_or_default()
    };
    let hidden = |names: &[&str]| Hidden::new(first(names));
    Ok(Location::Azure(Box::new(AzureOptions {
        container: first(&["KOPIA_AZURE_CONTAINER"]),
        account: first(&["KOPIA_AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT"]),
        domain: first(&["AZURE_STORAGE_DOMAIN"]),
        sas_token: hidden(&["AZURE_STORAGE_SAS_TOKEN"]),
        account_key: hidden(&["KOPIA_AZURE_STORAGE_KEY", "AZURE_STORAGE_KEY"]),
        tenant: first(&["AZURE_TENANT_ID"]),
        client: first(&["AZURE_CLIENT_ID"]),
        client_secret: hidden(&["AZURE_CLIENT_SECRET"]),
        federated_token_file: environment.raw("AZURE_FEDERATED_TOKEN_FILE").map(Into::into),
        ..AzureOptions::default()
    })))
}

#[cfg(not(feature = "azure"))]
fn azure(_: &Environment) -> Result<Location, Error> {
    Err(Error::Backend("Azure"))
}

#[cfg(feature = "gcs")]
fn gcs(environment: &Environment) -> Result<Location, Error> {
    use crate::blob::object::GcsOptions;

    Ok(Location::Gcs(Box::new(GcsOptions {
        bucket: environment.text("KOPIA_GCS_BUCKET").map(String::from).unwrap_or_default(),
        credentials_file: environment.raw("GOOGLE_APPLICATION_CREDENTIALS").map(Into::into),
        emulator: environment.text("STORAGE_EMULATOR_HOST").map(String::from),
        ..GcsOptions::default()
    })))
}

#[cfg(not(feature = "gcs"))]
fn gcs(_: &Environment) -> Result<Location, Error> {
    Err(Error::Backend("Google Cloud"))
}
