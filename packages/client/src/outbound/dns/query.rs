//! Asking one name server, by UDP and, when the answer does not fit, by TCP.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

use super::message::{self, Answer, Kind, MAX_DATAGRAM};

/// How long a name server may take for an answer.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Asks a name server for one kind of record; a name that can't be asked for has none.
pub(super) async fn ask(server: SocketAddr, name: &str, kind: Kind) -> io::Result<Answer> {
    let Some(question) = message::question(rand::random(), name, kind) else {
        return Ok(Answer::default());
    };
    let asked = async {
        let answer = by_udp(server, &question, kind).await?;
        if answer.is_cut {
            return by_tcp(server, &question, kind).await;
        }
        Ok(answer)
    };
    let answer = timeout(PATIENCE, asked).await;
    answer.unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()))
}

async fn by_udp(server: SocketAddr, question: &[u8], kind: Kind) -> io::Result<Answer> {
    // The system gives every question a port of its own; with the id, that is what a forger would
    // have to guess.
    let local: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((local, 0)).await?;
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut buffer = [0; MAX_DATAGRAM as usize];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let datagram = buffer.get(..length).unwrap_or_default();
        match message::read(question, datagram, kind) {
            // Something else than the answer: it may still come.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
            outcome => return outcome,
        }
    }
}

async fn by_tcp(server: SocketAddr, question: &[u8], kind: Kind) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).unwrap_or(u16::MAX);
    let message = [&length.to_be_bytes(), question].concat();
    stream.write_all(&message).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; length.into()];
    stream.read_exact(&mut answer).await?;
    message::read(question, &answer, kind)
}
