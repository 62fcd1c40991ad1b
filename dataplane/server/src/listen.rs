//! Accepts connections.
//!
//! Holds: a connection has one of a fixed number of permits until it ends, and one of its address's places until it is known; the loop
//! ends only on drain, whatever the operating system says.

mod connection;
mod peers;
mod timer;
mod watched;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use tracing::warn;

pub(crate) use self::peers::Peers;
use crate::{request::Responder, tls::Tls};

/// One listener and what it shares with the others.
pub(crate) struct Listener {
    pub(crate) tls: Arc<Tls>,
    pub(crate) responder: Arc<Responder>,
    /// One per connection.
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) timeouts: Timeouts,
}

/// How long a client may take for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    pub(crate) handshake: Duration,
    /// A head from its first byte.
    pub(crate) header: Duration,
    /// Idle, before the first authenticated request.
    pub(crate) stranger: Duration,
    /// Idle, after it.
    pub(crate) idle: Duration,
    /// In all, without such a request.
    pub(crate) unknown: Duration,
}

impl Listener {
    /// Accepts until the drain closes the listener.
    pub(crate) async fn run(self, socket: TcpListener) {
        let listener = Arc::new(self);
        let closing = listener.responder.drain.closing();
        tokio::pin!(closing);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut closing => return,
                accepted = listener.accept(&socket) => accepted,
            };
            if let Some((stream, peer, permit)) = accepted {
                listener.admit(stream, peer, permit);
            }
        }
    }

    async fn accept(&self, socket: &TcpListener) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        // Before the accept: who finds no place waits in the backlog.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok()?;
        match socket.accept().await {
            Ok((stream, peer)) => Some((stream, peer, permit)),
            Err(error) => {
                if !is_of_one_connection(&error) {
                    // Out of file descriptors or memory: others must give some back first.
                    warn!(%error, "cannot accept");
                    sleep(ACCEPT_PAUSE).await;
                }
                None
            }
        }
    }

    fn admit(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit) {
        let ip = peer.ip().to_canonical();
        let Some(place) = self.peers.admit(ip) else {
            self.responder.metrics.peer_refused();
            return;
        };
        // Without it a first answer waits 40 ms behind the session ticket.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let listener = Arc::clone(self);
        tokio::spawn(async move {
            listener.responder.metrics.connections().increment(1);
            connection::run(&listener, stream, place).await;
            listener.responder.metrics.connections().decrement(1);
            drop(listener);
            // Last: who has all permits knows that no connection holds anything.
            drop(permit);
        });
    }
}

/// Takes an address, but no connections: who connects before [`open`] is refused, not left to wait.
///
/// # Errors
/// The operating system's.
pub(crate) fn bind(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart must not wait for the connections of the last run to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    Ok(socket)
}

/// Takes connections from now on.
///
/// # Errors
/// The operating system's.
pub(crate) fn open(socket: TcpSocket) -> io::Result<TcpListener> {
    socket.listen(BACKLOG)
}

/// An error of the connection that was to be accepted, not of accepting.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const BACKLOG: u32 = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_is_taken_refuses_connections_until_it_is_opened() {
        let socket = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = socket.local_addr().unwrap();
        assert_eq!(TcpStream::connect(addr).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        let listener = open(socket).unwrap();
        TcpStream::connect(addr).await.unwrap();
        bind(addr).unwrap_err();
        drop(listener);
    }
}
