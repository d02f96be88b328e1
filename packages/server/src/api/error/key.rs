//! Failures of signatures and keys.

use http::StatusCode;
use ruma::{
    api::{error::ErrorKind, federation::authentication::XMatrixVerificationError},
    signatures::{JsonError, VerificationError},
};

use super::ApiError;
use crate::key::RequestProofError;

impl From<RequestProofError> for ApiError {
    fn from(error: RequestProofError) -> Self {
        let kind = match &error {
            RequestProofError::NoKey(_) => ErrorKind::Unauthorized,
            RequestProofError::Signature { source, .. } => {
                // A body that can't be put into the form that is signed.
                if let XMatrixVerificationError::Signature(VerificationError::Json(
                    JsonError::Serde(body),
                )) = source
                {
                    let kind = match body.classify() {
                        serde_json::error::Category::Data => ErrorKind::BadJson,
                        _ => ErrorKind::NotJson,
                    };
                    return Self::bad_request(kind, "The request body is not canonical JSON");
                }
                ErrorKind::Unauthorized
            }
            RequestProofError::Store(_) => {
                return match error {
                    RequestProofError::Store(error) => error.into(),
                    other => Self::internal(&other),
                };
            }
        };
        Self::new(StatusCode::UNAUTHORIZED, kind, error.to_string())
    }
}
