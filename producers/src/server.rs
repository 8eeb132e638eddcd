//! The HTTP server: HTTP/1 and HTTP/2 on one port, bounded connections, bounded headers, bounded patience, and an orderly
//! end. (hyper directly instead of `axum::serve`, which has no bound on connections and none on the time that headers take.)

use std::{convert::Infallible, future::Future, net::IpAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::Request, response::Response};
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::timeout,
};
use tower::ServiceExt as _;

use crate::{gateway::Gateway, peer::Peer};

/// How long requests under way may still wait for their decision after the gateway was told to stop.
const DECIDE_TIME: Duration = Duration::from_secs(1);
/// The largest head of a request, in bytes.
const HEAD_BYTES_MAX: u32 = 64 * 1024;
/// How many requests one HTTP/2 connection may have under way.
const STREAMS_MAX: u32 = 128;
/// How much of the bodies of one HTTP/2 connection may be on its way here before it is read, in bytes.
const UNREAD_BYTES_MAX: u32 = 256 * 1024;
/// How long a client may be silent over HTTP/2 before it is asked whether it lives, and then how long it may take to say so.
const ALIVE_TIME: Duration = Duration::from_secs(20);
/// How long to rest when no connection can be accepted (no file descriptors left, as a rule).
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Serves until `shutdown`, then lets the requests under way end.
pub(crate) async fn serve(
    gateway: &Gateway,
    router: Router,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) {
    let http = protocols(gateway.settings.header_time);
    let places = Arc::new(Semaphore::new(gateway.settings.connections_max));
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            (stream, place) = accept(&listener, &places) => {
                let (gateway, http, router) = (gateway.clone(), http.clone(), router.clone());
                let peer = stream.peer_addr().ok().map(|address| address.ip());
                connections.spawn(async move {
                    prepare(&stream, gateway.settings.reader_patience);
                    match gateway.settings.tls.as_ref().map(|tls| tls.acceptor()) {
                        None => connection(&gateway, &http, stream, peer, router).await,
                        Some(acceptor) => {
                            match timeout(gateway.settings.header_time, acceptor.accept(stream)).await {
                                Ok(Ok(stream)) => connection(&gateway, &http, stream, peer, router).await,
                                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                                Err(_elapsed) => tracing::debug!("a TLS handshake took too long"),
                            }
                        }
                    }
                    drop(place);
                });
            }
        }
    }
    drop(listener);
    gateway.stop();
    end(gateway, connections, gateway.settings.drain_time).await;
}

/// HTTP/1 and HTTP/2; which of them, the client's first bytes say.
fn protocols(header_time: Duration) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(header_time)
        .max_buf_size(HEAD_BYTES_MAX as usize);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX)
        .initial_connection_window_size(UNREAD_BYTES_MAX)
        .keep_alive_interval(ALIVE_TIME)
        .keep_alive_timeout(ALIVE_TIME);
    http
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
    gateway: &Gateway,
    http: &auto::Builder<TokioExecutor>,
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    peer: Option<IpAddr>,
    router: Router,
) {
    let gauge = metrics::gauge!("factfold_http_connections");
    gauge.increment(1);
    let (under_way, idle_time) = (watch::Sender::new(0), gateway.settings.header_time);
    let service = service_fn(|mut request: hyper::Request<Incoming>| {
        if let Some(address) = peer {
            let peer = Peer::new(address, request.headers(), &gateway.settings.proxies);
            request.extensions_mut().insert(peer);
        }
        answer(router.clone(), request, UnderWay::new(&under_way))
    });
    let mut served = pin!(http.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = async {
            tokio::select! {
                () = gateway.stops() => {}
                () = idle(under_way.subscribe(), idle_time) => {}
            }
        } => {
            // What is under way is answered, and nothing more is begun.
            served.as_mut().graceful_shutdown();
            tokio::select! {
                ended = served => ended,
                // The client does not play along, or there was no request yet that could end.
                () = idle(under_way.subscribe(), idle_time) => Ok(()),
            }
        }
    };
    // Clients go away, send nonsense, or are too slow: their connections end, and that is all.
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
    gauge.decrement(1);
}

async fn answer(
    router: Router,
    request: hyper::Request<Incoming>,
    under_way: UnderWay,
) -> Result<Response, Infallible> {
    let response = router.oneshot(request.map(Body::new) as Request).await?;
    // It is under way until its body has been sent.
    Ok(response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _ = &under_way;
            frame
        }))
    }))
}

/// A request of a connection, from its head on until its answer has been sent.
struct UnderWay(watch::Sender<usize>);

impl UnderWay {
    fn new(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// Ends when nothing has been under way for so long. There are only so many places, and HTTP/2 would keep one for ever.
async fn idle(mut under_way: watch::Receiver<usize>, time: Duration) {
    // Without a sender there is no connection any more either.
    while under_way.wait_for(|count| *count == 0).await.is_ok() {
        if timeout(time, under_way.changed()).await.is_err() {
            return;
        }
    }
}

/// Requests under way get their answers; those that still wait for a decision are told where their command lies.
async fn end(gateway: &Gateway, mut connections: JoinSet<()>, drain_time: Duration) {
    let mut ended = pin!(async { while connections.join_next().await.is_some() {} });
    if timeout(DECIDE_TIME, &mut ended).await.is_ok() {
        return;
    }
    gateway.replies.close();
    if timeout(drain_time, ended).await.is_err() {
        tracing::warn!("some requests did not end in time, and were broken off");
    }
}
