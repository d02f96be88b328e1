//! From an HTTP request to a typed request and a proven caller.
//!
//! A handler takes a [`Call`] of its endpoint's Ruma request type. The type's metadata says which
//! paths and method lead here and how the caller must authenticate, so that these four can't drift
//! apart. The order of checks is fixed: token, size, encoding, signature, JSON, fields.

mod body;
mod caller;
mod guest;
mod remote;
mod suspension;
mod token;
mod x_matrix;

use axum::{
    body::Body,
    extract::{FromRequestParts, RawPathParams, rejection::RawPathParamsRejection},
};
use http::{Request, request::Parts};
use ruma::api::{IncomingRequest, Metadata};

pub use self::{caller::Proof, remote::RemoteAddr, x_matrix::HeaderError};
use super::{
    error::{ApiError, ApiResult, request::RequestError},
    record::RequestRecord,
};
use crate::{app::App, caller::Remote};

/// An authenticated, typed request.
pub struct Call<R>
where
    R: Metadata,
    R::Authentication: Proof,
{
    /// Who calls, in the type that the endpoint's authentication proves.
    pub caller: <R::Authentication as Proof>::Caller,
    /// What they ask.
    pub request: R,
    /// From where.
    pub remote: Remote,
}

impl<R> Call<R>
where
    R: IncomingRequest,
    R::Authentication: Proof,
{
    /// Proves the caller, then reads the body and parses the request.
    pub(super) async fn extract(app: &App, request: Request<Body>) -> ApiResult<Self> {
        let (mut parts, body) = request.into_parts();
        let remote = remote::remote(&parts);
        let claim = R::Authentication::claim(app, &parts).await?;
        if let Some(record) = parts.extensions.get::<RequestRecord>() {
            record.set_user(R::Authentication::user(&claim));
        }
        let path_args = path_args(&mut parts).await?;
        let body = body::read(app.config.http.max_body.as_len(), &parts, body).await?;
        let caller = R::Authentication::prove(app, &parts, claim, &body).await?;
        let path_args: Vec<&str> = path_args.iter().map(|(_, value)| value).collect();
        let request = body::parse(&parts, &body, &path_args)?;
        Ok(Self {
            caller,
            request,
            remote,
        })
    }
}

async fn path_args(parts: &mut Parts) -> ApiResult<RawPathParams> {
    RawPathParams::from_request_parts(parts, &())
        .await
        .map_err(|rejection| match rejection {
            RawPathParamsRejection::InvalidUtf8InPathParam(error) => {
                ApiError::from(RequestError::PathNotUtf8 {
                    key: error.body_text(),
                })
            }
            other => ApiError::internal(&other),
        })
}
