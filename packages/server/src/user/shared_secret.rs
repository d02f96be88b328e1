//! Accounts for tools that know the shared secret, as Synapse's registration does.
//! [Synapse](https://element-hq.github.io/synapse/latest/admin_api/register_api.html)

use std::{collections::HashMap, time::Duration};

use hmac::{Hmac, Mac};
use matryx_entity::user::UserKind;
use parking_lot::Mutex;
use ruma::MilliSecondsSinceUnixEpoch;
use sha1::Sha1;

use super::{NewSession, Proven, Registered, UserError, Users, later, register::Draft, secret};

/// How long a nonce is good for, as Synapse.
const NONCE_LIFETIME: Duration = Duration::from_mins(1);
/// How many nonces are outstanding at most; beyond that the oldest are dropped.
const MAX_NONCES: usize = 1000;

/// What a tool sends.
pub struct SharedSecretRequest {
    /// A nonce of this process.
    pub nonce: String,
    /// The name.
    pub username: String,
    /// The display name; the user name if there is none.
    pub display_name: Option<String>,
    /// The password.
    pub password: String,
    /// Makes it an administrator.
    pub admin: bool,
    /// Synapse's kind of user, which counts in the code only.
    pub user_type: Option<String>,
    /// The authentication code, in hexadecimal digits.
    pub mac: String,
}

/// Nonces that were given out and not used yet. In memory: a tool asks and uses within a second,
/// and asks again when it was refused. A plain mutex, held for one lookup.
#[derive(Default)]
pub(super) struct Nonces(Mutex<HashMap<String, MilliSecondsSinceUnixEpoch>>);

impl Nonces {
    fn give(&self, now: MilliSecondsSinceUnixEpoch) -> String {
        let nonce = secret::token("");
        let mut nonces = self.0.lock();
        nonces.retain(|_, expires| *expires > now);
        if nonces.len() >= MAX_NONCES {
            let oldest = nonces.iter().min_by_key(|(_, expires)| **expires);
            if let Some(oldest) = oldest.map(|(nonce, _)| nonce.clone()) {
                nonces.remove(&oldest);
            }
        }
        nonces.insert(nonce.clone(), later(now, NONCE_LIFETIME));
        nonce
    }

    /// Takes a nonce out: it is good once.
    fn take(&self, nonce: &str, now: MilliSecondsSinceUnixEpoch) -> bool {
        let expires = self.0.lock().remove(nonce);
        expires.is_some_and(|expires| expires > now)
    }
}

impl Users {
    /// A nonce for the next registration with the shared secret.
    ///
    /// # Errors
    /// There is no shared secret.
    pub fn shared_secret_nonce(&self) -> Result<String, UserError> {
        self.shared_secret()?;
        Ok(self.inner.nonces.give(self.now()))
    }

    /// Registers an account for a tool that knows the shared secret.
    ///
    /// # Errors
    /// There is no shared secret, the nonce or the code is wrong, or the name or the password is
    /// not acceptable.
    pub async fn register_with_shared_secret(
        &self,
        request: SharedSecretRequest,
    ) -> Result<Registered, UserError> {
        let mac = request_mac(self.shared_secret()?, &request)?;
        if request.username.contains('\0') || request.password.contains('\0') {
            return Err(UserError::InvalidParam("A zero byte is not allowed"));
        }
        if !self.inner.nonces.take(&request.nonce, self.now()) {
            return Err(UserError::Unsupported("unrecognised nonce"));
        }
        // Compares in constant time.
        let code = decode_hex(&request.mac);
        let correct = code.is_some_and(|code| mac.verify_slice(&code).is_ok());
        if !correct {
            return Err(UserError::Forbidden("HMAC incorrect"));
        }
        let user_id = self.new_user_id(&request.username)?;
        let draft = Draft {
            kind: UserKind::Regular,
            password_hash: Some(self.inner.passwords.hash(request.password).await?),
            admin: request.admin,
            display_name: request.display_name,
            session: Some(NewSession::default()),
        };
        self.commit_account(user_id, &draft, &Proven::default(), None)
            .await
    }

    fn shared_secret(&self) -> Result<&str, UserError> {
        let secret = self.inner.config.registration.shared_secret.as_ref();
        secret
            .map(crate::config::Secret::expose)
            .filter(|secret| !secret.is_empty())
            .ok_or(UserError::Unsupported(
                "Shared secret registration is not enabled",
            ))
    }
}

/// The code that the tool must have computed.
fn request_mac(secret: &str, request: &SharedSecretRequest) -> Result<Hmac<Sha1>, UserError> {
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(secret.as_bytes()) else {
        return Err(UserError::Forbidden("HMAC incorrect"));
    };
    let role = if request.admin { "admin" } else { "notadmin" };
    let parts = [&request.nonce, &request.username, &request.password];
    for part in parts {
        mac.update(part.as_bytes());
        mac.update(b"\0");
    }
    mac.update(role.as_bytes());
    if let Some(user_type) = &request.user_type {
        mac.update(b"\0");
        mac.update(user_type.as_bytes());
    }
    Ok(mac)
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = text
        .chars()
        .map(|digit| digit.to_digit(16))
        .collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs
        .iter()
        .map(|[high, low]| u8::try_from(high * 16 + low).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn computes_the_code_that_tools_for_synapse_compute() {
        let request = SharedSecretRequest {
            nonce: "thisisanonce".to_owned(),
            username: "pepper_roni".to_owned(),
            display_name: None,
            password: "pizza".to_owned(),
            admin: true,
            user_type: None,
            mac: String::new(),
        };
        let mac = request_mac("shared_secret", &request).unwrap();
        // printf 'thisisanonce\0pepper_roni\0pizza\0admin' | openssl sha1 -hmac shared_secret
        let code = decode_hex("48715842ad67d5dc9a9ee938a3bda4fcfae8d7c7").unwrap();
        assert!(mac.verify_slice(&code).is_ok());
        assert!(decode_hex("abc").is_none());
        assert!(decode_hex("zz").is_none());
    }

    #[test]
    fn a_nonce_is_good_once_and_for_a_minute() {
        let nonces = Nonces::default();
        let at = |seconds: u32| MilliSecondsSinceUnixEpoch((seconds * 1000).into());
        let nonce = nonces.give(at(0));
        assert!(nonces.take(&nonce, at(59)));
        assert!(!nonces.take(&nonce, at(59)));
        let nonce = nonces.give(at(0));
        assert!(!nonces.take(&nonce, at(60)));
    }

    #[test]
    fn keeps_a_bounded_number_of_nonces() {
        let nonces = Nonces::default();
        let now = MilliSecondsSinceUnixEpoch(1_u32.into());
        for _ in 0..MAX_NONCES + 10 {
            nonces.give(now);
        }
        assert_eq!(nonces.0.lock().len(), MAX_NONCES);
    }
}
