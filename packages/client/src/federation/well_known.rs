//! `GET /.well-known/matrix/server` of another server's host.
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#getwell-knownmatrixserver)

use std::{str::FromStr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};
use ruma::{MilliSecondsSinceUnixEpoch, OwnedServerName};
use serde::Deserialize;
use thiserror::Error;

use crate::outbound::{Host, Limits, Outbound, OutboundError, Route};

/// Bounds of one request. A host that has such a file answers at once; one that has none must not
/// hold up the next step.
const LIMITS: Limits = Limits {
    time: Duration::from_secs(5),
    body: 50 << 10,
};

/// The most redirects that are followed.
const MAX_REDIRECTS: usize = 4;

/// How long an answer holds that does not say so itself, and the bounds of what it may say.
/// [Spec](https://spec.matrix.org/v1.19/server-server-api/#resolving-server-names)
const DEFAULT_LIFETIME: Duration = Duration::from_hours(24);
const MAX_LIFETIME: Duration = Duration::from_hours(48);
const MIN_LIFETIME: Duration = Duration::from_mins(5);

const PORT: u16 = 443;

/// A file that says where the server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegation {
    /// The name that is resolved in place of the server's own.
    pub server: OwnedServerName,
    /// For how long it may be kept.
    pub lifetime: Duration,
}

/// Why there is no such file.
#[derive(Clone, Debug, Error)]
pub enum WellKnownError {
    /// The host was not reached, or did not answer.
    #[error("{}", chain(.0))]
    Unreachable(OutboundError),
    /// The host answered that there is none, or an error.
    #[error("the host answers with status {0}")]
    Status(StatusCode),
    /// What it answered names no server.
    #[error("{0}")]
    Invalid(String),
}

impl WellKnownError {
    /// Is it a matter of the moment, so that an older answer still counts?
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(error) => {
                !matches!(error, OutboundError::TooLarge(_) | OutboundError::Denied(_))
            }
            Self::Status(status) => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            Self::Invalid(_) => false,
        }
    }
}

#[derive(Deserialize)]
struct File {
    #[serde(rename = "m.server")]
    server: String,
}

/// Asks the host of a server name where the server is. Redirects are followed, over HTTPS only.
pub(super) async fn fetch(
    outbound: &dyn Outbound,
    host: &str,
    now: MilliSecondsSinceUnixEpoch,
) -> Result<Delegation, WellKnownError> {
    let mut url = parse_url(&format!("https://{host}/.well-known/matrix/server"))?;
    for _ in 0..=MAX_REDIRECTS {
        let answer = get(outbound, &url).await?;
        let status = answer.status();
        if status == StatusCode::OK {
            return Ok(Delegation {
                server: parse(answer.body())?,
                lifetime: lifetime(answer.headers(), now),
            });
        }
        let location = answer
            .headers()
            .get(header::LOCATION)
            .filter(|_| status.is_redirection())
            .and_then(|location| location.to_str().ok())
            .ok_or(WellKnownError::Status(status))?;
        url = follow(&url, location)?;
    }
    Err(invalid("too many redirects"))
}

async fn get(outbound: &dyn Outbound, url: &Uri) -> Result<Response<Bytes>, WellKnownError> {
    let (Some(authority), Some(host)) = (url.authority(), url.host()) else {
        return Err(invalid("a redirect to nowhere"));
    };
    let port = url.port_u16().unwrap_or(PORT);
    let route = Route::direct(authority.as_str(), Host::parse(host), port);
    let request = Request::builder()
        .method(Method::GET)
        .uri(url)
        .header(header::ACCEPT, "application/json")
        .body(Bytes::new())
        .map_err(|error| WellKnownError::Invalid(error.to_string()))?;
    let answer = outbound.exchange(&route, request, LIMITS).await;
    answer.map_err(WellKnownError::Unreachable)
}

fn parse(body: &[u8]) -> Result<OwnedServerName, WellKnownError> {
    let File { server } =
        serde_json::from_slice(body).map_err(|error| WellKnownError::Invalid(error.to_string()))?;
    let name = OwnedServerName::try_from(server.as_str())
        .map_err(|error| WellKnownError::Invalid(format!("`m.server`: {error}")))?;
    if name.port() == Some(0) {
        return Err(invalid("`m.server` has port 0"));
    }
    Ok(name)
}

/// Where a redirect leads: another HTTPS URL, or a path of the same host.
fn follow(from: &Uri, location: &str) -> Result<Uri, WellKnownError> {
    let location = location.split('#').next().unwrap_or_default();
    let is_path = location.starts_with('/') && !location.starts_with("//");
    let to = match from.authority().filter(|_| is_path) {
        Some(authority) => parse_url(&format!("https://{authority}{location}"))?,
        None => parse_url(location)?,
    };
    let has_user = to
        .authority()
        .is_none_or(|authority| authority.as_str().contains('@'));
    if to.scheme_str() != Some("https") || has_user {
        return Err(invalid("a redirect to something other than HTTPS"));
    }
    Ok(to)
}

fn parse_url(text: &str) -> Result<Uri, WellKnownError> {
    Uri::from_str(text).map_err(|error| WellKnownError::Invalid(format!("{text}: {error}")))
}

fn invalid(why: &str) -> WellKnownError {
    WellKnownError::Invalid(why.to_owned())
}

/// For how long an answer may be kept, by its headers and our bounds.
fn lifetime(headers: &HeaderMap, now: MilliSecondsSinceUnixEpoch) -> Duration {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let said = match text(header::CACHE_CONTROL) {
        Some(directives) => max_age(directives),
        None => text(header::EXPIRES).map(|date| until(date, now)),
    };
    said.unwrap_or(DEFAULT_LIFETIME)
        .clamp(MIN_LIFETIME, MAX_LIFETIME)
}

fn max_age(directives: &str) -> Option<Duration> {
    let mut directives = directives.split(',').map(str::trim);
    directives.find_map(|directive| {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") {
            return Some(Duration::ZERO);
        }
        let seconds = value.trim_matches('"').parse().ok()?;
        name.eq_ignore_ascii_case("max-age")
            .then(|| Duration::from_secs(seconds))
    })
}

/// The time until a date; none for what is no date, as the RFC has it.
fn until(date: &str, now: MilliSecondsSinceUnixEpoch) -> Duration {
    let date = httpdate::parse_http_date(date).ok();
    let now = now.to_system_time();
    date.zip(now)
        .and_then(|(date, now)| date.duration_since(now).ok())
        .unwrap_or_default()
}

/// An error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use ruma::UInt;

    use super::*;

    #[test]
    fn takes_server_names_only() {
        let name = |server| parse(format!(r#"{{"m.server":"{server}"}}"#).as_bytes());
        for server in [
            "m.example.org",
            "m.example.org:443",
            "192.0.2.1",
            "[::1]:8448",
        ] {
            assert_eq!(name(server).unwrap(), server);
        }
        for server in ["", "m/path", "user@m", "m:0", "m:99999", "https://m", "m:"] {
            assert!(name(server).is_err(), "{server}");
        }
        for body in ["", "[]", "{}", r#"{"m.server":1}"#, "<html>"] {
            assert!(parse(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn keeps_an_answer_within_bounds() {
        let now = MilliSecondsSinceUnixEpoch(UInt::new(784_111_777_000).unwrap());
        let kept = |name: header::HeaderName, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            lifetime(&headers, now).as_secs()
        };
        let control = |value| kept(header::CACHE_CONTROL, value);
        assert_eq!(control("public, Max-Age=3600"), 3600);
        assert_eq!(control("max-age=1"), 300);
        assert_eq!(control("max-age=99999999"), 48 * 3600);
        assert_eq!(control("no-store"), 300);
        assert_eq!(control("public"), 24 * 3600);
        let expires = |value| kept(header::EXPIRES, value);
        assert_eq!(expires("Sun, 06 Nov 1994 09:49:37 GMT"), 3600);
        assert_eq!(expires("Sun, 06 Nov 1994 07:49:37 GMT"), 300);
        assert_eq!(expires("0"), 300);
        assert_eq!(lifetime(&HeaderMap::new(), now).as_secs(), 24 * 3600);
    }

    #[test]
    fn follows_redirects_over_https_only() {
        let from = parse_url("https://a.test:1/x").unwrap();
        let to = |location| follow(&from, location).map(|url| url.to_string());
        assert_eq!(to("/y?z#w").unwrap(), "https://a.test:1/y?z");
        assert_eq!(to("https://b.test/y").unwrap(), "https://b.test/y");
        for location in ["http://b.test/", "//b.test/", "y", "https://u@b.test/", ""] {
            assert!(to(location).is_err(), "{location}");
        }
    }
}
