//! Blobs on a WebDAV server, in folders as Kopia lays them out.

mod multistatus;
mod server;

#[cfg(feature = "rclone")]
pub(super) use server::WebDav;

use crate::blob::remote::{Hidden, Tls};
use crate::blob::{Error, Folders, Hints, Traffic};

/// A folder of a WebDAV server, and how it is reached.
#[derive(Debug, Clone, Default)]
pub struct WebDavOptions {
    /// `host` or `host:port`.
    pub host: String,
    /// The folder on it, not encoded.
    pub path: String,
    /// Without TLS.
    pub plain_http: bool,
    /// Whom to trust.
    pub tls: Tls,
    /// Who asks; empty for a server that answers everybody.
    pub username: String,
    /// The password.
    pub password: Hidden,
}

impl WebDavOptions {
    /// The folder as a store, whose requests are counted in `traffic`. Nothing is asked of the server yet.
    ///
    /// # Errors
    /// What cannot be reached so: see [`Cause`](crate::blob::Cause).
    pub fn open(self, traffic: &Traffic) -> Result<Folders, Error> {
        let place = self.to_string();
        Folders::new(server::WebDav::new(&self, traffic), place, Hints::REMOTE)
    }
}

impl std::fmt::Display for WebDavOptions {
    /// As the location that names it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.plain_http { "webdav+http" } else { "webdav" };
        write!(f, "{scheme}://{}/{}", self.host, self.path.trim_matches('/'))
    }
}
