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

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::outbound::dns::message::Record;

    /// The answer to a question: one address, or that it does not fit.
    fn answer(question: &[u8], is_cut: bool) -> Vec<u8> {
        let mut answer = question[..question.len() - 11].to_vec();
        answer[2] = if is_cut { 0x83 } else { 0x81 };
        answer[3] = 0x80;
        answer[7] = u8::from(!is_cut);
        answer[11] = 0;
        if !is_cut {
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
        }
        answer
    }

    const FOUND: [Record; 1] = [Record::Address(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)))];

    #[tokio::test]
    async fn waits_for_the_answer_to_its_own_question() {
        let server = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
        let address = server.local_addr().unwrap();
        let serve = async {
            let mut buffer = [0; 512];
            let (length, peer) = server.recv_from(&mut buffer).await.unwrap();
            let question = &buffer[..length];
            let mut forged = answer(question, false);
            forged[0] ^= 1;
            server.send_to(&forged, peer).await.unwrap();
            server.send_to(b"nonsense", peer).await.unwrap();
            server
                .send_to(&answer(question, false), peer)
                .await
                .unwrap();
        };
        let (found, ()) = tokio::join!(ask(address, "example.org", Kind::A), serve);
        let found = found.unwrap();
        assert_eq!(found.records, FOUND);
        assert_eq!(found.ttl, Some(60));
    }

    #[tokio::test]
    async fn asks_by_tcp_for_what_does_not_fit() {
        let stream = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = stream.local_addr().unwrap();
        let datagrams = UdpSocket::bind(address).await.unwrap();
        let serve = async {
            let mut buffer = [0; 512];
            let (length, peer) = datagrams.recv_from(&mut buffer).await.unwrap();
            let cut = answer(&buffer[..length], true);
            datagrams.send_to(&cut, peer).await.unwrap();
            let (mut stream, _) = stream.accept().await.unwrap();
            let length = stream.read_u16().await.unwrap();
            let mut question = vec![0; length.into()];
            stream.read_exact(&mut question).await.unwrap();
            let whole = answer(&question, false);
            stream
                .write_u16(whole.len().try_into().unwrap())
                .await
                .unwrap();
            stream.write_all(&whole).await.unwrap();
        };
        let (found, ()) = tokio::join!(ask(address, "example.org", Kind::A), serve);
        assert_eq!(found.unwrap().records, FOUND);
    }

    #[tokio::test]
    async fn a_name_server_that_is_not_there_fails_at_once() {
        let gone = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
        let address = gone.local_addr().unwrap();
        drop(gone);
        let error = ask(address, "example.org", Kind::A).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        // What can't be asked for is not asked for.
        assert_eq!(ask(address, "no..name", Kind::A).await.unwrap().records, []);
    }
}
