//! Folders of SFTP servers: `sftp://user@host:port/folder`.

use std::path::{Path, PathBuf};

use super::Location;
use super::cloud::{secret, variable};
use super::url::Url;
use crate::blob::remote::Hidden;
use crate::blob::sftp::SftpOptions;

/// Keys and lists of hosts have less.
const MAX_FILE: u64 = 4 << 20;

/// `sftp://user@host:port/folder`, and `/~/folder` for one below the home of the user.
pub(super) fn of_url(mut url: Url) -> Result<Location, String> {
    let (user, server) = match url.authority.rsplit_once('@') {
        Some((user, server)) => (user.to_owned(), server.to_owned()),
        None => (variable("SFTP_USERNAME").unwrap_or_default(), std::mem::take(&mut url.authority)),
    };
    if server.is_empty() || user.is_empty() {
        return Err("it names no user and server, as sftp://user@host/folder does".into());
    }
    let (host, port) = split_port(&server)?;
    let path = match url.path.strip_prefix("~/") {
        Some(below) => below.to_owned(),
        None => format!("/{}", url.path),
    };
    let options = SftpOptions {
        host,
        port,
        path,
        username: user,
        password: secret("SFTP_PASSWORD"),
        key: key(url.take("key-file").or_else(|| variable("SFTP_KEY_FILE")), secret("SFTP_KEY_DATA"))?,
        known_hosts: known_hosts(
            url.take("known-hosts").or_else(|| variable("SFTP_KNOWN_HOSTS")),
            variable("SFTP_KNOWN_HOSTS_DATA"),
        )?,
    };
    url.finish("key-file and known-hosts are")?;
    Ok(Location::Sftp(Box::new(options)))
}

fn split_port(server: &str) -> Result<(String, u16), String> {
    let (host, port) = match server.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => server.rsplit_once(':').map_or((server, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map_or(Ok(0), str::parse).map_err(|_| "its port is no number".to_owned())?;
    Ok((host.to_owned(), port))
}

/// What Kopia was given.
pub(crate) struct Settings {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) path: String,
    pub(crate) username: String,
    pub(crate) password: Hidden,
    pub(crate) key_file: String,
    pub(crate) key_data: Hidden,
    pub(crate) known_hosts_file: String,
    pub(crate) known_hosts_data: String,
}

/// The folder that these settings name.
pub(crate) fn of_settings(settings: Settings) -> Result<Location, String> {
    if settings.host.is_empty() || settings.username.is_empty() {
        return Err("it names no user and server".into());
    }
    let given = |text: String| Some(text).filter(|text| !text.is_empty());
    Ok(Location::Sftp(Box::new(SftpOptions {
        key: key(given(settings.key_file), settings.key_data)?,
        known_hosts: known_hosts(given(settings.known_hosts_file), given(settings.known_hosts_data))?,
        host: settings.host,
        port: settings.port,
        path: settings.path,
        username: settings.username,
        password: settings.password,
    })))
}

/// The key that was given as text, else the one in a file.
fn key(file: Option<String>, text: Hidden) -> Result<Hidden, String> {
    match file {
        _ if !text.is_empty() => Ok(text),
        Some(file) => read(Path::new(&file), "the private key").map(Hidden::new),
        None => Ok(text),
    }
}

/// The hosts that were given as text, else those in a file, else those that this user knows.
fn known_hosts(file: Option<String>, text: Option<String>) -> Result<String, String> {
    let of_user = || {
        let path = PathBuf::from(variable("HOME")?).join(".ssh/known_hosts");
        path.exists().then_some(path)
    };
    match (text, file.map(PathBuf::from).or_else(of_user)) {
        (Some(text), _) => Ok(text),
        (None, Some(file)) => read(&file, "the known hosts"),
        (None, None) => Ok(String::new()),
    }
}

fn read(path: &Path, what: &str) -> Result<String, String> {
    let size = std::fs::metadata(path).map(|metadata| metadata.len());
    match size
        .and_then(|size| if size > MAX_FILE { Ok(String::new()) } else { std::fs::read_to_string(path) })
    {
        Ok(text) if !text.is_empty() => Ok(text),
        Ok(_) => Err(format!("{} is not {what}", path.display())),
        Err(e) => Err(format!("reading {what} {}: {e}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<String, String> {
        Url::parse_with_user(text.as_bytes()).and_then(of_url).map(|location| location.to_string())
    }

    #[test]
    fn a_folder_of_a_user_on_a_server() {
        for (text, expected) in [
            ("me@nas/srv/kopia", "sftp://me@nas/srv/kopia"),
            ("me@nas:2222/srv/a%20b/", "sftp://me@nas:2222/srv/a b/"),
            ("me@[::1]:22/~/kopia", "sftp://me@[::1]/~/kopia"),
        ] {
            assert_eq!(shown(text).unwrap(), expected);
        }
        for text in ["/srv", "me@/srv", "me@nas:x/srv", "me@nas/srv?key-file=/no/such", "me@nas/?colour=red"]
        {
            assert!(shown(text).is_err(), "{text}");
        }
        assert!(!shown("me:hunter2@nas/srv").unwrap_err().contains("hunter2"));
    }
}
