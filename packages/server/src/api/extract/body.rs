//! Reading a body within bounds, and parsing it.
//!
//! JSON is UTF-8, at most [`MAX_DEPTH`] deep and free of lone surrogates, everywhere in the body,
//! also in the parts that no endpoint looks at: what is stored once must be readable for ever.
//! Where a key occurs twice in one object, the last one counts. A POST without any body counts as
//! one of `{}`, because stock clients join, leave and log out so.

use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, header, request::Parts};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use ruma::api::{IncomingRequest, error::DeserializationError};
use serde::de::IgnoredAny;

use crate::api::error::{ApiResult, request::RequestError};

/// How deep arrays and objects may nest. Leaves room for the levels that an event adds around its
/// content before serde's own limit of 128 is reached.
const MAX_DEPTH: usize = 100;

/// Reads a body of at most `limit` bytes.
pub(super) async fn read(limit: usize, parts: &Parts, body: Body) -> ApiResult<Bytes> {
    if let Some(encoding) = parts.headers.get(header::CONTENT_ENCODING)
        && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        return Err(RequestError::Compressed.into());
    }
    let announced = parts
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(RequestError::BodyTooLarge { limit }.into());
    }
    match Limited::new(body, limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(RequestError::BodyTooLarge { limit }.into())
        }
        Err(error) => {
            tracing::debug!(%error, "request body ended early");
            Err(RequestError::BodyUnreadable.into())
        }
    }
}

/// Parses a request from its parts.
pub(super) fn parse<R: IncomingRequest>(
    parts: &Parts,
    body: &[u8],
    path_args: &[&str],
) -> ApiResult<R> {
    check(body)?;
    let absent = body.is_empty() && parts.method == Method::POST;
    let body = if absent { b"{}" } else { body };
    let build = |body| {
        let mut request = Request::new(body);
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = parts.uri.clone();
        *request.headers_mut() = parts.headers.clone();
        R::try_from_http_request_inner(request, path_args)
    };
    let error = match build(body) {
        Ok(request) => return Ok(request),
        Err(error) => error,
    };
    let DeserializationError::Json(cause) = &error else {
        return Err(RequestError::Malformed(error).into());
    };
    // A wrong type may stand before a syntax error further on.
    if let Err(syntax) = serde_json::from_slice::<IgnoredAny>(body) {
        return Err(RequestError::Malformed(syntax.into()).into());
    }
    if cause.to_string().starts_with("duplicate field")
        && let Ok(value) = serde_json::from_slice::<serde_json::Value>(body)
        && let Ok(last_wins) = serde_json::to_vec(&value)
    {
        return build(&last_wins).map_err(|error| RequestError::Malformed(error).into());
    }
    Err(RequestError::Malformed(error).into())
}

/// Checks what parsing into a type does not: encoding, depth and surrogates of all of the body.
fn check(body: &[u8]) -> Result<(), RequestError> {
    let text = std::str::from_utf8(body).map_err(DeserializationError::Utf8)?;
    let mut bytes = text.bytes();
    let mut depth = 0_usize;
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => skip_string(&mut bytes)?,
            b'[' | b'{' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(RequestError::NotJson("nested too deeply"));
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// Moves past the end of a string, whose opening quote has been read.
fn skip_string(bytes: &mut std::str::Bytes<'_>) -> Result<(), RequestError> {
    const LONE: RequestError = RequestError::NotJson("lone surrogate");
    let mut expects_low = false;
    while let Some(byte) = bytes.next() {
        let unit = match byte {
            b'\\' => match bytes.next() {
                Some(b'u') => code_unit(bytes),
                _ => None,
            },
            b'"' if expects_low => return Err(LONE),
            b'"' => return Ok(()),
            _ => None,
        };
        let is_low = unit.is_some_and(|unit| (0xDC00..0xE000).contains(&unit));
        if is_low != expects_low {
            return Err(LONE);
        }
        expects_low = unit.is_some_and(|unit| (0xD800..0xDC00).contains(&unit));
    }
    // An unterminated string is the parser's to report.
    Ok(())
}

fn code_unit(bytes: &mut std::str::Bytes<'_>) -> Option<u32> {
    let mut unit = 0;
    for _ in 0..4 {
        unit = unit * 16 + char::from(bytes.next()?).to_digit(16)?;
    }
    Some(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_lone_surrogates_only() {
        for bad in [
            r#""\ud800""#,
            r#""\udc00""#,
            r#""\ud800x""#,
            r#""\ud800\n""#,
            r#""\ud800\ud800\udc00""#,
            r#"{"a":["\uDBFF\u0041"]}"#,
        ] {
            assert!(check(bad.as_bytes()).is_err(), "{bad}");
        }
        for good in [
            r#""\ud83d\ude00""#,
            r#""\\ud800""#,
            r#""\u0000\"x""#,
            r#"{"a":"\uD83D\uDE00\uD83D\uDE00"}"#,
            "",
        ] {
            assert!(check(good.as_bytes()).is_ok(), "{good}");
        }
    }

    #[test]
    fn counts_depth_outside_of_strings() {
        let deep = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(check(deep(MAX_DEPTH).as_bytes()).is_ok());
        assert!(check(deep(MAX_DEPTH + 1).as_bytes()).is_err());
        assert!(check(format!("{:?}", "[".repeat(500)).as_bytes()).is_ok());
        assert!(check("[],".repeat(500).as_bytes()).is_ok());
    }

    #[test]
    fn refuses_invalid_utf8() {
        assert!(check(b"{\"a\":\"\xff\"}").is_err());
    }
}
