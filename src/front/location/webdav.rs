//! Folders of WebDAV servers: `webdav://`, and `webdav+http://` without TLS.

use percent_encoding::percent_decode_str;

use super::Location;
use super::cloud::{secret, tls, variable};
use super::url::Url;
use crate::blob::remote::{Hidden, Tls};
use crate::blob::webdav::WebDavOptions;

/// `webdav://host:port/folder`
pub(super) fn encrypted(url: Url) -> Result<Location, String> {
    of_url(url, false)
}

/// `webdav+http://host:port/folder`
pub(super) fn plain(url: Url) -> Result<Location, String> {
    of_url(url, true)
}

fn of_url(mut url: Url, plain_http: bool) -> Result<Location, String> {
    if url.authority.is_empty() {
        return Err("it names no server, as webdav://host/folder does".into());
    }
    let mut tls = tls(&mut url)?;
    tls.fingerprint = url.take("fingerprint");
    let options = WebDavOptions {
        host: std::mem::take(&mut url.authority),
        path: std::mem::take(&mut url.path),
        plain_http,
        tls,
        username: ["KOPIA_WEBDAV_USERNAME", "WEBDAV_USERNAME"]
            .into_iter()
            .find_map(variable)
            .unwrap_or_default(),
        password: ["KOPIA_WEBDAV_PASSWORD", "WEBDAV_PASSWORD"]
            .into_iter()
            .map(secret)
            .find(|password| !password.is_empty())
            .unwrap_or_default(),
    };
    url.finish("ca, fingerprint and verify are")?;
    Ok(Location::WebDav(Box::new(options)))
}

/// The address that Kopia was given, with what else it takes.
pub(crate) fn of_address(
    address: &str,
    username: String,
    password: Hidden,
    fingerprint: String,
) -> Result<Location, String> {
    let (plain_http, rest) = match address.split_once("://") {
        Some(("https", rest)) => (false, rest),
        Some(("http", rest)) => (true, rest),
        _ => return Err("its URL begins with neither https:// nor http://".into()),
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if host.contains('@') || path.contains(['?', '#']) || host.is_empty() {
        return Err("its URL is not of the form https://host:port/folder".into());
    }
    let path = percent_decode_str(path).decode_utf8().map_err(|_| "its URL is not UTF-8".to_owned())?;
    Ok(Location::WebDav(Box::new(WebDavOptions {
        host: host.to_owned(),
        path: path.into_owned(),
        plain_http,
        tls: Tls { fingerprint: Some(fingerprint).filter(|text| !text.is_empty()), ..Tls::default() },
        username,
        password,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_kopia() {
        for (address, expected) in [
            ("https://nas", "webdav://nas/"),
            ("http://nas:8080/a%20b/", "webdav+http://nas:8080/a b"),
            ("https://nas/remote.php/dav/files/me/kopia", "webdav://nas/remote.php/dav/files/me/kopia"),
        ] {
            let location = of_address(address, String::new(), Hidden::default(), String::new()).unwrap();
            assert_eq!(location.to_string(), expected);
        }
        for address in ["nas/kopia", "ftp://nas", "https://", "https://user:hunter2@nas/", "https://nas/?x"] {
            let refused = of_address(address, String::new(), Hidden::default(), String::new());
            assert!(!refused.unwrap_err().contains("hunter2"), "{address}");
        }
    }
}
