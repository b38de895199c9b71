//! `kopia repository connect s3|b2|gcs|azure`: the storage from flags and variables.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::connect::{connect, no_storage};
use crate::front::kopia::config::{os_text, quoted};
use crate::front::kopia::failure::Failure;
use crate::front::kopia::grammar::{Flag, Kind, Typed};

const SPEEDS: [(&str, &str); 2] = [
    ("max-upload-speed", "maxUploadSpeedBytesPerSecond"),
    ("max-download-speed", "maxDownloadSpeedBytesPerSecond"),
];

/// Amazon's own server, where none is named.
const AMAZON: &str = "s3.amazonaws.com";

pub(super) const S3: &[Flag] = &[
    Flag::new("bucket", Kind::Text).required(),
    Flag::new("endpoint", Kind::Text),
    Flag::new("region", Kind::Text),
    Flag::new("access-key", Kind::Text).required().variable("AWS_ACCESS_KEY_ID"),
    Flag::new("secret-access-key", Kind::Text).required().variable("AWS_SECRET_ACCESS_KEY"),
    Flag::new("session-token", Kind::Text).variable("AWS_SESSION_TOKEN"),
    Flag::new("prefix", Kind::Text),
    Flag::switch("disable-tls"),
    Flag::switch("disable-tls-verification"),
    Flag::new("max-download-speed", Kind::Float),
    Flag::new("max-upload-speed", Kind::Float),
    Flag::new("point-in-time", Kind::Text),
    Flag::new("root-ca-pem-base64", Kind::Text).variable("ROOT_CA_PEM_BASE64"),
    Flag::new("root-ca-pem-path", Kind::Text),
];

pub(super) const B2: &[Flag] = &[
    Flag::new("bucket", Kind::Text).required(),
    Flag::new("key-id", Kind::Text).required().variable("B2_KEY_ID"),
    Flag::new("key", Kind::Text).required().variable("B2_KEY"),
    Flag::new("prefix", Kind::Text),
    Flag::new("max-download-speed", Kind::Float),
    Flag::new("max-upload-speed", Kind::Float),
];

pub(super) const GCS: &[Flag] = &[
    Flag::new("bucket", Kind::Text).required(),
    Flag::new("prefix", Kind::Text),
    Flag::switch("read-only"),
    Flag::new("credentials-file", Kind::Text),
    Flag::switch("embed-credentials"),
    Flag::new("max-download-speed", Kind::Float),
    Flag::new("max-upload-speed", Kind::Float),
    Flag::new("point-in-time", Kind::Text),
];

pub(super) const AZURE: &[Flag] = &[
    Flag::new("container", Kind::Text).required(),
    Flag::new("storage-account", Kind::Text).required().variable("AZURE_STORAGE_ACCOUNT"),
    Flag::new("storage-key", Kind::Text).variable("AZURE_STORAGE_KEY"),
    Flag::new("storage-domain", Kind::Text).variable("AZURE_STORAGE_DOMAIN"),
    Flag::new("sas-token", Kind::Text).variable("AZURE_STORAGE_SAS_TOKEN"),
    Flag::new("prefix", Kind::Text),
    Flag::new("tenant-id", Kind::Text).variable("AZURE_TENANT_ID"),
    Flag::new("client-id", Kind::Text).variable("AZURE_CLIENT_ID"),
    Flag::new("client-secret", Kind::Text).variable("AZURE_CLIENT_SECRET"),
    Flag::new("client-cert", Kind::Text).variable("AZURE_CLIENT_CERTIFICATE"),
    Flag::new("azure-federated-token-file", Kind::Text).variable("AZURE_FEDERATED_TOKEN_FILE"),
    Flag::new("max-download-speed", Kind::Float),
    Flag::new("max-upload-speed", Kind::Float),
    Flag::new("point-in-time", Kind::Text),
];

/// The members of a configuration in the order in which Kopia writes them.
pub(super) struct Members<'t> {
    typed: &'t Typed,
    json: Vec<String>,
}

impl<'t> Members<'t> {
    pub(super) fn new(typed: &'t Typed) -> Self {
        Self { typed, json: Vec::new() }
    }

    pub(super) fn raw(&mut self, key: &str, json: &str) {
        self.json.push(format!("\"{key}\":{json}"));
    }

    pub(super) fn text(&mut self, key: &str, text: &str) -> Result<(), Failure> {
        self.raw(key, &quoted(text)?);
        Ok(())
    }

    /// A flag that has its member in any case.
    pub(super) fn flag(&mut self, flag: &str, key: &str) -> Result<(), Failure> {
        self.text(key, self.typed.text(flag).unwrap_or_default())
    }

    /// A flag whose member is there only with a value.
    pub(super) fn given(&mut self, flag: &str, key: &str) -> Result<(), Failure> {
        match self.typed.text(flag).filter(|text| !text.is_empty()) {
            Some(text) => self.text(key, text),
            None => Ok(()),
        }
    }

    fn switch(&mut self, flag: &str, key: &str) {
        if self.typed.on(flag) {
            self.raw(key, "true");
        }
    }

    pub(super) fn limits(&mut self) {
        for (flag, key) in SPEEDS {
            if let Some(speed) = self.typed.float(flag).filter(|speed| *speed != 0.0) {
                self.raw(key, &speed.to_string());
            }
        }
    }

    fn point_in_time(&mut self) -> Result<(), Failure> {
        let Some(text) = self.typed.text("point-in-time").filter(|text| !text.is_empty()) else {
            return Ok(());
        };
        match text.parse::<jiff::Timestamp>() {
            Ok(_) => self.text("pointInTime", text),
            Err(_) => Err(no_storage(Failure::new(format!(
                "invalid point-in-time argument: {text:?} is not RFC 3339"
            )))),
        }
    }

    pub(super) fn connect(self, kind: &str, described: &str) -> Result<(), Failure> {
        let storage = format!("{{\"type\":\"{kind}\",\"config\":{{{}}}}}", self.json.join(","));
        connect(self.typed, &storage, described, None)
    }
}

pub(super) fn read(path: &str) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|e| no_storage(Failure::new(format!("open {path}: {}", os_text(&e)))))
}

pub(super) fn s3(typed: &Typed) -> Result<(), Failure> {
    let given = |flag: &str| typed.text(flag).filter(|text| !text.is_empty());
    let bucket = given("bucket").unwrap_or_default();
    let endpoint = given("endpoint").unwrap_or(AMAZON);
    let mut members = Members::new(typed);
    members.text("bucket", bucket)?;
    members.given("prefix", "prefix")?;
    members.text("endpoint", endpoint)?;
    members.switch("disable-tls", "doNotUseTLS");
    members.switch("disable-tls-verification", "doNotVerifyTLS");
    match (given("root-ca-pem-base64"), given("root-ca-pem-path")) {
        (Some(_), Some(_)) => {
            return Err(no_storage(Failure::new(
                "root-ca-pem-base64 and root-ca-pem-path are mutually exclusive",
            )));
        }
        (Some(text), None) => {
            let roots = STANDARD.decode(text.trim());
            let roots =
                roots.map_err(|_| no_storage(Failure::new("unable to decode CA: it is not base64")))?;
            members.text("rootCA", &STANDARD.encode(roots))?;
        }
        (None, Some(path)) => members.text("rootCA", &STANDARD.encode(read(path)?))?,
        (None, None) => {}
    }
    members.flag("access-key", "accessKeyID")?;
    members.flag("secret-access-key", "secretAccessKey")?;
    members.flag("session-token", "sessionToken")?;
    for key in ["roleARN", "sessionName"] {
        members.text(key, "")?;
    }
    members.text("duration", "0s")?;
    for key in ["roleEndpoint", "roleRegion"] {
        members.text(key, "")?;
    }
    members.given("region", "region")?;
    members.limits();
    members.point_in_time()?;
    members.connect("s3", &format!("S3: {endpoint} {bucket}"))
}

pub(super) fn b2(typed: &Typed) -> Result<(), Failure> {
    let bucket = typed.text("bucket").unwrap_or_default();
    let mut members = Members::new(typed);
    members.text("bucket", bucket)?;
    members.given("prefix", "prefix")?;
    members.flag("key-id", "keyID")?;
    members.flag("key", "key")?;
    members.limits();
    members.connect("b2", &format!("B2: {bucket}"))
}

pub(super) fn gcs(typed: &Typed) -> Result<(), Failure> {
    let bucket = typed.text("bucket").unwrap_or_default();
    let mut members = Members::new(typed);
    members.text("bucket", bucket)?;
    members.given("prefix", "prefix")?;
    if let Some(file) = typed.text("credentials-file").filter(|file| !file.is_empty()) {
        if typed.on("embed-credentials") {
            let json = String::from_utf8(read(file)?).ok();
            let json = json.filter(|json| serde_json::from_str::<serde::de::IgnoredAny>(json).is_ok());
            let invalid = || no_storage(Failure::new(format!("{file} is not valid JSON")));
            members.raw("credentials", json.ok_or_else(invalid)?.trim());
        } else {
            let absolute = std::path::absolute(Path::new(file)).unwrap_or_else(|_| file.into());
            members.text("credentialsFile", &absolute.to_string_lossy())?;
        }
    }
    members.switch("read-only", "readOnly");
    members.limits();
    members.point_in_time()?;
    members.connect("gcs", &format!("GCS: {bucket}"))
}

pub(super) fn azure(typed: &Typed) -> Result<(), Failure> {
    let container = typed.text("container").unwrap_or_default();
    let mut members = Members::new(typed);
    members.text("container", container)?;
    for (flag, key) in [
        ("prefix", "prefix"),
        ("storage-account", "storageAccount"),
        ("storage-key", "storageKey"),
        ("sas-token", "sasToken"),
        ("tenant-id", "TenantID"),
        ("client-id", "ClientID"),
        ("client-secret", "ClientSecret"),
    ] {
        members.given(flag, key)?;
    }
    members.given("client-cert", "clientCertificate")?;
    members.flag("azure-federated-token-file", "azureFederatedTokenFile")?;
    members.given("storage-domain", "storageDomain")?;
    members.limits();
    members.point_in_time()?;
    members.connect("azureBlob", &format!("Azure: {container}"))
}
