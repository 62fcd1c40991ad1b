//! How many connections a listener holds, in all and from one address, so that a stranger can't take all of them (before TLS, and so
//! before anyone knows who it is).
//!
//! Always holds: a connection counts from its acceptance until its stream is dropped, whatever happens in between.

use std::{
    collections::HashMap,
    future::{Ready, ready},
    io,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum_server::accept::Accept;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::peer::counted;

/// How many connections a listener holds at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionCaps {
    /// In all.
    pub all: usize,
    /// From one address, or one IPv6 network of 64 bits.
    pub peer: usize,
}

/// The connections of one listener. Cloning shares them.
#[derive(Clone, Debug)]
pub(crate) struct Connections(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    listener: &'static str,
    caps: ConnectionCaps,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    peers: HashMap<IpAddr, usize>,
    /// When a refusal was last logged.
    told: Option<Instant>,
}

/// Takes a web server's connections in, before TLS.
#[derive(Clone, Debug)]
pub(crate) struct Admission(pub(crate) Connections);

/// One connection's place; it is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    connections: Connections,
    peer: IpAddr,
}

/// Why a connection was closed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Full {
    /// The listener holds as many as it may.
    #[error("the listener has all the connections that it may hold")]
    All,
    /// This peer has as many as it may.
    #[error("the peer has all the connections that it may hold")]
    Peer,
}

/// A stream with its place.
#[derive(Debug)]
pub(crate) struct Placed<S> {
    stream: S,
    _place: Place,
}

impl Connections {
    /// Of the listener that logs and metrics call `listener`.
    pub(crate) fn new(listener: &'static str, caps: ConnectionCaps) -> Self {
        Self(Arc::new(Inner { listener, caps, open: Mutex::default() }))
    }

    /// Takes an accepted stream in, without delay of small writes.
    ///
    /// # Errors
    /// [`Full`], or that the peer has gone already: close it then.
    pub(crate) fn place(&self, stream: TcpStream) -> io::Result<Placed<TcpStream>> {
        let peer = stream.peer_addr()?.ip();
        // A connection without it is slower, no more.
        _ = stream.set_nodelay(true);
        let place = self.admit(peer, Instant::now()).map_err(io::Error::other)?;
        Ok(Placed { stream, _place: place })
    }

    fn admit(&self, peer: IpAddr, now: Instant) -> Result<Place, Full> {
        let (caps, key) = (self.0.caps, counted(peer));
        let mut open = self.open();
        let from_peer = open.peers.get(&key).copied().unwrap_or_default();
        let full = if open.all >= caps.all { Some(Full::All) } else { (from_peer >= caps.peer).then_some(Full::Peer) };
        if let Some(full) = full {
            let listener = self.0.listener;
            metrics::counter!("holdfast_connections_refused_total", "listener" => listener, "cap" => full.label()).increment(1);
            if open.told.is_none_or(|told| now.saturating_duration_since(told) >= TELL_AGAIN) {
                open.told = Some(now);
                tracing::warn!(listener, %peer, open = open.all, from_peer, reason = %full, "a connection was refused; more of these are only counted for a minute");
            }
            return Err(full);
        }
        open.all += 1;
        open.peers.insert(key, from_peer + 1);
        self.gauge(open.all);
        Ok(Place { connections: self.clone(), peer: key })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gauge(&self, open: usize) {
        metrics::gauge!("holdfast_connections", "listener" => self.0.listener).set(u32::try_from(open).unwrap_or(u32::MAX));
    }
}

impl<S> Accept<TcpStream, S> for Admission {
    type Stream = Placed<TcpStream>;
    type Service = S;
    type Future = Ready<io::Result<(Self::Stream, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        ready(self.0.place(stream).map(|stream| (stream, service)))
    }
}

impl Full {
    const fn label(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Peer => "peer",
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        open.all = open.all.saturating_sub(1);
        if let Some(from_peer) = open.peers.get_mut(&self.peer) {
            *from_peer = from_peer.saturating_sub(1);
            if *from_peer == 0 {
                open.peers.remove(&self.peer);
            }
        }
        self.connections.gauge(open.all);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Placed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Placed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
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

impl Connected for Placed<TcpStream> {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

/// Of the API: admins and their tools, who may all come from one load balancer.
pub const API_CAPS: ConnectionCaps = ConnectionCaps { all: 2_048, peer: 512 };
/// Of the sync port: a node has one connection, two while it replaces it; all nodes may come from one address.
pub const SYNC_CAPS: ConnectionCaps = ConnectionCaps { all: 1_024, peer: 512 };
/// Of the ops port: probes and the collectors of metrics.
pub const OPS_CAPS: ConnectionCaps = ConnectionCaps { all: 256, peer: 128 };
/// Refusals are logged no more often.
const TELL_AGAIN: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_has_its_share_and_the_listener_its_sum_until_a_place_is_free_again() {
        let connections = Connections::new("test", ConnectionCaps { all: 3, peer: 2 });
        let admit = |peer: [u8; 4]| connections.admit(peer.into(), Instant::now());
        let (a, b, c) = ([192, 0, 2, 1], [192, 0, 2, 2], [192, 0, 2, 3]);
        let first = admit(a).unwrap();
        let second = admit(a).unwrap();
        assert_eq!(admit(a).unwrap_err(), Full::Peer);
        let third = admit(b).unwrap();
        assert_eq!(admit(c).unwrap_err(), Full::All);
        drop(first);
        let fourth = admit(c).unwrap();
        assert_eq!(admit(a).unwrap_err(), Full::All);
        drop((second, third, fourth));
        assert_eq!(connections.open().all, 0);
        assert!(connections.open().peers.is_empty());
    }
}
