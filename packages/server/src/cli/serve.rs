//! `matryx serve`

use std::{fmt::Write as _, process::ExitCode};

use super::{Loaded, block_on};
use crate::{
    config::Service,
    serve::{self, Opened},
    telemetry::Telemetry,
};

pub(super) fn run(loaded: Loaded) -> anyhow::Result<ExitCode> {
    let telemetry = Telemetry::start(&loaded.config.log)?;
    let hint = Hint {
        developer: loaded.developer,
        server_name: loaded.config.server_name.to_string(),
    };
    block_on(async {
        let announce = |opened: &Opened| print!("{}", hint.text(opened));
        Box::pin(serve::run(loaded.config, telemetry, announce)).await?;
        Ok(ExitCode::SUCCESS)
    })
}

/// What is told to the operator once the server serves, besides what it opened.
struct Hint {
    developer: bool,
    server_name: String,
}

impl Hint {
    fn text(&self, opened: &Opened) -> String {
        let mut text = format!("matryx serves {}\n", self.server_name);
        for (listener, address) in &opened.listeners {
            let names = Service::ALL
                .iter()
                .filter(|(service, _)| listener.serves(*service));
            let names = names.map(|(_, name)| *name).collect::<Vec<_>>().join(", ");
            let scheme = if listener.tls.is_some() {
                "https"
            } else {
                "http"
            };
            let _ = writeln!(text, "  {scheme}://{address}  {names}");
        }
        if self.developer {
            text.push_str(
                "Nothing is configured: this is a server for a look. `matryx config example` prints \
                 a configuration to start from.\n",
            );
        }
        if let Some(token) = &opened.first_admin_token {
            let _ = writeln!(
                text,
                "There is no administrator yet. Whoever registers with this token becomes it, once:\n\
                 \n    {token}\n"
            );
            if let Some(address) = client_address(opened) {
                let _ = writeln!(
                    text,
                    "With a Matrix client that asks for a registration token, or with:\n\
                     \n    curl {address}/_matrix/client/v3/register -d '{{\"username\":\"admin\",\
                     \"password\":\"CHOOSE-ONE\",\"auth\":{{\"type\":\"m.login.registration_token\",\
                     \"token\":\"{token}\"}}}}'\n"
                );
            }
        }
        text
    }
}

fn client_address(opened: &Opened) -> Option<String> {
    let plain = opened
        .listeners
        .iter()
        .find(|(listener, _)| listener.serves(Service::Client) && listener.tls.is_none())?;
    Some(format!("http://{}", plain.1))
}
