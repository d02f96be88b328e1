//! The control socket: how the operator's commands reach the running server.
//!
//! A Unix socket in the data folder, which only the server's own user may enter. One request for
//! each connection, a line of JSON, and one line back.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use ruma::OwnedServerName;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    time::timeout,
};

use crate::{app::App, federation::sender::DestinationStatus};

/// How long a request or an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most bytes of a request.
const MAX_ORDER: u64 = 64 << 10;

/// What an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The servers to which something is to be sent.
    Destinations,
    /// Another attempt, now, with one server or with all that lag.
    Retry {
        /// The server.
        server: Option<OwnedServerName>,
    },
}

/// What the server says to an [`Order`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The servers to which something is to be sent.
    Destinations(Vec<DestinationStatus>),
    /// So many servers are tried now.
    Retried(usize),
}

fn path_in(data_dir: &Path) -> PathBuf {
    data_dir.join("control.sock")
}

/// Answers on the socket of the data folder until the server stops. Without a socket the server
/// does all else.
pub fn listen(app: &App) {
    let path = path_in(app.data_dir.path());
    // The folder is locked: what is there is of a process that is gone.
    if let Err(error) = fs::remove_file(&path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, path = %path.display(), "an old control socket stays");
    }
    let bound = UnixListener::bind(&path).and_then(|listener| {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    });
    match bound {
        Ok(listener) => {
            let app = app.clone();
            app.tasks.clone().spawn(async move {
                let shutdown = app.shutdown.clone();
                shutdown.run_until_cancelled(serve(app, listener)).await;
                if let Err(error) = fs::remove_file(&path) {
                    tracing::debug!(%error, "the control socket stays");
                }
            });
        }
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "no control socket: commands of the operator do not reach this server");
        }
    }
}

async fn serve(app: App, listener: UnixListener) {
    loop {
        let answered = match listener.accept().await {
            // One after another: there is one operator.
            Ok((stream, _)) => timeout(PATIENCE, answer(&app, stream)).await,
            Err(error) => Ok(Err(error)),
        };
        match answered {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a command was not answered"),
            Err(_elapsed) => tracing::debug!("a command took too long"),
        }
    }
}

async fn answer(app: &App, stream: UnixStream) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read.take(MAX_ORDER))
        .read_line(&mut line)
        .await?;
    let reply = match serde_json::from_str(&line)? {
        Order::Destinations => Reply::Destinations(app.sender.destinations()),
        Order::Retry { server } => Reply::Retried(app.sender.retry(server.as_deref())),
    };
    let mut line = serde_json::to_vec(&reply)?;
    line.push(b'\n');
    write.write_all(&line).await
}

/// Asks the server that serves from a data folder; none if none does.
///
/// # Errors
/// It does not answer.
pub async fn ask(data_dir: &Path, order: &Order) -> io::Result<Option<Reply>> {
    let stream = match UnixStream::connect(path_in(data_dir)).await {
        Ok(stream) => stream,
        Err(error)
            if [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused]
                .contains(&error.kind()) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let (read, mut write) = stream.into_split();
    let mut line = serde_json::to_vec(order)?;
    line.push(b'\n');
    let exchange = async {
        write.write_all(&line).await?;
        let mut answer = String::new();
        BufReader::new(read).read_line(&mut answer).await?;
        Ok(Some(serde_json::from_str(&answer)?))
    };
    timeout(PATIENCE, exchange).await?
}
