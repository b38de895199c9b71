//! Questions to an SFTP server.

use std::sync::Arc;

use russh_sftp::client::error::Error;
use tokio::sync::Mutex;

use super::SftpOptions;
use super::connection::Connection;
use super::files::{self, File, refusal};
use crate::blob::folders::{Entry, Server, no_runtime};
use crate::blob::remote::{Refusal, wait};
use crate::blob::{Cause, Question, Traffic, Trouble};

/// A folder that is talked to, on a connection that is opened again after it broke.
pub(super) struct Sftp {
    options: SftpOptions,
    connection: Mutex<Option<Arc<Connection>>>,
    traffic: Traffic,
}

impl Sftp {
    pub(super) fn new(options: SftpOptions, traffic: &Traffic) -> Result<Self, Trouble> {
        let missing = |what: &str| Err(Trouble::new(Cause::Refused, format!("no {what} was named")));
        if options.host.is_empty() {
            return missing("server");
        }
        if options.username.is_empty() {
            return missing("user");
        }
        Ok(Self { options, connection: Mutex::const_new(None), traffic: traffic.clone() })
    }

    fn path(&self, below: &str) -> String {
        let base = match self.options.path.trim_end_matches('/') {
            "" if self.options.path.starts_with('/') => "",
            "" => ".",
            base => base,
        };
        match below {
            "" if base.is_empty() => "/".to_owned(),
            "" => base.to_owned(),
            below => format!("{base}/{below}"),
        }
    }

    async fn connected(&self) -> Result<Arc<Connection>, Trouble> {
        let mut connection = self.connection.lock().await;
        if let Some(connection) = &*connection {
            return Ok(Arc::clone(connection));
        }
        let made = Arc::new(Connection::open(&self.options).await?);
        Ok(Arc::clone(connection.insert(made)))
    }

    /// What the failure of a request means. A broken connection is not used again.
    async fn failed(&self, connection: &Arc<Connection>, error: &Error) -> Refusal {
        let (refusal, broken) = refusal(error);
        if broken {
            let mut current = self.connection.lock().await;
            if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, connection)) {
                *current = None;
            }
        }
        refusal
    }

    fn asking<T>(
        &self,
        question: Question,
        work: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        let in_turn = async {
            tokio::time::sleep(self.traffic.asks(question)).await;
            work.await
        };
        wait(in_turn).unwrap_or_else(|e| Err(no_runtime(&e).into()))
    }

    /// Fills the buffer, and holds a shorter file to its own size.
    async fn filled(
        &self,
        connection: &Arc<Connection>,
        file: &File,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize, Refusal> {
        let got = match file.fill(offset, buffer).await {
            Ok(got) => got,
            Err(error) => return Err(self.failed(connection, &error).await),
        };
        tokio::time::sleep(self.traffic.received(got)).await;
        let there = file.size.map_or(got as u64, |size| size.saturating_sub(offset).min(buffer.len() as u64));
        match there == got as u64 {
            true => Ok(got),
            false => Err(Trouble::new(Cause::CutOff, format!("{got} of {there} bytes")).into()),
        }
    }
}

impl Server for Sftp {
    fn list(&self, folder: &str) -> Result<Vec<Entry>, Refusal> {
        self.asking(Question::List, async {
            let connection = self.connected().await?;
            match files::list(&connection, &self.path(folder)).await {
                Ok(entries) => Ok(entries),
                Err(error) => Err(self.failed(&connection, &error).await),
            }
        })
    }

    fn size(&self, path: &str) -> Result<u64, Refusal> {
        self.asking(Question::Size, async {
            let connection = self.connected().await?;
            match files::size(&connection, &self.path(path)).await {
                Ok(Some(size)) => Ok(size),
                Ok(None) => Err(Trouble::new(Cause::AnswerInvalid, "it is no file").into()),
                Err(error) => Err(self.failed(&connection, &error).await),
            }
        })
    }

    fn read(&self, path: &str, limit: u64) -> Result<Result<Vec<u8>, u64>, Refusal> {
        self.asking(Question::Read, async {
            let connection = self.connected().await?;
            let file = match File::open(&connection, &self.path(path)).await {
                Ok(file) => file,
                Err(error) => return Err(self.failed(&connection, &error).await),
            };
            let result = match file.size {
                None => Err(Trouble::new(Cause::AnswerInvalid, "the file has no size").into()),
                Some(size) if size > limit => Ok(Err(size)),
                Some(size) => {
                    let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
                    self.filled(&connection, &file, 0, &mut bytes).await.map(|_| Ok(bytes))
                }
            };
            file.close().await;
            result
        })
    }

    fn fill(&self, path: &str, offset: u64, buffer: &mut [u8]) -> Result<usize, Refusal> {
        self.asking(Question::Read, async {
            let connection = self.connected().await?;
            let file = match File::open(&connection, &self.path(path)).await {
                Ok(file) => file,
                Err(error) => return Err(self.failed(&connection, &error).await),
            };
            let result = self.filled(&connection, &file, offset, buffer).await;
            file.close().await;
            result
        })
    }
}
