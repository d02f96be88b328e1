//! Requests that are signed although they are no canonical JSON.

use matryx_entity::canonical::loose_text;
use ruma::{
    ServerName, SigningKeyAlgorithm,
    api::federation::authentication::{XMatrix, XMatrixVerificationError},
    serde::Base64,
    signatures::{JsonError, VerificationError, verify_canonical_json_bytes},
};
use serde_json::Value;

/// Did a request fail for its form, and not for its signature?
pub(super) fn can_be(error: &XMatrixVerificationError) -> bool {
    let form = |error: &JsonError| match error {
        JsonError::Serde(error) => error.classify() == serde_json::error::Category::Data,
        _ => false,
    };
    match error {
        XMatrixVerificationError::Signature(VerificationError::Json(error)) => form(error),
        _ => false,
    }
}

/// Is a request signed with this key, in the form that servers sign which don't mind numbers?
pub(super) fn is_signed<B: AsRef<[u8]>>(
    header: &XMatrix,
    request: &http::Request<B>,
    destination: &ServerName,
    key: &Base64,
) -> bool {
    let Some(content) = loose_text(request.body().as_ref()) else {
        return false;
    };
    let uri = request.uri().path_and_query();
    let uri = uri.map_or("", http::uri::PathAndQuery::as_str);
    let [destination, method, origin, uri] = [
        destination.as_str(),
        request.method().as_str(),
        header.origin.as_str(),
        uri,
    ]
    .map(|text| Value::from(text).to_string());
    let signed = format!(
        r#"{{"content":{content},"destination":{destination},"method":{method},"origin":{origin},"uri":{uri}}}"#
    );
    let algorithm = SigningKeyAlgorithm::Ed25519;
    let (key, signature) = (key.as_bytes(), header.sig.as_bytes());
    verify_canonical_json_bytes(&algorithm, key, signature, signed.as_bytes()).is_ok()
}
