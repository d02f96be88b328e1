//! The network between servers, which can be cut.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Forwards connections to a server for as long as it is up.
pub(super) struct Link {
    address: SocketAddr,
    target: SocketAddr,
    work: JoinSet<()>,
}

impl Link {
    pub(super) async fn up(address: SocketAddr, target: SocketAddr) -> Self {
        let mut link = Self {
            address,
            target,
            work: JoinSet::new(),
        };
        link.heal().await;
        link
    }

    /// Ends all connections, and refuses new ones.
    pub(super) async fn cut(&mut self) {
        self.work.shutdown().await;
    }

    pub(super) async fn heal(&mut self) {
        // Somebody else's look for a free port may have hit upon this one.
        let mut tries = 0;
        let listener = loop {
            match TcpListener::bind(self.address).await {
                Ok(listener) => break listener,
                Err(error) => {
                    tries += 1;
                    assert!(tries < 100, "{error}");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        };
        let target = self.target;
        self.work.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                open.spawn(async move {
                    if let Ok(mut server) = TcpStream::connect(target).await {
                        // Whoever talks here learns of its end by itself.
                        drop(copy_bidirectional(&mut stream, &mut server).await);
                    }
                });
            }
        });
    }
}
