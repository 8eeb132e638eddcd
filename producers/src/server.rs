//! The HTTP server: bounded connections, bounded headers, bounded patience, and an orderly end. (hyper directly instead of
//! `axum::serve`, which has no bound on connections and none on the time that headers take.)

use std::{future::Future, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
    service::TowerToHyperService,
};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::timeout,
};

use crate::gateway::Gateway;

/// How long requests under way may still wait for their decision after the gateway was told to stop.
const DECIDE_TIME: Duration = Duration::from_secs(1);
/// The largest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// How long to rest when no connection can be accepted (no file descriptors left, as a rule).
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Serves until `shutdown`, then lets the requests under way end.
pub(crate) async fn serve(
    gateway: &Gateway,
    router: Router,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(gateway.settings.header_time)
        .max_buf_size(HEAD_BYTES_MAX);
    let places = Arc::new(Semaphore::new(gateway.settings.connections_max));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            (stream, place) = accept(&listener, &places) => {
                let (http, router, watcher) = (http.clone(), router.clone(), graceful.watcher());
                let acceptor = gateway.settings.tls.as_ref().map(|tls| tls.acceptor());
                let (header_time, patience) = (gateway.settings.header_time, gateway.settings.reader_patience);
                connections.spawn(async move {
                    prepare(&stream, patience);
                    match acceptor {
                        None => connection(http, stream, router, watcher).await,
                        Some(acceptor) => match timeout(header_time, acceptor.accept(stream)).await {
                            Ok(Ok(stream)) => connection(http, stream, router, watcher).await,
                            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                            Err(_elapsed) => tracing::debug!("a TLS handshake took too long"),
                        },
                    }
                    drop(place);
                });
            }
        }
    }
    drop(listener);
    gateway.live.close();
    end(gateway, graceful, gateway.settings.drain_time).await;
}

/// The next connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed: without a permit is a case that does not come.
    let place = places.clone().acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

/// Answers leave at once; and a client that takes none of them for so long is gone, also when its machine still is there.
fn prepare(stream: &TcpStream, patience: Duration) {
    let prepared =
        stream.set_nodelay(true).and_then(|()| SockRef::from(stream).set_tcp_user_timeout(Some(patience)));
    if let Err(error) = prepared {
        tracing::debug!(%error, "a connection without its options");
    }
}

async fn connection(
    http: http1::Builder,
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    router: Router,
    watcher: Watcher,
) {
    let gauge = metrics::gauge!("factfold_http_connections");
    gauge.increment(1);
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // Clients go away, send nonsense, or are too slow: their connections end, and that is all.
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection broke off");
    }
    gauge.decrement(1);
}

/// Requests under way get their answers; those that still wait for a decision are told where their command lies.
async fn end(gateway: &Gateway, graceful: GracefulShutdown, drain_time: Duration) {
    let mut ended = std::pin::pin!(graceful.shutdown());
    if timeout(DECIDE_TIME, &mut ended).await.is_ok() {
        return;
    }
    gateway.replies.close();
    if timeout(drain_time, ended).await.is_err() {
        tracing::warn!("some requests did not end in time, and were broken off");
    }
}
