//! Finding the access token of a request.

use http::{header, request::Parts};

/// The token of the `Authorization` header, or else of the `access_token` query parameter.
///
/// Empty tokens count as missing; so does a header with another scheme.
/// [Spec](https://spec.matrix.org/v1.19/client-server-api/#using-access-tokens)
pub(super) fn find(parts: &Parts) -> Option<String> {
    let token = match parts.headers.get(header::AUTHORIZATION) {
        Some(header) => {
            let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
            scheme
                .eq_ignore_ascii_case("Bearer")
                .then(|| token.trim().to_owned())?
        }
        None => query(parts, "access_token")?,
    };
    let is_empty = token.trim().is_empty();
    (!is_empty).then_some(token)
}

/// The first value of a query parameter, decoded.
pub(super) fn query(parts: &Parts, name: &str) -> Option<String> {
    let query = parts.uri.query()?;
    form_pairs(query).find_map(|(key, value)| (key == name).then_some(value))
}

fn form_pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    query.split('&').map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key), decode(value))
    })
}

/// Decodes a part of a form: `+` is a space, `%XX` a byte. What can't be decoded stays as it is.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        match (first, tail) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, after @ ..]) => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                if let (Some(high), Some(low)) = (digit(high), digit(low))
                    && let Ok(byte) = u8::try_from(high * 16 + low)
                {
                    bytes.push(byte);
                    rest = after;
                } else {
                    bytes.push(b'%');
                }
            }
            _ => bytes.push(*first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn parts(uri: &str, header: Option<&str>) -> Parts {
        let mut request = Request::builder().uri(uri);
        if let Some(header) = header {
            request = request.header("Authorization", header);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn prefers_the_header() {
        let found = |uri, header| find(&parts(uri, header));
        assert_eq!(
            found("/?access_token=q", Some("Bearer h")).as_deref(),
            Some("h")
        );
        assert_eq!(
            found("/?access_token=q", Some("bearer h")).as_deref(),
            Some("h")
        );
        assert_eq!(
            found("/?a=b&access_token=q%2B+x", None).as_deref(),
            Some("q+ x")
        );
        assert_eq!(found("/?access_token=", None), None);
        assert_eq!(found("/?access_token=q", Some("Basic h")), None);
        assert_eq!(found("/", Some("Bearer ")), None);
        assert_eq!(found("/", None), None);
    }

    #[test]
    fn decodes_forms() {
        assert_eq!(decode("%40a%3Ab+c%zz%4"), "@a:b c%zz%4");
    }
}
