//! Connections to those who give out credentials.

use std::time::Duration;

use object_store::ClientOptions;
use object_store::client::{HttpClient, HttpConnector};

use crate::blob::remote::{Client, Tls};
use crate::blob::{Cause, Trouble};

/// Most machines have no metadata service, and some say so by saying nothing.
const METADATA_TIMEOUT: Duration = Duration::from_secs(2);

/// They are not the storage: the roots of the system vouch for them.
#[derive(Debug)]
pub(super) struct Connector {
    /// Whether the metadata of the machine is asked, which answers at once or never.
    pub(super) metadata: bool,
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = match self.metadata {
            true => Client::with_patience(&Tls::default(), true, Some(METADATA_TIMEOUT)),
            false => Client::new(&Tls::default(), true),
        };
        let client = client
            .map_err(|source| object_store::Error::Generic { store: "network", source: Box::new(source) })?;
        Ok(HttpClient::new(client.inner().clone()))
    }
}

/// Why there are no credentials, with all that those say who were asked.
pub(super) fn unobtainable(error: &object_store::Error) -> Trouble {
    let mut words = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(error) = next {
        let text = error.to_string();
        if !words.contains(&text) {
            words.push_str(": ");
            words.push_str(&text);
        }
        next = error.source();
    }
    Trouble::new(Cause::CredentialsMissing, words)
}
