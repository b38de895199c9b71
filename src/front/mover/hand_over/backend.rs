//! The arguments by which kopia connects to a storage.

use std::ffi::OsString;

use super::kopia::option;
use crate::front::mover::environment::Environment;
use crate::front::mover::error::Error;
use crate::front::mover::location;
use crate::front::mover::s3::S3;

/// A storage that is there when a variable names it.
struct Storage {
    kind: &'static str,
    named_by: &'static str,
    /// Kopia's options and the variables with their values. Those that are empty are left out, so that kopia's own count.
    options: &'static [(&'static str, &'static str)],
}

/// Those that go before a directory, and those that come after it, in the stock mover's order.
const BEFORE: [Storage; 2] = [
    Storage {
        kind: "azure",
        named_by: "KOPIA_AZURE_CONTAINER",
        options: &[
            ("--container", "KOPIA_AZURE_CONTAINER"),
            ("--storage-account", "KOPIA_AZURE_STORAGE_ACCOUNT"),
            ("--storage-key", "KOPIA_AZURE_STORAGE_KEY"),
        ],
    },
    Storage {
        kind: "gcs",
        named_by: "KOPIA_GCS_BUCKET",
        options: &[
            ("--bucket", "KOPIA_GCS_BUCKET"),
            ("--credentials-file", "GOOGLE_APPLICATION_CREDENTIALS"),
        ],
    },
];
const AFTER: [Storage; 5] = [
    Storage {
        kind: "b2",
        named_by: "KOPIA_B2_BUCKET",
        options: &[
            ("--bucket", "KOPIA_B2_BUCKET"),
            ("--key-id", "B2_ACCOUNT_ID"),
            ("--key", "B2_APPLICATION_KEY"),
        ],
    },
    Storage {
        kind: "webdav",
        named_by: "WEBDAV_URL",
        options: &[
            ("--url", "WEBDAV_URL"),
            ("--webdav-username", "WEBDAV_USERNAME"),
            ("--webdav-password", "WEBDAV_PASSWORD"),
        ],
    },
    Storage {
        kind: "sftp",
        named_by: "SFTP_HOST",
        options: &[
            ("--host", "SFTP_HOST"),
            ("--username", "SFTP_USERNAME"),
            ("--path", "SFTP_PATH"),
            ("--port", "SFTP_PORT"),
            ("--sftp-password", "SFTP_PASSWORD"),
            ("--keyfile", "SFTP_KEY_FILE"),
            ("--known-hosts", "SFTP_KNOWN_HOSTS"),
            ("--known-hosts-data", "SFTP_KNOWN_HOSTS_DATA"),
        ],
    },
    Storage {
        kind: "rclone",
        named_by: "RCLONE_REMOTE_PATH",
        options: &[
            ("--remote-path", "RCLONE_REMOTE_PATH"),
            ("--rclone-exe", "RCLONE_EXE"),
            ("--rclone-config", "RCLONE_CONFIG"),
        ],
    },
    Storage {
        kind: "gdrive",
        named_by: "GOOGLE_DRIVE_FOLDER_ID",
        options: &[
            ("--folder-id", "GOOGLE_DRIVE_FOLDER_ID"),
            ("--credentials-file", "GOOGLE_DRIVE_CREDENTIALS"),
        ],
    },
];

/// Kind of the storage and its options, by the first setting that names one.
pub(super) fn arguments(environment: &Environment) -> Result<Vec<OsString>, Error> {
    let url = environment.text("KOPIA_REPOSITORY").unwrap_or_default();
    let first = |storages: &'static [Storage]| {
        let storage = storages.iter().find(|storage| environment.has(storage.named_by))?;
        let given =
            storage.options.iter().filter_map(|(flag, name)| Some(option(flag, environment.raw(name)?)));
        Some((storage.kind, given.collect()))
    };
    let (kind, options) = if let Some(bucket) = S3::of(environment, &url)? {
        ("s3", s3(&bucket))
    } else if let Some(storage) = first(&BEFORE) {
        storage
    } else if let Some(path) = location::url_path(&url)? {
        ("filesystem", vec![option("--path", path)])
    } else {
        first(&AFTER).ok_or(Error::NoLocation)?
    };
    Ok(std::iter::once(kind.into()).chain(options).collect())
}

fn s3(s3: &S3<'_>) -> Vec<OsString> {
    let endpoint = if s3.endpoint.is_empty() { "s3.amazonaws.com" } else { &s3.endpoint };
    let mut options = vec![option("--bucket", &s3.bucket), option("--endpoint", endpoint)];
    for (flag, value) in [
        ("--access-key", &s3.access_key),
        ("--secret-access-key", &s3.secret_key),
        ("--region", &s3.region),
        ("--session-token", &s3.session_token),
    ] {
        options.extend(value.as_ref().map(|value| option(flag, value)));
    }
    if !s3.prefix.is_empty() {
        options.push(option("--prefix", &s3.prefix));
    }
    if s3.plain_http {
        options.push("--disable-tls".into());
    }
    options.extend(s3.ca.map(|path| option("--root-ca-pem-path", path)));
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Vec<String> {
        let arguments = arguments(&pairs.iter().copied().collect()).unwrap();
        arguments.into_iter().map(|argument| argument.into_string().unwrap()).collect()
    }

    #[test]
    fn the_first_setting_that_names_a_storage_counts() {
        let url = ("KOPIA_REPOSITORY", "filesystem:///mnt/repo");
        assert_eq!(of(&[url, ("SFTP_HOST", "h")]), ["filesystem", "--path=/mnt/repo"]);
        assert_eq!(of(&[url, ("KOPIA_GCS_BUCKET", "b")]), ["gcs", "--bucket=b"]);
        assert_eq!(
            of(&[("SFTP_HOST", "h"), ("SFTP_PORT", "22"), ("SFTP_PATH", "/p")]),
            ["sftp", "--host=h", "--path=/p", "--port=22"]
        );
        assert!(matches!(arguments(&[("X", "y")].into_iter().collect()), Err(Error::NoLocation)));
    }

    #[test]
    fn s3_from_url_and_variables() {
        assert_eq!(
            of(&[
                ("KOPIA_REPOSITORY", "s3://bucket/a//b"),
                ("AWS_S3_ENDPOINT", "http://minio:9000"),
                ("AWS_ACCESS_KEY_ID", "id"),
                ("AWS_SECRET_ACCESS_KEY", "key"),
                ("AWS_REGION", "r"),
                ("KOPIA_S3_DISABLE_TLS", "true"),
            ]),
            [
                "s3",
                "--bucket=bucket",
                "--endpoint=minio:9000",
                "--access-key=id",
                "--secret-access-key=key",
                "--region=r",
                "--prefix=a/b/",
                "--disable-tls"
            ]
        );
        assert!(arguments(&[("KOPIA_REPOSITORY", "s3://bucket/a/../b")].into_iter().collect()).is_err());
    }
}
