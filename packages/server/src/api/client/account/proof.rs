//! Operations that a user proves with their password: guessing it is limited as at login.

use std::future::Future;

use crate::{
    api::error::ApiResult,
    app::App,
    caller::{Remote, Requester},
    user::UserError,
};

/// Does an operation, unless too many attempts at its proof have failed; counts one that fails.
pub(super) async fn limited<T>(
    app: &App,
    requester: &Requester,
    remote: &Remote,
    operation: impl Future<Output = Result<T, UserError>>,
) -> ApiResult<T> {
    let user = &requester.user_id;
    app.rate_limits.check_failed_logins(user, remote.ip)?;
    let done = operation.await;
    if let Err(UserError::Interactive(info)) = &done
        && info.auth_error.is_some()
    {
        app.rate_limits.note_failed_login(user, remote.ip);
    }
    Ok(done?)
}
