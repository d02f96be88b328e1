//! Asking for keys: the server itself, and then the notaries that the operator trusts.

use std::{sync::Arc, time::Duration};

use matryx_client::{federation::FederationError, outbound::Limits};
use matryx_entity::{
    canonical,
    server_keys::{ServerKeys, ServerKeysError},
};
use ruma::{
    CanonicalJsonValue, OwnedServerName, ServerName,
    api::federation::discovery::{get_remote_server_keys, get_server_keys},
    signatures::verify_json,
};

use super::{error::KeyError, ring::Inner};

/// Bounds of a question to the server itself.
const DIRECT: Limits = Limits {
    time: Duration::from_secs(5),
    body: 64 << 10,
};

/// Bounds of a question to a notary.
const NOTARY: Limits = Limits {
    time: Duration::from_secs(4),
    body: 256 << 10,
};

/// The most notaries that are asked for one server.
const MAX_NOTARIES: usize = 2;

impl Inner {
    /// Fetches the keys of a server.
    pub(super) async fn fetch(&self, server: &ServerName) -> Result<ServerKeys, KeyError> {
        let failure = match self.fetch_directly(server).await {
            Ok(keys) => return Ok(keys),
            Err(error) => error,
        };
        for notary in self.notaries.iter().take(MAX_NOTARIES) {
            if notary == server {
                continue;
            }
            match self.fetch_from_notary(server, notary).await {
                Ok(Some(keys)) => return Ok(keys),
                Ok(None) => {}
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::debug!(error, %server, "a notary does not help");
                }
            }
        }
        Err(failure)
    }

    pub(super) async fn fetch_directly(&self, server: &ServerName) -> Result<ServerKeys, KeyError> {
        let request = get_server_keys::v2::Request::new();
        let answer = self.federation.send_with(server, request, DIRECT).await;
        let answer = answer.map_err(fetching(server, server))?;
        let json = answer.server_key.json().get();
        ServerKeys::parse(json, server, self.clock.now()).map_err(using(server, server))
    }

    async fn fetch_from_notary(
        &self,
        server: &ServerName,
        notary: &OwnedServerName,
    ) -> Result<Option<ServerKeys>, KeyError> {
        let now = self.clock.now();
        let trusted = self.notary_keys(notary).await?;
        let request = get_remote_server_keys::v2::Request::new(server.to_owned(), now);
        let answer = self.federation.send_with(notary, request, NOTARY).await;
        let answer = answer.map_err(fetching(server, notary))?;
        let mut newest: Option<ServerKeys> = None;
        for answer in &answer.server_keys {
            let json = answer.json().get();
            check_notary(json, &trusted).map_err(using(server, notary))?;
            let keys = match ServerKeys::parse(json, server, now) {
                Ok(keys) => keys,
                Err(ServerKeysError::OtherServer(_)) => continue,
                Err(error) => return Err(using(server, notary)(error)),
            };
            newest = Some(match newest {
                Some(known) if known.valid_until_ts > keys.valid_until_ts => {
                    known.with_older(&keys)
                }
                Some(known) => keys.with_older(&known),
                None => keys,
            });
        }
        Ok(newest)
    }

    /// A notary's own keys, which only it can give.
    async fn notary_keys(&self, notary: &OwnedServerName) -> Result<Arc<ServerKeys>, KeyError> {
        let now = self.clock.now();
        if let Some(known) = self.load(notary).await?
            && now <= known.valid_until_ts
        {
            return Ok(known);
        }
        let keys = self.fetch_directly(notary).await?;
        self.keep(keys).await
    }
}

fn fetching(server: &ServerName, from: &ServerName) -> impl Fn(FederationError) -> KeyError {
    move |source| KeyError::Fetch {
        server: server.to_owned(),
        from: from.to_owned(),
        source: Box::new(source),
    }
}

fn using(server: &ServerName, from: &ServerName) -> impl Fn(ServerKeysError) -> KeyError {
    move |source| KeyError::Unusable {
        server: server.to_owned(),
        from: from.to_owned(),
        source,
    }
}

/// Checks that a notary has signed what it hands on.
fn check_notary(json: &str, notary: &ServerKeys) -> Result<(), ServerKeysError> {
    let mut object = canonical::parse_object(json)?;
    let name = notary.server_name.as_str();
    if let Some(CanonicalJsonValue::Object(signatures)) = object.get_mut("signatures") {
        signatures.retain(|signer, _| signer == name);
    }
    let keys = notary.keys.iter();
    let keys = keys.map(|(id, known)| (id.clone(), known.key.clone()));
    let keys = [(name.to_owned(), keys.collect())].into();
    // An object that nobody has signed is not wrong, so it must have this signature.
    let signatures = object.get("signatures");
    let signed = signatures.and_then(CanonicalJsonValue::as_object);
    if signed.is_none_or(|signatures| !signatures.contains_key(name)) {
        let missing = ruma::signatures::VerificationError::NoSignaturesForEntity(name.to_owned());
        return Err(missing.into());
    }
    Ok(verify_json(&keys, &object)?)
}
