//! A TCP relay that can be shut without a sign to either end, as a network that loses everything would.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Passes bytes on while it is open.
pub(crate) struct Gate {
    /// Where to connect instead.
    pub(crate) addr: SocketAddr,
    open: watch::Sender<bool>,
}

impl Gate {
    /// An open gate before `upstream`.
    pub(crate) async fn before(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (open, state) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((here, _)) = listener.accept().await {
                let Ok(there) = TcpStream::connect(upstream).await else { continue };
                let ((here_in, here_out), (there_in, there_out)) = (here.into_split(), there.into_split());
                tokio::spawn(pass(here_in, there_out, state.clone()));
                tokio::spawn(pass(there_in, here_out, state.clone()));
            }
        });
        Self { addr, open }
    }

    pub(crate) fn shut(&self) {
        self.open.send_replace(false);
    }

    pub(crate) fn reopen(&self) {
        self.open.send_replace(true);
    }
}

async fn pass(mut from: tokio::net::tcp::OwnedReadHalf, mut to: tokio::net::tcp::OwnedWriteHalf, mut open: watch::Receiver<bool>) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let Ok(length @ 1..) = from.read(&mut buffer).await else { return };
        if open.wait_for(|open| *open).await.is_err() || to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
