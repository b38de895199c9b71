//! `/browse`: what is in the snapshots, for people who are let in.
//!
//! Pages are rendered here, without scripts. What reads the storage runs in threads of its own, of which there are few, so that
//! storage that hangs takes nothing from the questions that the service answers from memory.

mod access;
mod archive;
mod compare;
mod directory;
mod download;
mod history;
mod html;
mod library;
pub(super) mod links;
mod login;
mod search;
mod sources;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::FromRequestParts;
use axum::http::header::{HeaderName, RETRY_AFTER};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::Error;
use super::app::App;
use super::http::{get, post};
use super::server::Peer;
use crate::Options;
use crate::checker::{FindPassword, OpenStore, View};
use crate::front::network::Network;
use crate::repository::Budget;
use crate::snapshot::{Snapshot, Tree};
use access::{Access, Viewer};
use library::{Library, Opened};

/// Pages that read the storage at the same time.
const READERS: usize = 6;

/// Downloads at the same time.
const DOWNLOADS: usize = 8;

/// A page takes no longer than this; storage that hangs is said to.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a page or a download waits for its turn.
const TURN: Duration = Duration::from_secs(10);

/// Who may browse, and with how much memory.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The file that says who may see which sources.
    pub access: PathBuf,
    /// The header in which a proxy says who asks.
    pub user_header: Option<HeaderName>,
    /// The proxies whose header is believed.
    pub trusted: Vec<Network>,
    /// Bytes that reading for the pages may take.
    pub memory: Budget,
}

/// What the pages need beside what the service knows.
pub(super) struct Browse {
    access: Access,
    user_header: Option<HeaderName>,
    trusted: Vec<Network>,
    library: Arc<Library>,
    readers: Arc<Semaphore>,
    downloads: Arc<Semaphore>,
}

impl Browse {
    pub(super) fn open(
        settings: Settings,
        open_store: OpenStore,
        password: FindPassword,
        options: Options,
    ) -> Result<Self, Error> {
        Ok(Self {
            access: Access::open(settings.access)?,
            user_header: settings.user_header,
            trusted: settings.trusted,
            library: Arc::new(Library::new(open_store, password, options, settings.memory)),
            readers: Arc::new(Semaphore::new(READERS)),
            downloads: Arc::new(Semaphore::new(DOWNLOADS)),
        })
    }

    fn viewer(&self, parts: &Parts) -> Option<Viewer> {
        let peer = parts.extensions.get::<Peer>().map(|peer| peer.0);
        let trusted = |peer: IpAddr| self.trusted.iter().any(|network| network.contains(peer));
        let named = self.user_header.as_ref().and_then(|header| parts.headers.get(header));
        if let Some(name) = named.filter(|_| peer.is_some_and(trusted)) {
            return self.access.user(name.to_str().ok()?);
        }
        self.access.viewer(&parts.headers)
    }
}

/// The routes. Without `--browse` there are none of them.
pub(super) fn router(app: &App) -> Router<Arc<App>> {
    let router = Router::new();
    if app.browse.is_none() {
        return router;
    }
    router
        .route("/browse", get(sources::all))
        .route("/browse/", get(sources::all))
        .route("/browse/source", get(sources::one))
        .route("/browse/snapshot/{id}", get(directory::root))
        .route("/browse/snapshot/{id}/", get(directory::root))
        .route("/browse/snapshot/{id}/{*path}", get(directory::below))
        .route("/browse/file/{id}/{*path}", get(download::file))
        .route("/browse/archive/{form}/{id}", get(archive::root))
        .route("/browse/archive/{form}/{id}/", get(archive::root))
        .route("/browse/archive/{form}/{id}/{*path}", get(archive::below))
        .route("/browse/history", get(history::page))
        .route("/browse/compare", get(compare::page))
        .route("/browse/search", get(search::page))
        .route("/browse/login", get(login::form).merge(post(login::log_in)))
        .route("/browse/logout", post(login::log_out))
        .route("/browse/style.css", get(html::style))
}

/// Why a page is not shown.
#[derive(Debug)]
enum Trouble {
    /// Nobody is logged in; afterwards it goes on here.
    LogIn { then: String },
    /// It is not there, or the viewer may not know that it is.
    NotFound,
    /// The address is not one that the pages link to.
    Usage(&'static str),
    /// It may be there later.
    NotNow(String),
    /// It is there, and not what it should be.
    Damaged { why: String, code: &'static str },
    /// It cannot be read.
    Failed(crate::Error),
}

impl<E: Into<crate::Error>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// A tree or a file of a snapshot; what is not there is not found.
fn from_tree(error: crate::snapshot::Error) -> Trouble {
    if error.is_not_found() || error.code() == "not-a-directory" {
        return Trouble::NotFound;
    }
    error.into()
}

impl From<crate::vfs::Error> for Trouble {
    fn from(error: crate::vfs::Error) -> Self {
        use crate::vfs::Error;
        match error {
            Error::Directory(error) => from_tree(error),
            Error::Data(error) => error.into(),
            _ => Self::NotFound,
        }
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let retry = [(RETRY_AFTER, HeaderValue::from_static("5"))];
        match self {
            Self::LogIn { then } => login::ask(&then),
            Self::NotFound => html::failed(
                StatusCode::NOT_FOUND,
                "Not found",
                "There is no such thing here, or you may not see it.",
                None,
            ),
            Self::Usage(what) => html::failed(StatusCode::BAD_REQUEST, "Not understood", what, None),
            Self::NotNow(why) => {
                (retry, html::failed(StatusCode::SERVICE_UNAVAILABLE, "Not now", &why, None)).into_response()
            }
            Self::Damaged { why, code } => unreadable(&why, code),
            Self::Failed(error) => unreadable(&error.to_string(), error.code()),
        }
    }
}

fn unreadable(why: &str, code: &'static str) -> Response {
    tracing::error!(code, "browse: {why}");
    html::failed(StatusCode::INTERNAL_SERVER_ERROR, "It cannot be read", why, Some(code))
}

/// A request of somebody who is let in.
struct Visit {
    app: Arc<App>,
    viewer: Viewer,
}

impl FromRequestParts<Arc<App>> for Visit {
    type Rejection = Trouble;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Trouble> {
        let browse = app.browse.as_ref().ok_or(Trouble::NotFound)?;
        let viewer = browse.viewer(parts).ok_or_else(|| Trouble::LogIn { then: parts.uri.to_string() })?;
        Ok(Self { app: Arc::clone(app), viewer })
    }
}

impl Visit {
    fn browse(&self) -> Result<&Browse, Trouble> {
        self.app.browse.as_ref().ok_or(Trouble::NotFound)
    }

    /// What the service knows of the repository.
    fn view(&self) -> Result<Arc<View>, Trouble> {
        self.app.checker.view().ok_or_else(|| {
            let reason = self.app.checker.ready().err();
            let reason =
                reason.map_or("the repository has not been read yet".to_owned(), |r| r.message().to_owned());
            Trouble::NotNow(reason)
        })
    }

    /// Reads the repository for a page.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Opened) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Trouble> {
        Ok(self.opened(work).await?.1)
    }

    /// The same, for who goes on reading.
    async fn opened<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Opened) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<(Arc<Opened>, T), Trouble> {
        let browse = self.browse()?;
        let id = self.view()?.repository().unique_id.clone();
        let turn = turn(&browse.readers).await?;
        let library = Arc::clone(&browse.library);
        let reading = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let opened = library.opened(&id)?;
            let result = work(&opened)?;
            Ok((opened, result))
        });
        match timeout(PATIENCE, reading).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Trouble::NotNow("reading it ended in a fault of the program".to_owned())),
            Err(_) => {
                Err(Trouble::NotNow(format!("the storage has not answered for {} s", PATIENCE.as_secs())))
            }
        }
    }
}

/// A snapshot, if the viewer may see it.
fn allowed(viewer: &Viewer, snapshot: Arc<Snapshot>) -> Result<Arc<Snapshot>, Trouble> {
    if viewer.scope.may_see(&snapshot.found_as) { Ok(snapshot) } else { Err(Trouble::NotFound) }
}

/// Waits for a turn, for a while.
async fn turn(turns: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Trouble> {
    match timeout(TURN, Arc::clone(turns).acquire_owned()).await {
        Ok(Ok(turn)) => Ok(turn),
        _ => Err(Trouble::NotNow("too many others are reading at this moment".to_owned())),
    }
}

/// The tree of a snapshot.
fn tree<'a>(opened: &'a Opened, snapshot: &Snapshot) -> Result<Tree<'a>, Trouble> {
    Tree::of_snapshot(&opened.source, snapshot).map_err(from_tree)
}
