//! The network between servers, which can be cut.

use std::net::SocketAddr;

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
        let listener = TcpListener::bind(self.address).await.unwrap();
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
