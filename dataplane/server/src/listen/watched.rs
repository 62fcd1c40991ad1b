//! A stream that notes when its client sends something.
//! Holds: noting is one relaxed atomic addition; the timers that look at the notes are the connection's.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a connection's client was seen doing.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// Times that it sent something. Wraps.
    reads: AtomicU32,
    /// Requests that it began. Wraps.
    requests: AtomicU32,
    /// It sent something that is no request yet.
    half_head: AtomicBool,
    /// A request of it is being answered; what it sends now is a body, or a head that has its time later.
    answering: AtomicBool,
}

/// A stream, watched.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
}

impl Activity {
    pub(super) fn reads(&self) -> u32 {
        self.reads.load(Ordering::Relaxed)
    }

    pub(super) fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }

    /// The client began a head and has not ended it.
    pub(super) fn is_in_head(&self) -> bool {
        self.half_head.load(Ordering::Relaxed) && !self.answering.load(Ordering::Relaxed)
    }

    /// A head is whole. Gives how many there were before.
    pub(super) fn begin(&self) -> u32 {
        self.answering.store(true, Ordering::Relaxed);
        self.half_head.store(false, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    /// The answer is made.
    pub(super) fn end(&self) {
        self.answering.store(false, Ordering::Relaxed);
    }

    pub(super) fn sent(&self) {
        self.reads.fetch_add(1, Ordering::Relaxed);
        if !self.answering.load(Ordering::Relaxed) {
            self.half_head.store(true, Ordering::Relaxed);
        }
    }
}

impl<S> Watched<S> {
    pub(super) const fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self { stream, activity }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.activity.sent();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
