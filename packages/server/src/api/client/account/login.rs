//! `GET /_matrix/client/v3/login`
//! `POST /_matrix/client/v3/login`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3login)

use axum::extract::State;
use ruma::api::{
    IncomingRequest, Metadata,
    client::session::{
        get_login_types::v3 as types,
        login::v3::{LoginInfo, Password, Request, Response},
    },
    error::DeserializationError,
};
use serde::Deserialize;

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
    caller::Remote,
    rate_limit::Act,
    user::{LoginName, NewSession, UserError},
};

/// Names the kinds of login.
pub async fn login_types(
    State(_): State<App>,
    _: Call<types::Request>,
) -> ApiResult<types::Response> {
    Ok(types::Response::new(vec![
        types::LoginType::Password(types::PasswordLoginType::new()),
        types::LoginType::ApplicationService(types::ApplicationServiceLoginType::new()),
    ]))
}

/// Logs a user in.
pub async fn login(State(app): State<App>, call: Call<Login>) -> ApiResult<Response> {
    let Login(request) = call.request;
    let user = match request.login_info {
        LoginInfo::Password(info) => check_password(&app, info, &call.remote).await?,
        LoginInfo::ApplicationService(info) => {
            let appservice = call.caller.ok_or(UserError::MissingToken)?;
            #[expect(deprecated, reason = "old clients still send it")]
            let name = LoginName::new(info.identifier, info.user)?;
            app.users.check_appservice(&appservice, &name).await?
        }
        _ => return Err(UserError::Unsupported("Unknown login type").into()),
    };
    let new = NewSession {
        device_id: request.device_id,
        display_name: request.initial_device_display_name,
        refreshable: request.refresh_token,
    };
    let session = app.users.open_session(&user, new).await?;
    let mut response = Response::new(session.user_id, session.access_token, session.device_id);
    response.refresh_token = session.refresh_token;
    response.expires_in = session.expires_in;
    Ok(response)
}

/// Checks a password within the limits of the address and of the account.
async fn check_password(
    app: &App,
    info: Password,
    remote: &Remote,
) -> ApiResult<matryx_entity::user::User> {
    #[expect(deprecated, reason = "old clients still send it")]
    let (name, address) = (info.user, info.address);
    let name = match address {
        Some(_) if info.identifier.is_none() => LoginName::Address,
        _ => LoginName::new(info.identifier, name)?,
    };
    let account = app.users.named(&name);
    if let Some(account) = &account {
        app.rate_limits.check_failed_logins(account, remote.ip)?;
    }
    let checked = app.users.check_password(&name, info.password).await;
    match (&checked, account) {
        (Err(UserError::BadCredentials), Some(account)) => {
            app.rate_limits.note_failed_login(&account, remote.ip);
        }
        (Err(UserError::BadCredentials), None) => {
            app.rate_limits.act_from(Act::Login, remote.ip)?;
        }
        (Ok(user), _) => app.rate_limits.take(Act::Login, user.user_id.as_str())?,
        (Err(_), _) => {}
    }
    Ok(checked?)
}

/// The request, whose `type` is looked at before Ruma relies on it.
pub struct Login(Request);

impl Metadata for Login {
    const METHOD: http::Method = Request::METHOD;
    const RATE_LIMITED: bool = Request::RATE_LIMITED;
    type Authentication = <Request as Metadata>::Authentication;
    type PathBuilder = <Request as Metadata>::PathBuilder;
    const PATH_BUILDER: Self::PathBuilder = Request::PATH_BUILDER;
}

impl IncomingRequest for Login {
    type EndpointError = <Request as IncomingRequest>::EndpointError;
    type OutgoingResponse = Response;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        path_args: &[&str],
    ) -> Result<Self, DeserializationError> {
        #[derive(Deserialize)]
        struct Typed {
            #[expect(dead_code, reason = "only whether it is there matters")]
            r#type: String,
        }
        serde_json::from_slice::<Typed>(request.body())?;
        Request::try_from_http_request_inner(request, path_args).map(Self)
    }
}
