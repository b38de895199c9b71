//! Blobs on a WebDAV server, in folders as Kopia lays them out.

mod multistatus;
mod server;

use crate::blob::remote::{Hidden, Tls};
use crate::blob::{Error, Folders, Hints, Traffic, Trouble};

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
    /// The folder as a store. Nothing is asked of the server yet.
    ///
    /// # Errors
    /// What cannot be reached so: see [`Cause`](crate::blob::Cause).
    #[cfg(any(test, feature = "testkit"))]
    pub fn open(self) -> Result<Folders, Error> {
        self.open_counted(&Traffic::default())
    }

    /// The same, with its requests counted there.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_counted(self, traffic: &Traffic) -> Result<Folders, Error> {
        let place = self.to_string();
        let refuse = |trouble: Trouble| Error::Remote(Box::new(trouble.during(format!("opening {place}"))));
        let server = server::WebDav::new(&self, traffic).map_err(refuse)?;
        Ok(Folders::new(server, place.clone(), Hints::REMOTE))
    }
}

impl std::fmt::Display for WebDavOptions {
    /// As the location that names it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.plain_http { "webdav+http" } else { "webdav" };
        write!(f, "{scheme}://{}/{}", self.host, self.path.trim_matches('/'))
    }
}
