//! Connections that Kopia remembers: `{"storage":{"type":…,"config":{…}}}`, with all that it takes to connect again.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::Location;
use crate::gojson::go_object;

/// A file of a connection has less, also with certificates in it.
const MAX_FILE: u64 = 4 << 20;

#[derive(Default)]
struct Connection {
    storage: Option<Storage>,
    server: Option<IgnoredAny>,
}
go_object!(Connection { "storage" => storage, "apiServer" => server });

/// A storage of any type; what a type has not stays empty.
#[derive(Default)]
struct Storage {
    kind: String,
    config: Config,
}
go_object!(Storage { "type" => kind, "config" => config });

#[derive(Default)]
struct Config {
    path: PathBuf,
    bucket: String,
    prefix: String,
    endpoint: String,
    plain_http: bool,
    unverified: bool,
    root_ca: String,
    access_key: String,
    secret_key: String,
    session_token: String,
    role_arn: String,
    role_session: String,
    role_duration: Option<Box<RawValue>>,
    role_endpoint: String,
    role_region: String,
    key_id: String,
    key: String,
    region: String,
    point_in_time: String,
    credentials_file: String,
    credentials: Option<Box<RawValue>>,
    container: String,
    account: String,
    account_key: String,
    sas_token: String,
    tenant: String,
    client: String,
    client_secret: String,
    client_certificate: String,
    federated_token_file: String,
    domain: String,
    url: String,
    username: String,
    password: String,
    fingerprint: String,
    host: String,
    port: u16,
    key_file: String,
    key_data: String,
    known_hosts_file: String,
    known_hosts_data: String,
    external: bool,
    remote: String,
    rclone: PathBuf,
    rclone_arguments: Option<Vec<String>>,
    rclone_variables: Option<Vec<String>>,
    rclone_startup: Option<Box<RawValue>>,
    rclone_config: String,
}
go_object!(Config {
    "path" => path,
    "bucket" => bucket,
    "prefix" => prefix,
    "endpoint" => endpoint,
    "doNotUseTLS" => plain_http,
    "doNotVerifyTLS" => unverified,
    "rootCA" => root_ca,
    "accessKeyID" => access_key,
    "secretAccessKey" => secret_key,
    "sessionToken" => session_token,
    "roleARN" => role_arn,
    "sessionName" => role_session,
    "duration" => role_duration,
    "roleEndpoint" => role_endpoint,
    "roleRegion" => role_region,
    "keyID" => key_id,
    "key" => key,
    "region" => region,
    "pointInTime" => point_in_time,
    "credentialsFile" => credentials_file,
    "credentials" => credentials,
    "container" => container,
    "storageAccount" => account,
    "storageKey" => account_key,
    "sasToken" => sas_token,
    "TenantID" => tenant,
    "ClientID" => client,
    "ClientSecret" => client_secret,
    "clientCertificate" => client_certificate,
    "azureFederatedTokenFile" => federated_token_file,
    "storageDomain" => domain,
    "url" => url,
    "username" => username,
    "password" => password,
    "trustedServerCertificateFingerprint" => fingerprint,
    "host" => host,
    "port" => port,
    "keyfile" => key_file,
    "keyData" => key_data,
    "knownHostsFile" => known_hosts_file,
    "knownHostsData" => known_hosts_data,
    "externalSSH" => external,
    "remotePath" => remote,
    "rcloneExe" => rclone,
    "rcloneArgs" => rclone_arguments,
    "rcloneEnv" => rclone_variables,
    "startupTimeout" => rclone_startup,
    "embeddedConfig" => rclone_config,
});

/// Where the connection in a file leads to.
pub(super) fn in_file(path: &Path) -> Location {
    let location = format!("@{}", path.display());
    let read = || {
        let mut text = Zeroizing::new(Vec::new());
        File::open(path)?.take(MAX_FILE).read_to_end(&mut text)?;
        Ok::<_, std::io::Error>(text)
    };
    let found = match read() {
        Ok(text) => of_connection(&text),
        Err(e) => Err(format!("reading it: {e}")),
    };
    found.unwrap_or_else(|reason| Location::Invalid { location, reason })
}

fn of_connection(json: &[u8]) -> Result<Location, String> {
    // Bytes behind the object are ignored, as in Kopia; what an error quotes may be a secret.
    let mut values = serde_json::Deserializer::from_slice(json).into_iter::<Connection>();
    match values.next() {
        Some(Ok(Connection { storage: Some(storage), .. })) => of_storage(storage),
        Some(Ok(Connection { server: Some(_), .. })) => {
            Err("it is a connection to a Kopia server: connect to its storage instead".into())
        }
        Some(Ok(_)) => Err("it names no storage".into()),
        Some(Err(e)) => Err(format!("it is not valid at line {}, column {}", e.line(), e.column())),
        None => Err("it is empty".into()),
    }
}

/// Where `{"type":…,"config":…}` leads to.
pub(crate) fn storage(json: &str) -> Result<Location, String> {
    let storage: Storage = serde_json::from_str(json)
        .map_err(|e| format!("it is not valid at line {}, column {}", e.line(), e.column()))?;
    of_storage(storage)
}

fn of_storage(storage: Storage) -> Result<Location, String> {
    let Storage { kind, config } = storage;
    if !config.point_in_time.is_empty() && kind != "s3" {
        return Err(format!("it asks for a point in time: {}", super::AS_IT_WAS));
    }
    match kind.as_str() {
        "filesystem" if config.path.as_os_str().is_empty() => Err("its storage has no path".into()),
        "filesystem" => Ok(Location::Directory(config.path)),
        #[cfg(feature = "s3")]
        "s3" => s3(config),
        #[cfg(feature = "s3")]
        "b2" => super::b2_bucket(super::B2Settings {
            bucket: config.bucket,
            prefix: config.prefix,
            endpoint: None,
            key_id: crate::blob::remote::Hidden::new(config.key_id),
            key: crate::blob::remote::Hidden::new(config.key),
            moment: None,
        }),
        #[cfg(feature = "gcs")]
        "gcs" => Ok(gcs(config)),
        #[cfg(feature = "azure")]
        "azureBlob" => azure(config),
        #[cfg(feature = "sftp")]
        "sftp" => sftp(config),
        #[cfg(feature = "webdav")]
        "webdav" => {
            let password = crate::blob::remote::Hidden::new(config.password);
            super::webdav::of_address(&config.url, config.username, password, config.fingerprint)
        }
        #[cfg(feature = "rclone")]
        "rclone" => rclone(config),
        other => {
            Err(format!("storage of type {other:?} is not supported: mount it, or copy it to a directory"))
        }
    }
}

/// A time span as Kopia writes it; `None` for none.
#[cfg(any(feature = "s3", feature = "rclone"))]
fn duration(json: Option<Box<RawValue>>) -> Option<std::time::Duration> {
    let text: String = serde_json::from_str(json?.get()).ok()?;
    text.parse::<crate::gojson::duration::GoDuration>().ok()?.positive()
}

#[cfg(feature = "s3")]
fn s3(config: Config) -> Result<Location, String> {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use crate::blob::object::{Role, S3Options};
    use crate::blob::remote::{Hidden, Tls};

    let roots = match config.root_ca.as_str() {
        "" => None,
        text => Some(STANDARD.decode(text).map_err(|_| "its rootCA is not base64".to_owned())?),
    };
    let moment = match config.point_in_time.as_str() {
        "" => None,
        text => Some(text.parse().map_err(|_| "its point in time is no time".to_owned())?),
    };
    let role = Role {
        arn: config.role_arn,
        session: config.role_session,
        seconds: duration(config.role_duration).map_or(0, |duration| duration.as_secs()),
        endpoint: config.role_endpoint,
        region: config.role_region,
    };
    Ok(Location::S3(Box::new(S3Options {
        bucket: config.bucket,
        prefix: config.prefix,
        endpoint: config.endpoint,
        plain_http: config.plain_http,
        tls: Tls { roots, unverified: config.unverified, fingerprint: None },
        region: config.region,
        access_key: Hidden::new(config.access_key),
        secret_key: Hidden::new(config.secret_key),
        session_token: Hidden::new(config.session_token),
        role: Some(role).filter(|role| !role.arn.is_empty()),
        b2: None,
        moment,
    })))
}

#[cfg(feature = "rclone")]
fn rclone(config: Config) -> Result<Location, String> {
    use crate::blob::rclone::RcloneOptions;
    use crate::blob::remote::Hidden;

    if !config.rclone_config.is_empty() {
        return Err("it embeds a configuration of rclone, which is not supported: keep rclone.conf in a file, and connect \
                    without --embed-rclone-config"
            .into());
    }
    super::rclone::of_options(RcloneOptions {
        remote: config.remote,
        program: config.rclone,
        arguments: config.rclone_arguments.unwrap_or_default(),
        variables: config.rclone_variables.unwrap_or_default().into_iter().map(Hidden::new).collect(),
        startup: duration(config.rclone_startup),
        ..RcloneOptions::default()
    })
}

#[cfg(feature = "sftp")]
fn sftp(config: Config) -> Result<Location, String> {
    use super::sftp::{Settings, of_settings};
    use crate::blob::remote::Hidden;

    if config.external {
        return Err(
            "it uses an external ssh, which is not supported: connect with a key and known hosts".into()
        );
    }
    let path = config.path.into_os_string().into_string().map_err(|_| "its path is not UTF-8".to_owned())?;
    of_settings(Settings {
        host: config.host,
        port: config.port,
        path,
        username: config.username,
        password: Hidden::new(config.password),
        key_file: config.key_file,
        key_data: Hidden::new(config.key_data),
        known_hosts_file: config.known_hosts_file,
        known_hosts_data: config.known_hosts_data,
    })
}

#[cfg(feature = "gcs")]
fn gcs(config: Config) -> Location {
    use crate::blob::object::GcsOptions;
    use crate::blob::remote::Hidden;

    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let file = Some(config.credentials_file).filter(|file| !file.is_empty());
    Location::Gcs(Box::new(GcsOptions {
        bucket: config.bucket,
        prefix: config.prefix,
        credentials: Hidden::new(config.credentials.map(|json| json.get().to_owned()).unwrap_or_default()),
        credentials_file: file.or_else(|| variable("GOOGLE_APPLICATION_CREDENTIALS")).map(PathBuf::from),
        emulator: variable("STORAGE_EMULATOR_HOST"),
    }))
}

#[cfg(feature = "azure")]
fn azure(config: Config) -> Result<Location, String> {
    use crate::blob::object::AzureOptions;
    use crate::blob::remote::{Hidden, Tls};

    if !config.client_certificate.is_empty() {
        return Err(
            "it uses a client certificate, which is not supported: use a key, a signature or a secret".into(),
        );
    }
    let file = Some(config.federated_token_file).filter(|file| !file.is_empty());
    Ok(Location::Azure(Box::new(AzureOptions {
        container: config.container,
        prefix: config.prefix,
        account: config.account,
        domain: config.domain,
        plain_http: config.plain_http,
        tls: Tls::default(),
        sas_token: Hidden::new(config.sas_token),
        account_key: Hidden::new(config.account_key),
        tenant: config.tenant,
        client: config.client,
        client_secret: Hidden::new(config.client_secret),
        federated_token_file: file.map(PathBuf::from),
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory() {
        let location =
            of_connection(br#"{"storage":{"type":"filesystem","config":{"path":"/r","dirShards":null}}} x"#);
        assert_eq!(location.unwrap().directory(), Some(Path::new("/r")));
    }

    #[cfg(feature = "s3")]
    #[test]
    fn a_bucket_with_all_that_kopia_writes() {
        let json = r#"{"storage":{"type":"s3","config":{"bucket":"b","prefix":"p/","endpoint":"nas:9000","doNotUseTLS":true,
            "rootCA":"LS0t","accessKeyID":"ak","secretAccessKey":"sk","sessionToken":"","roleARN":"","region":"garage"}}}"#;
        let Ok(Location::S3(s3)) = of_connection(json.as_bytes()) else { panic!("no bucket") };
        assert_eq!((s3.bucket.as_str(), s3.prefix.as_str(), s3.endpoint.as_str()), ("b", "p/", "nas:9000"));
        assert!(s3.plain_http && s3.role.is_none() && s3.moment.is_none());
        assert_eq!(
            (s3.access_key.expose(), s3.secret_key.expose(), s3.region.as_str()),
            ("ak", "sk", "garage")
        );
        assert_eq!(s3.tls.roots.as_deref(), Some(&b"---"[..]));
        assert!(!format!("{s3:?}").contains("sk"));
    }

    #[cfg(feature = "s3")]
    #[test]
    fn a_bucket_with_a_role_and_a_point_in_time() {
        let json = r#"{"storage":{"type":"s3","config":{"bucket":"b","endpoint":"s3.amazonaws.com","accessKeyID":"ak",
            "secretAccessKey":"sk","sessionToken":"","roleARN":"arn:aws:iam::1:role/r","sessionName":"n","duration":"1h0m0s",
            "roleEndpoint":"https://sts.amazonaws.com","roleRegion":"eu-west-1","pointInTime":"2026-11-21T08:00:00Z"}}}"#;
        let Ok(Location::S3(s3)) = of_connection(json.as_bytes()) else { panic!("no bucket") };
        assert_eq!(s3.moment.unwrap().to_string(), "2026-11-21T08:00:00Z");
        let role = s3.role.unwrap();
        assert_eq!((role.session.as_str(), role.seconds, role.region.as_str()), ("n", 3600, "eu-west-1"));
    }

    #[cfg(feature = "s3")]
    #[test]
    fn a_bucket_of_b2() {
        let json =
            r#"{"storage":{"type":"b2","config":{"bucket":"b","prefix":"p/","keyID":"id","key":"hunter2"}}}"#;
        assert_eq!(of_connection(json.as_bytes()).unwrap().to_string(), "b2://b/p/");
    }

    #[test]
    fn what_cannot_be_connected_to_says_why_without_quoting() {
        for (json, hint) in [
            ("", "empty"),
            ("{", "line 1"),
            ("{}", "no storage"),
            (r#"{"apiServer":{"url":"x"}}"#, "Kopia server"),
            (r#"{"storage":{"type":"filesystem","config":{}}}"#, "no path"),
            (r#"{"storage":{"type":"gdrive","config":{"credentials":{"private_key":"hunter2"}}}}"#, "gdrive"),
            (r#"{"storage":{"type":"s3","config":{"bucket":7,"secretAccessKey":"hunter2"}}}"#, "line 1"),
            (
                r#"{"storage":{"type":"gcs","config":{"bucket":"b","pointInTime":"2026-01-01T00:00:00Z"}}}"#,
                "point in time",
            ),
        ] {
            let reason = of_connection(json.as_bytes()).unwrap_err();
            assert!(reason.contains(hint) && !reason.contains("hunter2"), "{json}: {reason}");
        }
    }
}
