//! Where TLS handshakes run: on the network threads, or on a few of their own where they may wait for the HSM.
//!
//! rustls signs within a call, and a token may take milliseconds to do so, or its whole deadline when it hangs. The network
//! threads serve everybody, so they never wait for that: at most as many handshakes as there are threads here wait for the HSM,
//! and the others for them. A finished connection goes back to the network threads.

use std::{
    future::Future,
    io,
    num::NonZeroUsize,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use rustls::ServerConfig;
use tokio::{net::TcpStream, runtime::Runtime, task::JoinHandle};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// Makes TLS streams of TCP streams.
pub(super) struct Handshakes {
    acceptor: TlsAcceptor,
    threads: Option<Threads>,
}

/// Threads that handshakes may block. The sockets stay with the network threads' I/O, and so do the time-outs.
struct Threads(Option<Runtime>);

/// Why a handshake failed, with the socket unless it is lost.
pub(super) type Failed = (io::Error, Option<TcpStream>);

impl Handshakes {
    /// # Errors
    /// The threads cannot be started.
    pub(super) fn new(config: Arc<ServerConfig>, threads: Option<NonZeroUsize>) -> io::Result<Self> {
        let start = |threads: NonZeroUsize| {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(threads.get()).thread_name("handshake").build()
        };
        let threads = threads.map(start).transpose()?.map(|runtime| Threads(Some(runtime)));
        Ok(Self { acceptor: TlsAcceptor::from(config), threads })
    }

    /// The handshake with the client on `socket`. Dropping the future ends it, at the latest when the HSM has answered.
    pub(super) async fn with(&self, socket: TcpStream) -> Result<TlsStream<TcpStream>, Failed> {
        let handshake = self.acceptor.accept(socket).into_fallible();
        let finished = match self.threads.as_ref().and_then(|threads| threads.0.as_ref()) {
            None => Ok(handshake.await),
            Some(runtime) => EndedWithUs(runtime.spawn(handshake)).await,
        };
        match finished {
            Ok(result) => result.map_err(|(error, socket)| (error, Some(socket))),
            // It panicked, or the server is at its end.
            Err(lost) => Err((io::Error::other(lost), None)),
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // A runtime waits for its threads when it is dropped, which is forbidden where a server is dropped: within another one.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// A task that is ended when nobody waits for it any more.
struct EndedWithUs<T>(JoinHandle<T>);

impl<T> Future for EndedWithUs<T> {
    type Output = Result<T, tokio::task::JoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context)
    }
}

impl<T> Drop for EndedWithUs<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
