//! Operations that a user proves with their password: guessing it is limited as at login.

use std::future::Future;

use crate::{
    api::error::{ApiError, ApiResult},
    app::App,
    caller::{Remote, Requester},
    e2ee::E2eeError,
    user::UserError,
};

/// An error that may say that a proof was wrong.
pub(in crate::api::client) trait MayRefuseProof: Into<ApiError> {
    /// Was it?
    fn refuses_proof(&self) -> bool;
}

impl MayRefuseProof for UserError {
    fn refuses_proof(&self) -> bool {
        matches!(self, Self::Interactive(info) if info.auth_error.is_some())
    }
}

impl MayRefuseProof for E2eeError {
    fn refuses_proof(&self) -> bool {
        matches!(self, Self::User(error) if error.refuses_proof())
    }
}

/// Does an operation, unless too many attempts at its proof have failed; counts one that fails.
pub(in crate::api::client) async fn limited<T, E: MayRefuseProof>(
    app: &App,
    requester: &Requester,
    remote: &Remote,
    operation: impl Future<Output = Result<T, E>>,
) -> ApiResult<T> {
    let user = &requester.user_id;
    app.rate_limits.check_failed_logins(user, remote.ip)?;
    let done = operation.await;
    if done.as_ref().is_err_and(MayRefuseProof::refuses_proof) {
        app.rate_limits.note_failed_login(user, remote.ip);
    }
    done.map_err(Into::into)
}
