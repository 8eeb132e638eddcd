//! A guest's standard output and standard error: to the console, or kept up to a limit. Must never grow with what a guest writes.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::{
    async_trait,
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamError, StreamResult},
};

use crate::console::{Console, Level};

/// How much a guest may write in one piece.
const PIECE_BYTES_MAX: usize = 64 << 10;

/// Where bytes go.
pub(crate) trait Sink: Clone + Send + Sync + 'static {
    /// Takes them, or says that it is full.
    fn take(&self, bytes: &[u8]) -> Result<(), Full>;
}

/// There is no room for more.
#[derive(Debug, thiserror::Error)]
#[error("the output is full")]
pub(crate) struct Full;

/// The console, at a level.
#[derive(Clone)]
pub(crate) struct ToConsole(pub(crate) Console, pub(crate) Level);

impl Sink for ToConsole {
    fn take(&self, bytes: &[u8]) -> Result<(), Full> {
        self.0.write(self.1, bytes);
        Ok(())
    }
}

/// Keeps what is written, up to a limit.
#[derive(Clone)]
pub(crate) struct Captured {
    bytes: Arc<Mutex<Vec<u8>>>,
    bytes_max: usize,
}

impl Captured {
    /// Nothing yet.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes: Arc::default(), bytes_max }
    }

    /// What was written.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        // Bytes are whole at every step.
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Captured {
    fn take(&self, bytes: &[u8]) -> Result<(), Full> {
        let mut kept = self.lock();
        if kept.len() + bytes.len() > self.bytes_max {
            return Err(Full);
        }
        kept.extend_from_slice(bytes);
        Ok(())
    }
}

/// The stream that leads there.
#[derive(Clone)]
pub(crate) struct Pipe<S>(pub(crate) S);

impl<S> IsTerminal for Pipe<S> {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl<S: Sink> StdoutStream for Pipe<S> {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl<S: Sink> Pollable for Pipe<S> {
    async fn ready(&mut self) {}
}

impl<S: Sink> OutputStream for Pipe<S> {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.0.take(&bytes).map_err(|full| StreamError::Trap(full.into()))
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PIECE_BYTES_MAX)
    }
}

impl<S: Sink> AsyncWrite for Pipe<S> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.0.take(bytes).map(|()| bytes.len()).map_err(io::Error::other))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
