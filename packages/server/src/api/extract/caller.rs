//! Proving who calls, by the authentication scheme of the endpoint's metadata.

use std::{future::Future, sync::Arc};

use axum::extract::MatchedPath;
use bytes::Bytes;
use http::request::Parts;
use ruma::{
    DeviceId, UserId,
    api::auth_scheme::{
        AccessToken, AccessTokenOptional, AppserviceToken, AppserviceTokenOptional, AuthScheme,
        NoAccessToken, NoAuthentication,
    },
};

use super::{guest, remote, suspension, token};
use crate::{
    api::error::{ApiResult, request::RequestError},
    app::App,
    appservice::Appservice,
    caller::{Condition, Requester, TokenState},
};

/// An authentication scheme that this server can prove.
pub trait Proof: AuthScheme {
    /// What is known of the caller before the body is read.
    type Claim: Send;

    /// What it proves.
    type Caller: Send;

    /// Checks what the head of a request says of its caller.
    fn claim(app: &App, parts: &Parts) -> impl Future<Output = ApiResult<Self::Claim>> + Send;

    /// Proves the caller of a whole request.
    fn prove(
        app: &App,
        parts: &Parts,
        claim: Self::Claim,
        body: &Bytes,
    ) -> impl Future<Output = ApiResult<Self::Caller>> + Send;

    /// The user to name in the log.
    fn user(claim: &Self::Claim) -> Option<&UserId>;
}

/// Schemes whose proof is all in the head of a request.
macro_rules! proved_by_head {
    () => {
        type Claim = Self::Caller;

        async fn prove(
            _: &App,
            _: &Parts,
            claim: Self::Claim,
            _: &Bytes,
        ) -> ApiResult<Self::Caller> {
            Ok(claim)
        }
    };
}

impl Proof for NoAuthentication {
    type Caller = ();
    proved_by_head!();

    async fn claim(_: &App, _: &Parts) -> ApiResult<()> {
        Ok(())
    }

    fn user((): &()) -> Option<&UserId> {
        None
    }
}

impl Proof for NoAccessToken {
    type Caller = ();
    proved_by_head!();

    async fn claim(_: &App, _: &Parts) -> ApiResult<()> {
        Ok(())
    }

    fn user((): &()) -> Option<&UserId> {
        None
    }
}

impl Proof for AccessToken {
    type Caller = Requester;
    proved_by_head!();

    async fn claim(app: &App, parts: &Parts) -> ApiResult<Requester> {
        let token = token::find(parts).ok_or(RequestError::MissingToken)?;
        requester(app, parts, &token).await
    }

    fn user(caller: &Requester) -> Option<&UserId> {
        Some(&caller.user_id)
    }
}

impl Proof for AccessTokenOptional {
    type Caller = Option<Requester>;
    proved_by_head!();

    async fn claim(app: &App, parts: &Parts) -> ApiResult<Option<Requester>> {
        match token::find(parts) {
            Some(token) => requester(app, parts, &token).await.map(Some),
            None => Ok(None),
        }
    }

    fn user(caller: &Option<Requester>) -> Option<&UserId> {
        caller.as_ref().map(|caller| &*caller.user_id)
    }
}

impl Proof for AppserviceToken {
    type Caller = Arc<Appservice>;
    proved_by_head!();

    async fn claim(app: &App, parts: &Parts) -> ApiResult<Arc<Appservice>> {
        let token = token::find(parts).ok_or(RequestError::MissingToken)?;
        if let Some(appservice) = app.appservices.lookup(&token) {
            return Ok(Arc::clone(appservice));
        }
        requester(app, parts, &token).await?;
        Err(RequestError::NotAnAppservice.into())
    }

    fn user(caller: &Arc<Appservice>) -> Option<&UserId> {
        Some(&caller.sender)
    }
}

impl Proof for AppserviceTokenOptional {
    type Caller = Option<Arc<Appservice>>;
    proved_by_head!();

    /// A token that is no application service's is ignored: clients may send an old one when they
    /// log in again.
    async fn claim(app: &App, parts: &Parts) -> ApiResult<Option<Arc<Appservice>>> {
        Ok(token::find(parts).and_then(|token| app.appservices.lookup(&token).map(Arc::clone)))
    }

    fn user(caller: &Option<Arc<Appservice>>) -> Option<&UserId> {
        caller.as_ref().map(|appservice| &*appservice.sender)
    }
}

/// Proves a user, and notes that the device is in use.
async fn requester(app: &App, parts: &Parts, token: &str) -> ApiResult<Requester> {
    let requester = find_requester(app, parts, token).await?;
    if let Some(device_id) = &requester.device_id {
        let ip = remote::remote(parts).ip;
        app.users.note_use(&requester.user_id, device_id, ip);
    }
    Ok(requester)
}

async fn find_requester(app: &App, parts: &Parts, token: &str) -> ApiResult<Requester> {
    if let Some(appservice) = app.appservices.lookup(token) {
        return masquerade(app, parts, appservice).await;
    }
    match app.tokens.authenticate(token).await? {
        TokenState::Valid(requester) | TokenState::Suspended(requester)
            if requester.is_guest && guest::forbids(parts) =>
        {
            Err(RequestError::Guest.into())
        }
        TokenState::Suspended(_) if suspension::forbids(parts) => {
            Err(RequestError::Suspended.into())
        }
        TokenState::Valid(requester) | TokenState::Suspended(requester) => Ok(requester),
        // A locked user may still log out.
        TokenState::Locked(requester) if logs_out(parts) => Ok(requester),
        TokenState::Locked(_) => Err(RequestError::Locked.into()),
        TokenState::Expired => Err(RequestError::ExpiredToken.into()),
        TokenState::Deactivated => Err(RequestError::Deactivated.into()),
        TokenState::Unknown => Err(RequestError::UnknownToken.into()),
    }
}

/// Is this one of the two requests that end sessions? The route says so: the path of another may
/// hold the same text, as a transaction id for one.
fn logs_out(parts: &Parts) -> bool {
    let path = parts.extensions.get::<MatchedPath>();
    path.is_some_and(|path| {
        path.as_str().ends_with("/logout") || path.as_str().ends_with("/logout/all")
    })
}

/// The user that an application service acts as: its sender, or who `user_id` names.
/// [Spec](https://spec.matrix.org/v1.19/application-service-api/#identity-assertion)
async fn masquerade(
    app: &App,
    parts: &Parts,
    appservice: &Arc<Appservice>,
) -> ApiResult<Requester> {
    let user_id = match token::query(parts, "user_id") {
        None => appservice.sender.clone(),
        Some(asserted) => {
            let asserted = UserId::parse(asserted)
                .ok()
                .filter(|user_id| user_id.server_name() == app.config.server_name)
                .filter(|user_id| appservice.owns_user(user_id))
                .ok_or(RequestError::MasqueradedUser)?;
            match app.tokens.condition(&asserted).await? {
                // An application service need not register its own sender.
                Condition::Missing if asserted != appservice.sender => {
                    return Err(RequestError::MasqueradedUser.into());
                }
                Condition::Deactivated => return Err(RequestError::Deactivated.into()),
                Condition::Locked => return Err(RequestError::Locked.into()),
                Condition::Missing | Condition::Open => asserted,
            }
        }
    };
    let device_id = match token::query(parts, "device_id")
        .or_else(|| token::query(parts, "org.matrix.msc3202.device_id"))
    {
        None => None,
        Some(device_id) => {
            let device_id = <&DeviceId>::from(device_id.as_str());
            if !app.tokens.knows_device(&user_id, device_id).await? {
                return Err(RequestError::MasqueradedDevice.into());
            }
            Some(device_id.to_owned())
        }
    };
    Ok(Requester {
        user_id,
        device_id,
        appservice: Some(Arc::clone(appservice)),
        is_guest: false,
    })
}
