//! `matryx user`

use std::{
    io::{self, IsTerminal as _},
    process::{self, ExitCode, Stdio},
    sync::Arc,
};

use anyhow::Context as _;
use ruma::{OwnedUserId, UserId};

use super::{Loaded, block_on};
use crate::{
    app::App,
    clock::SystemClock,
    serve::{Started, start},
    telemetry::Telemetry,
    user::{NewUser, Users},
};

/// What to do with accounts. A server that keeps its database in its own folder must be stopped.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make an account; its password is read from standard input
    Create {
        /// Name of the account, the part before the colon
        name: String,
        /// Make it an administrator
        #[arg(long)]
        admin: bool,
        /// Display name
        #[arg(long, value_name = "TEXT")]
        display_name: Option<String>,
    },
    /// List all accounts
    List,
    /// Give an account a new password, read from standard input, and log it out everywhere
    ResetPassword {
        /// User id, or its part before the colon
        user: String,
    },
    /// Close an account for ever
    Deactivate {
        /// User id, or its part before the colon
        user: String,
        /// Also ask for the removal of its profile and messages
        #[arg(long)]
        erase: bool,
    },
    /// Make an account an administrator
    Promote {
        /// User id, or its part before the colon
        user: String,
        /// Make it an ordinary account again
        #[arg(long)]
        undo: bool,
    },
    /// Log an account out everywhere
    Logout {
        /// User id, or its part before the colon
        user: String,
    },
}

pub(super) fn run(command: Command, loaded: Loaded) -> anyhow::Result<ExitCode> {
    let telemetry = Telemetry::detached()?;
    block_on(async {
        let started = start(loaded.config, Arc::new(SystemClock), telemetry).await?;
        let Started { app, .. } = started;
        let outcome = act(command, &app.users).await;
        close(app).await;
        println!("{}", outcome?);
        Ok(ExitCode::SUCCESS)
    })
}

/// Does what was asked; what to tell of it.
async fn act(command: Command, users: &Users) -> anyhow::Result<String> {
    Ok(match command {
        Command::Create {
            name,
            admin,
            display_name,
        } => {
            let password = read_password()?;
            let new = NewUser {
                username: name,
                password,
                admin,
                display_name,
            };
            format!("{} exists", users.create_user(new).await?)
        }
        Command::List => {
            let lines = users.list_users().await?.users.into_iter().map(|user| {
                let admin = if user.admin { "  administrator" } else { "" };
                let closed = if user.deactivated.is_some() {
                    "  deactivated"
                } else {
                    ""
                };
                format!("{}{admin}{closed}", user.user_id)
            });
            lines.collect::<Vec<_>>().join("\n")
        }
        Command::ResetPassword { user } => {
            let user = user_id(&user, users).await?;
            users.reset_password(&user, read_password()?).await?;
            format!("{user} has a new password and is logged out everywhere")
        }
        Command::Deactivate { user, erase } => {
            let user = user_id(&user, users).await?;
            users.deactivate(&user, erase).await?;
            format!("{user} is deactivated")
        }
        Command::Promote { user, undo } => {
            let user = user_id(&user, users).await?;
            users.set_admin(&user, !undo).await?;
            format!(
                "{user} is {}",
                if undo {
                    "an ordinary account"
                } else {
                    "an administrator"
                }
            )
        }
        Command::Logout { user } => {
            let user = user_id(&user, users).await?;
            users.log_out_everywhere(&user).await?;
            format!("{user} is logged out everywhere")
        }
    })
}

/// Ends what was started for the command, so that the database is whole on disk.
async fn close(app: App) {
    app.shutdown.cancel();
    app.tasks.close();
    app.tasks.wait().await;
    app.store.close().await;
}

/// The id of an account that exists.
async fn user_id(name: &str, users: &Users) -> anyhow::Result<OwnedUserId> {
    let user = UserId::parse_with_server_name(name, users.server_name())
        .with_context(|| format!("`{name}` is not a user of this server"))?;
    let account = users.lookup(&user).await?;
    account.with_context(|| format!("there is no account {user}"))?;
    Ok(user)
}

/// One line of standard input; a terminal does not show it.
fn read_password() -> anyhow::Result<String> {
    let terminal = io::stdin().is_terminal();
    if terminal {
        eprint!("Password: ");
        show_typing(false);
    }
    let mut line = String::new();
    let read = io::stdin().read_line(&mut line);
    if terminal {
        show_typing(true);
        eprintln!();
    }
    read.context("cannot read the password from standard input")?;
    let password = line.trim_end_matches(['\r', '\n']);
    anyhow::ensure!(!password.is_empty(), "standard input holds no password");
    Ok(password.to_owned())
}

/// Turns the terminal's echo on or off; where that fails the password is seen, which is no reason
/// to refuse it.
fn show_typing(shown: bool) {
    let mut command = process::Command::new("stty");
    command
        .arg(if shown { "echo" } else { "-echo" })
        .stdin(Stdio::inherit());
    if let Err(error) = command.status() {
        eprintln!("(the password will be seen: {error})");
    }
}
