//! Blobs on an SFTP server, in folders as Kopia lays them out.

mod connection;
mod files;
mod known_hosts;
mod server;

use crate::blob::remote::Hidden;
use crate::blob::{Error, Folders, Hints, Traffic};

/// A folder of an SFTP server, and how it is reached.
#[derive(Debug, Clone, Default)]
pub struct SftpOptions {
    /// The server.
    pub host: String,
    /// 22 where it is 0.
    pub port: u16,
    /// The folder; one that does not begin with a slash is below the home of the user.
    pub path: String,
    /// Who asks.
    pub username: String,
    /// The password; it counts before the key.
    pub password: Hidden,
    /// A private key, as the text of its file.
    pub key: Hidden,
    /// The keys of servers, as lines of a `known_hosts` file. A server that is not among them is not talked to.
    pub known_hosts: String,
}

impl SftpOptions {
    /// As many requests at a time as one connection carries well.
    const HINTS: Hints = Hints { range: 4 << 20, gap: 512 << 10, reads: 16, small_reads: 32 };

    /// The folder as a store, whose requests are counted in `traffic`. Nothing is asked of the server yet.
    ///
    /// # Errors
    /// What cannot be reached so: see [`Cause`](crate::blob::Cause).
    pub fn open(self, traffic: &Traffic) -> Result<Folders, Error> {
        let place = self.to_string();
        Folders::new(server::Sftp::new(self, traffic), place, Self::HINTS)
    }

    fn port(&self) -> u16 {
        if self.port == 0 { 22 } else { self.port }
    }
}

impl std::fmt::Display for SftpOptions {
    /// As the location that names it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        write!(f, "sftp://{}@{host}", self.username)?;
        if self.port() != 22 {
            write!(f, ":{}", self.port())?;
        }
        match self.path.strip_prefix('/') {
            Some(path) => write!(f, "/{path}"),
            None => write!(f, "/~/{}", self.path),
        }
    }
}
