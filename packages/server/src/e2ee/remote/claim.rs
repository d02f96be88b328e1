//! One-time keys of other servers' users.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;
use matryx_client::outbound::Limits;
use ruma::{
    OwnedServerName, ServerName,
    api::federation::keys::claim_keys::v1::{OneTimeKeyClaims, OneTimeKeys, Request},
};
use tokio::time::timeout;

use super::{RemoteLists, query::RemoteFailure};

/// The longest that a client waits, whatever it asks for. A key that is claimed and not told of is
/// gone.
const LONGEST: Duration = Duration::from_secs(30);

/// The most bytes of an answer.
const MAX_ANSWER: usize = 16 << 20;

/// The most bytes of a one-time key.
const MAX_KEY: usize = 8 << 10;

/// What was claimed.
#[derive(Debug, Default)]
pub struct RemoteClaimed {
    /// The keys.
    pub keys: OneTimeKeys,
    /// Servers that told nothing.
    pub failures: BTreeMap<OwnedServerName, RemoteFailure>,
}

impl RemoteLists {
    /// Claims one-time keys of users of other servers, all servers at the same time, for a client
    /// that waits so long.
    pub async fn claim(&self, claims: OneTimeKeyClaims, patience: Duration) -> RemoteClaimed {
        let mut servers: BTreeMap<OwnedServerName, OneTimeKeyClaims> = BTreeMap::new();
        for (user, devices) in claims {
            let server = user.server_name().to_owned();
            servers.entry(server).or_default().insert(user, devices);
        }
        let claimed = servers.into_iter().map(|(server, claims)| async move {
            let claimed = self.claim_of(&server, claims, patience.min(LONGEST)).await;
            (server, claimed)
        });
        let mut all = RemoteClaimed::default();
        for (server, claimed) in join_all(claimed).await {
            match claimed {
                Ok(keys) => all.keys.extend(keys),
                Err(failure) => {
                    all.failures.insert(server, failure);
                }
            }
        }
        all
    }

    async fn claim_of(
        &self,
        server: &ServerName,
        claims: OneTimeKeyClaims,
        patience: Duration,
    ) -> Result<OneTimeKeys, RemoteFailure> {
        let limits = Limits {
            time: patience,
            body: MAX_ANSWER,
        };
        let request = Request::new(claims.clone());
        let answer = self.0.deps.federation.send_with(server, request, limits);
        match timeout(patience, answer).await {
            Ok(Ok(answer)) => Ok(asked_for(&claims, answer.one_time_keys)),
            Ok(Err(error)) => {
                tracing::info!(%server, %error, "one-time keys cannot be claimed");
                Err(RemoteFailure::Failed)
            }
            Err(_elapsed) => Err(RemoteFailure::Late),
        }
    }
}

/// Of an answer what was asked for: of each device one key of the algorithm.
fn asked_for(claims: &OneTimeKeyClaims, mut answer: OneTimeKeys) -> OneTimeKeys {
    let mut all = OneTimeKeys::new();
    for (user, devices) in claims {
        let Some(mut told) = answer.remove(user) else {
            continue;
        };
        for (device, algorithm) in devices {
            let keys = told.remove(device).unwrap_or_default();
            let fits = keys.into_iter().find(|(id, key)| {
                id.algorithm() == *algorithm && key.json().get().len() <= MAX_KEY
            });
            if let Some(key) = fits {
                let of_user = all.entry(user.clone()).or_default();
                of_user.insert(device.clone(), BTreeMap::from([key]));
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_was_asked_for_is_handed_on() {
        let claims = json!({ "@a:x": { "A": "signed_curve25519", "B": "signed_curve25519" } });
        let claims: OneTimeKeyClaims = serde_json::from_value(claims).unwrap();
        let key = json!({ "key": "abc", "signatures": {} });
        let told = json!({
            "@a:x": {
                "A": { "curve25519:1": "abc", "signed_curve25519:2": key,
                       "signed_curve25519:3": key },
                "B": { "signed_curve25519:1": { "key": "x".repeat(MAX_KEY) } },
                "C": { "signed_curve25519:1": key },
            },
            "@b:x": { "A": { "signed_curve25519:1": key } },
        });
        let told = serde_json::from_value(told).unwrap();
        let kept = serde_json::to_value(asked_for(&claims, told)).unwrap();
        assert_eq!(
            kept,
            json!({ "@a:x": { "A": { "signed_curve25519:2": key } } })
        );
    }
}
