//! The `Authorization: X-Matrix` header, and the proof of which server signed a request.
//!
//! Ruma's parser wants the grammar of RFC 9110 to the letter, and older servers leave colons
//! unquoted; so the header is read here, and Ruma does the signatures.
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#request-authentication)

use bytes::Bytes;
use http::{HeaderMap, Request, header, request::Parts};
use ruma::{
    OwnedServerName, OwnedServerSigningKeyId, ServerName, UserId,
    api::federation::authentication::{ServerSignatures, XMatrix},
    serde::Base64,
};
use thiserror::Error;

use super::caller::Proof;
use crate::{
    api::{
        error::{ApiResult, request::RequestError},
        record::RequestRecord,
    },
    app::App,
    caller::Origin,
};

/// The most headers of one request: a server that changes its key may sign with both.
const MAX_HEADERS: usize = 4;

/// Why a header is not acceptable.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// There is none.
    #[error("Missing Authorization header")]
    Missing,
    /// There are more than [`MAX_HEADERS`], or they are of several servers.
    #[error("Too many Authorization headers")]
    TooMany,
    /// It is no `X-Matrix` header.
    #[error("Malformed Authorization header")]
    Malformed,
    /// It has a parameter twice.
    #[error("Authorization header has `{0}` twice")]
    Twice(&'static str),
    /// It lacks a parameter.
    #[error("Authorization header without `{0}`")]
    Incomplete(&'static str),
    /// One of its parameters has the wrong form.
    #[error("Authorization header with a malformed `{0}`")]
    Parameter(&'static str),
    /// The request is for another server.
    #[error("The request is for {0}")]
    Destination(OwnedServerName),
    /// It claims to come from ourselves.
    #[error("The request claims to be our own")]
    Ourselves,
}

impl Proof for ServerSignatures {
    type Claim = Vec<XMatrix>;
    type Caller = Origin;

    async fn claim(app: &App, parts: &Parts) -> ApiResult<Vec<XMatrix>> {
        let claims = read(&parts.headers, &app.config.server_name);
        Ok(claims.map_err(RequestError::Header)?)
    }

    async fn prove(
        app: &App,
        parts: &Parts,
        claims: Vec<XMatrix>,
        body: &Bytes,
    ) -> ApiResult<Origin> {
        let mut request = Request::new(body);
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = parts.uri.clone();
        let mut outcome = Err(RequestError::Header(HeaderError::Missing).into());
        for claim in claims {
            match app.key_ring.verify_request(&claim, &request).await {
                Ok(()) => {
                    if let Some(record) = parts.extensions.get::<RequestRecord>() {
                        record.set_origin(&claim.origin);
                    }
                    app.sender.note_alive(&claim.origin);
                    app.device_lists.note_alive(&claim.origin);
                    return Ok(Origin::proven(claim.origin));
                }
                Err(error) => outcome = Err(error.into()),
            }
        }
        outcome
    }

    fn user(_: &Vec<XMatrix>) -> Option<&UserId> {
        None
    }
}

/// The claims of a request to `server_name`: at least one, all of the same other server.
fn read(headers: &HeaderMap, server_name: &ServerName) -> Result<Vec<XMatrix>, HeaderError> {
    let values = headers.get_all(header::AUTHORIZATION);
    if values.iter().count() > MAX_HEADERS {
        return Err(HeaderError::TooMany);
    }
    let mut claims: Vec<XMatrix> = Vec::new();
    for value in values {
        let text = str::from_utf8(value.as_bytes()).map_err(|_malformed| HeaderError::Malformed)?;
        let claim = parse(text)?;
        if let Some(destination) = &claim.destination
            && destination != server_name
        {
            return Err(HeaderError::Destination(destination.clone()));
        }
        if claim.origin == server_name {
            return Err(HeaderError::Ourselves);
        }
        if claims
            .first()
            .is_some_and(|first| first.origin != claim.origin)
        {
            return Err(HeaderError::TooMany);
        }
        claims.push(claim);
    }
    if claims.is_empty() {
        return Err(HeaderError::Missing);
    }
    Ok(claims)
}

/// Reads one header: the scheme, and parameters in any order and case, quoted or not.
fn parse(text: &str) -> Result<XMatrix, HeaderError> {
    let (scheme, mut rest) = text.split_once([' ', '\t']).ok_or(HeaderError::Malformed)?;
    if !scheme.eq_ignore_ascii_case(XMatrix::AUTH_SCHEME) {
        return Err(HeaderError::Malformed);
    }
    let [mut origin, mut destination, mut key, mut sig] = [const { None }; 4];
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            break;
        }
        let (name, value, after) = parameter(rest).ok_or(HeaderError::Malformed)?;
        rest = after;
        let (name, slot) = match name.to_ascii_lowercase().as_str() {
            "origin" => ("origin", &mut origin),
            "destination" => ("destination", &mut destination),
            "key" => ("key", &mut key),
            "sig" => ("sig", &mut sig),
            _ => continue,
        };
        if slot.replace(value).is_some() {
            return Err(HeaderError::Twice(name));
        }
    }
    let server = |name, value: String| {
        OwnedServerName::try_from(value).map_err(|_malformed| HeaderError::Parameter(name))
    };
    let origin = server("origin", origin.ok_or(HeaderError::Incomplete("origin"))?)?;
    let destination = destination
        .map(|value| server("destination", value))
        .transpose()?;
    let key = key.ok_or(HeaderError::Incomplete("key"))?;
    let key = OwnedServerSigningKeyId::try_from(key)
        .map_err(|_malformed| HeaderError::Parameter("key"))?;
    let sig = sig.ok_or(HeaderError::Incomplete("sig"))?;
    let sig = Base64::parse(sig).map_err(|_malformed| HeaderError::Parameter("sig"))?;
    // Ruma makes headers that name a destination only.
    let mut header = XMatrix::new(origin.clone(), origin, key, sig);
    header.destination = destination;
    Ok(header)
}

/// One parameter: its name, its value, and what follows.
fn parameter(text: &str) -> Option<(&str, String, &str)> {
    let (name, rest) = text.split_once('=')?;
    let name = name.trim_end_matches([' ', '\t']);
    let is_token =
        |letter: char| letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(letter);
    if name.is_empty() || !name.chars().all(is_token) {
        return None;
    }
    let rest = rest.trim_start_matches([' ', '\t']);
    let Some(quoted) = rest.strip_prefix('"') else {
        let end = rest.find([',', ' ', '\t']).unwrap_or(rest.len());
        let (value, after) = rest.split_at_checked(end)?;
        return end_of_parameter(after).map(|after| (name, value.to_owned(), after));
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => {
                let after = quoted.get(at + 1..)?;
                return end_of_parameter(after).map(|after| (name, value, after));
            }
            '\\' => value.push(letters.next()?.1),
            letter => value.push(letter),
        }
    }
    None
}

/// After a value there is the end, or a comma.
fn end_of_parameter(text: &str) -> Option<&str> {
    let text = text.trim_start_matches([' ', '\t']);
    (text.is_empty() || text.starts_with(',')).then_some(text)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use ruma::server_name;

    use super::*;

    fn read_all(values: &[&str]) -> Result<Vec<XMatrix>, HeaderError> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        read(&headers, server_name!("here.test"))
    }

    #[test]
    fn reads_every_spelling_of_the_grammar() {
        for value in [
            r#"X-Matrix origin="a.test:1",destination="here.test",key="ed25519:k",sig="dGVzdA""#,
            "x-matrix ORIGIN=a.test:1 , Destination = here.test,key=ed25519:k,sig=dGVzdA==",
            r#"X-Matrix  sig="dGVzdA==",key="ed\25519\:k",,origin="a.test:1","#,
            r#"X-Matrix origin="a.test:1",other="a,\"b",key="ed25519:k",sig="dGVzdA""#,
        ] {
            let claims = read_all(&[value]).unwrap();
            assert_eq!(claims[0].origin, "a.test:1", "{value}");
            assert_eq!(claims[0].key, "ed25519:k", "{value}");
            assert_eq!(claims[0].sig.as_bytes(), b"test", "{value}");
        }
    }

    #[test]
    fn refuses_what_is_no_header_of_another_server() {
        use HeaderError::{
            Destination, Incomplete, Malformed, Missing, Ourselves, Parameter, Twice,
        };
        let whole = r#"X-Matrix origin=a.test,key="ed25519:k",sig=dGVzdA"#;
        let with = |more: &str| read_all(&[&format!("{whole},{more}")]).map(drop);
        assert_eq!(with("other=1"), Ok(()));
        assert_eq!(with("origin=a.test"), Err(Twice("origin")));
        assert_eq!(with("SIG=dGVzdA"), Err(Twice("sig")));
        assert_eq!(with("destination=here.test"), Ok(()));
        let other = server_name!("other.test").to_owned();
        assert_eq!(with("destination=other.test"), Err(Destination(other)));
        for (value, error) in [
            ("Bearer abc", Malformed),
            ("X-Matrix", Malformed),
            (r#"X-Matrix origin="a.test"#, Malformed),
            (r#"X-Matrix origin="a.test"key=x"#, Malformed),
            ("X-Matrix ", Incomplete("origin")),
            ("X-Matrix origin=a.test,sig=dGVzdA", Incomplete("key")),
            ("X-Matrix origin=a.test,key=ed25519:k", Incomplete("sig")),
            (
                "X-Matrix origin=a/b,key=ed25519:k,sig=dGVzdA",
                Parameter("origin"),
            ),
            ("X-Matrix origin=a.test,key=k,sig=dGVzdA", Parameter("key")),
            (
                "X-Matrix origin=a.test,key=ed25519:k,sig=?",
                Parameter("sig"),
            ),
            (
                "X-Matrix origin=here.test,key=ed25519:k,sig=dGVzdA",
                Ourselves,
            ),
        ] {
            assert_eq!(read_all(&[value]).map(drop), Err(error), "{value}");
        }
        assert_eq!(read_all(&[]).map(drop), Err(Missing));
    }

    #[test]
    fn takes_several_headers_of_one_server() {
        let header = |origin| format!("X-Matrix origin={origin},key=ed25519:k,sig=dGVzdA");
        let (one, other) = (header("a.test"), header("b.test"));
        assert_eq!(read_all(&[&one, &one]).unwrap().len(), 2);
        assert_eq!(
            read_all(&[&one, &other]).map(drop),
            Err(HeaderError::TooMany)
        );
        assert_eq!(read_all(&[&*one; 5]).map(drop), Err(HeaderError::TooMany));
    }
}
