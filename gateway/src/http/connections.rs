//! Taking TCP connections, plain and TLS: how many at once, and how long a client may take to say what it wants.
//!
//! A connection costs memory and a file descriptor from the moment it is made. A client that makes many and says nothing,
//! or says it one byte at a time, must not keep others out.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tracing::{trace, warn};

use super::problem::Problem;
use super::tls;

/// How long to wait when the system has no file descriptor for another connection.
const ACCEPT_RETRY: Duration = Duration::from_millis(500);

/// The connections that there are, WebSockets among them, and the bounds on them.
#[derive(Debug)]
pub struct Connections {
    slots: Arc<Semaphore>,
    max: usize,
    request_timeout: Duration,
    refused: AtomicU64,
}

impl Connections {
    /// At most `max` at once. Each may take `request_timeout` to send the head of a request (also of the next one on the
    /// same connection), and as long again until that is answered, for which all of its body is needed; and as long for
    /// the handshake of TLS.
    #[must_use]
    pub fn new(max: usize, request_timeout: Duration) -> Self {
        let max = max.min(Semaphore::MAX_PERMITS);
        Self { slots: Arc::new(Semaphore::new(max)), max, request_timeout, refused: AtomicU64::new(0) }
    }

    /// How many there are.
    #[must_use]
    pub fn open(&self) -> usize {
        self.max - self.slots.available_permits()
    }

    /// How many were closed at once because there were as many as there may be.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Serves `router` to whoever connects, over TLS or without, until `stop`; then waits for the requests that have begun.
    pub async fn serve(
        &self,
        listener: TcpListener,
        tls: tls::Acceptor,
        router: Router,
        stop: impl Future<Output = ()>,
    ) {
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(self.request_timeout);
        let server = Arc::new(HttpServer { builder, tls, router, handshake_timeout: self.request_timeout });
        let (stopping, stopped) = watch::channel(());
        let mut stop = pin!(stop);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = &mut stop => break,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    pause_after(&error).await;
                    continue;
                }
            };
            let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
                self.refused.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            let stream = Counted { stream, _slot: slot };
            tokio::spawn(Arc::clone(&server).welcome(stream, stopped.clone()));
        }
        drop((listener, stopped));
        stopping.send_replace(());
        stopping.closed().await;
    }

    /// Answers for a request whose body does not come.
    pub(super) async fn in_time(self: Arc<Self>, request: Request, next: Next) -> Response {
        match tokio::time::timeout(self.request_timeout, next.run(request)).await {
            Ok(response) => response,
            Err(_) => {
                Problem::new(StatusCode::REQUEST_TIMEOUT, "the request did not come in time").into_response()
            }
        }
    }
}

/// What each connection is served with.
struct HttpServer {
    builder: http1::Builder,
    tls: tls::Acceptor,
    router: Router,
    handshake_timeout: Duration,
}

impl HttpServer {
    /// Finds out what the client speaks, and serves it.
    async fn welcome(self: Arc<Self>, counted: Counted, mut stopped: watch::Receiver<()>) {
        let opened = tokio::select! {
            opened = tokio::time::timeout(self.handshake_timeout, self.open(counted)) => opened,
            _ = stopped.changed() => return,
        };
        match opened {
            Ok(Ok(Opened::Plain(stream))) => self.converse(stream, stopped).await,
            Ok(Ok(Opened::Tls(stream))) => self.converse(stream, stopped).await,
            Ok(Err(error)) => trace!(%error, "no handshake"),
            Err(_) => trace!("no handshake in time"),
        }
    }

    async fn open(&self, counted: Counted) -> io::Result<Opened> {
        match tls::speaks_tls(&counted.stream).await? {
            true => Ok(Opened::Tls(Box::new(self.tls.accept(counted).await?))),
            false => Ok(Opened::Plain(counted)),
        }
    }

    async fn converse<S>(&self, stream: S, mut stopped: watch::Receiver<()>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = TowerToHyperService::new(self.router.clone());
        let connection = self.builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
        let mut connection = pin!(connection);
        let outcome = tokio::select! {
            outcome = connection.as_mut() => outcome,
            _ = stopped.changed() => {
                connection.as_mut().graceful_shutdown();
                connection.as_mut().await
            }
        };
        if let Err(error) = outcome {
            trace!(%error, "an HTTP connection broke");
        }
    }
}

/// A connection on which requests may come.
enum Opened {
    Plain(Counted),
    Tls(Box<tls::TlsStream<Counted>>),
}

/// A connection that breaks before it is taken concerns nobody else. What else there is does not go away by itself.
async fn pause_after(error: &io::Error) {
    let of_the_client = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    );
    if !of_the_client {
        warn!(%error, "no connection can be accepted");
        tokio::time::sleep(ACCEPT_RETRY).await;
    }
}

/// A connection that has its slot until it is closed, whoever has it then: a WebSocket takes it over from HTTP.
struct Counted {
    stream: TcpStream,
    _slot: OwnedSemaphorePermit,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
