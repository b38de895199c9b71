//! Connections: accepted, bounded in number and patience, and ended in order.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

/// A client must have sent the head of a request by then.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections beyond this number wait in the queue of the system.
const MAX_CONNECTIONS: usize = 1024;

/// After a failure to accept, such as for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Who a request comes from: an extension of each.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

/// A connection, with TLS or without: what serves it is there once.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Where connections come from, and what they are wrapped in.
pub(super) struct Listener {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
}

impl Listener {
    pub(super) fn plain(listener: TcpListener) -> Self {
        Self { listener, tls: None }
    }

    pub(super) fn over_tls(listener: TcpListener, tls: TlsAcceptor) -> Self {
        Self { listener, tls: Some(tls) }
    }
}

/// Serves until `stop` resolves, and then for `grace` at most what is open; whether all of it was completed.
pub(super) async fn serve(
    Listener { listener, tls }: Listener,
    router: Router,
    stop: impl Future<Output = ()>,
    grace: Duration,
) -> bool {
    let (stopping, stopped) = watch::channel(());
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        let accepted = async {
            let permit = Arc::clone(&permits).acquire_owned().await;
            (listener.accept().await, permit)
        };
        tokio::select! {
            () = &mut stop => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = accepted => match accepted {
                (Ok((stream, peer)), permit) => {
                    let (router, tls, stopped) = (router.clone(), tls.clone(), stopped.clone());
                    connections.spawn(async move {
                        greet(stream, Peer(peer.ip()), tls, router, stopped).await;
                        drop(permit);
                    });
                }
                (Err(e), _) => {
                    tracing::warn!(code = "accept-failed", "accepting a connection: {e}");
                    sleep(PAUSE).await;
                }
            },
        }
    }
    drop((listener, stopping));
    timeout(grace, async { while connections.join_next().await.is_some() {} }).await.is_ok()
}

/// Comes to an understanding about TLS, if there is any, and serves.
async fn greet(
    stream: TcpStream,
    peer: Peer,
    tls: Option<TlsAcceptor>,
    router: Router,
    stopped: watch::Receiver<()>,
) {
    // Answers are one small write each.
    let _ = stream.set_nodelay(true);
    match tls {
        None => connection(Box::new(stream), peer, router, stopped).await,
        Some(tls) => match timeout(HEAD_TIMEOUT, tls.accept(stream)).await {
            Ok(Ok(stream)) => connection(Box::new(stream), peer, router, stopped).await,
            Ok(Err(e)) => tracing::debug!("a connection without TLS: {e}"),
            Err(_) => {}
        },
    }
}

async fn connection(stream: Box<dyn Stream>, peer: Peer, router: Router, mut stopped: watch::Receiver<()>) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(peer);
        router.call(request)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(served);
    tokio::select! {
        // A client that breaks off is its own business.
        _ = served.as_mut() => return,
        _ = stopped.changed() => served.as_mut().graceful_shutdown(),
    }
    let _ = served.await;
}
