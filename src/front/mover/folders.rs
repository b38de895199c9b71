//! Folders of servers that the environment names.

use super::environment::Environment;
use super::error::Error;
use crate::front::location::Location;

/// The folder that a setting of the operator names. `variable` is the one by which its kind was chosen, and `name` what
/// people call it.
#[cfg_attr(
    not(any(feature = "webdav", feature = "sftp", feature = "rclone")),
    allow(unused_variables, reason = "all are refused then")
)]
pub(super) fn of(
    environment: &Environment,
    variable: &'static str,
    name: &'static str,
) -> Result<Location, Error> {
    match variable {
        #[cfg(feature = "webdav")]
        "WEBDAV_URL" => webdav(environment),
        #[cfg(feature = "sftp")]
        "SFTP_HOST" => sftp(environment),
        #[cfg(feature = "rclone")]
        "RCLONE_REMOTE_PATH" => rclone(environment),
        _ => Err(Error::Backend(name)),
    }
}

#[cfg(feature = "webdav")]
fn webdav(environment: &Environment) -> Result<Location, Error> {
    use crate::blob::remote::Hidden;

    let text = |name: &str| environment.text(name).map(String::from).unwrap_or_default();
    crate::front::location::webdav_at(
        &text("WEBDAV_URL"),
        text("WEBDAV_USERNAME"),
        Hidden::new(text("WEBDAV_PASSWORD")),
        String::new(),
    )
    .map_err(|_| Error::Setting {
        // What is wrong with it may be a password in it.
        name: "WEBDAV_URL",
        value: "…".into(),
        expected: "an address such as https://host:port/folder, without credentials",
    })
}

/// `RCLONE_CONFIG` is the variable by which rclone itself finds its configuration.
#[cfg(feature = "rclone")]
fn rclone(environment: &Environment) -> Result<Location, Error> {
    let text = |name: &str| environment.text(name).map(String::from).unwrap_or_default();
    crate::front::location::rclone_at(text("RCLONE_REMOTE_PATH"), text("RCLONE_EXE").into())
        .map_err(Error::Structured)
}

#[cfg(feature = "sftp")]
fn sftp(environment: &Environment) -> Result<Location, Error> {
    use crate::blob::remote::Hidden;
    use crate::front::location::{SftpSettings, sftp_at};

    let text = |name: &str| environment.text(name).map(String::from).unwrap_or_default();
    let port = text("SFTP_PORT");
    let number = if port.is_empty() { Ok(0) } else { port.parse() };
    let unusable = |name, value: String, expected| Error::Setting { name, value, expected };
    sftp_at(SftpSettings {
        host: text("SFTP_HOST"),
        port: number.map_err(|_| unusable("SFTP_PORT", port, "a port"))?,
        path: text("SFTP_PATH"),
        username: text("SFTP_USERNAME"),
        password: Hidden::new(text("SFTP_PASSWORD")),
        key_file: text("SFTP_KEY_FILE"),
        key_data: Hidden::default(),
        known_hosts_file: text("SFTP_KNOWN_HOSTS"),
        known_hosts_data: text("SFTP_KNOWN_HOSTS_DATA"),
    })
    .map_err(Error::Structured)
}
