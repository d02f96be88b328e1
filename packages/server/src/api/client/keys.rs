//! End-to-end encryption: the keys of users and devices.

pub mod changes;
pub mod claim;
pub mod device_signing;
pub mod query;
pub mod signatures;
pub mod upload;

use std::{collections::BTreeMap, time::Duration};

use ruma::OwnedServerName;
use serde_json::{Value, json};

use crate::{api::routes::Routes, e2ee::remote::RemoteFailure};

/// The endpoints of this domain.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    routes
        .add(upload::upload)
        .add(query::query)
        .add(claim::claim)
        .add(changes::changes)
        .add(device_signing::upload)
        .add(signatures::upload)
}

/// How long other servers have to answer, if the client names no time.
const USUAL_TIMEOUT: Duration = Duration::from_secs(10);

/// Which servers told nothing, and why.
fn failures(servers: BTreeMap<OwnedServerName, RemoteFailure>) -> BTreeMap<String, Value> {
    let explained = |(server, failure): (OwnedServerName, RemoteFailure)| {
        let error = match failure {
            RemoteFailure::Late => "The server did not answer in time",
            RemoteFailure::Failed => "The server could not be asked",
        };
        let failure = json!({ "errcode": "M_UNKNOWN", "error": error });
        (server.to_string(), failure)
    };
    servers.into_iter().map(explained).collect()
}
