//! `GET /_matrix/client/v3/auth/{authType}/fallback/web`
//! `POST /_matrix/client/v3/auth/{authType}/fallback/web`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#fallback)
//!
//! A page for a browser that a client opens. It runs one script, has no other origin's content,
//! and shows nothing that its address or its form holds.

use std::{convert::Infallible, fmt::Write};

use axum::extract::{Query, State};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::BufMut;
use http::{HeaderValue, Method, Uri, header};
use ruma::api::{
    IncomingRequest, Metadata, OutgoingBody, OutgoingResponse,
    auth_scheme::NoAccessToken,
    client::uiaa::get_uiaa_fallback_page::v3::Request,
    error::{DeserializationError, IntoHttpError},
};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
    config::Policy,
    rate_limit::Act,
    user::WebStage,
};

/// What the page runs when the stage is passed, as the specification has it.
const DONE: &str = "\
if (window.onAuthDone) { window.onAuthDone(); } \
else if (window.opener && window.opener.postMessage) { window.opener.postMessage(\"authDone\", \"*\"); }";

const STYLE: &str = "\
body { font-family: sans-serif; margin: 3em auto; max-width: 30em; padding: 0 1em; } \
input, button { font: inherit; padding: 0.4em; }";

/// Shows the page of a stage.
pub async fn page(State(app): State<App>, call: Call<PageRequest>) -> ApiResult<Page> {
    let Request {
        auth_type, session, ..
    } = call.request.0;
    let stage = app.users.web_stage(&session, &auth_type).await?;
    Ok(form(stage, &app.config.registration.terms, ""))
}

/// Takes the page's form.
pub async fn submit(State(app): State<App>, call: Call<FormRequest>) -> ApiResult<Page> {
    app.rate_limits.act_from(Act::Register, call.remote.ip)?;
    let FormRequest { target, answer } = call.request;
    let Request {
        auth_type, session, ..
    } = target;
    let passed = app
        .users
        .pass_web_stage(&session, &auth_type, &answer.token);
    if passed.await? {
        return Ok(Page::new(
            "Thank you",
            "<p>You can close this window and go back to your client.</p>",
            DONE,
        ));
    }
    let stage = app.users.web_stage(&session, &auth_type).await?;
    let refused = "<p role=\"alert\">This token is not valid.</p>";
    Ok(form(stage, &app.config.registration.terms, refused))
}

/// The form of a stage. It goes to the address that the page was opened with.
fn form(stage: WebStage, terms: &[Policy], alert: &str) -> Page {
    let (title, fields, button) = match stage {
        WebStage::Terms => ("Terms of service", documents(terms), "I agree"),
        WebStage::RegistrationToken => (
            "Registration token",
            "<p><label>Your token <input name=\"token\" required autofocus \
             autocomplete=\"off\"></label></p>"
                .to_owned(),
            "Continue",
        ),
    };
    let body = format!(
        "{alert}<form method=\"post\">{fields}<p><button type=\"submit\">{button}</button></p></form>"
    );
    Page::new(title, &body, "")
}

fn documents(terms: &[Policy]) -> String {
    let mut list = String::from("<p>To go on, read and accept:</p><ul>");
    for policy in terms {
        let (url, title) = (escape(&policy.url.to_string()), escape(&policy.title));
        // Writing to a string does not fail.
        let _written = write!(
            list,
            "<li><a href=\"{url}\" target=\"_blank\" rel=\"noopener noreferrer\">{title}</a></li>"
        );
    }
    list.push_str("</ul>");
    list
}

/// Text that stands for itself, between tags and in quotes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(letter),
        }
    }
    escaped
}

/// A page.
pub struct Page(String);

impl Page {
    fn new(title: &str, body: &str, script: &str) -> Self {
        Self(format!(
            "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
             <style>{STYLE}</style></head><body><h1>{title}</h1>{body}\
             <script>{script}</script></body></html>"
        ))
    }
}

/// What the pages may do: look so, run that, and send their form back.
fn policy() -> String {
    let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)));
    format!(
        "default-src 'none'; style-src {}; script-src {}; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'",
        hash(STYLE),
        hash(DONE)
    )
}

impl OutgoingBody for Page {
    type Error = Infallible;

    fn content_type(&self) -> Option<HeaderValue> {
        Some(HeaderValue::from_static("text/html; charset=utf-8"))
    }

    fn try_into_buf<B: Default + BufMut + AsRef<[u8]>>(self) -> Result<B, Infallible> {
        let mut buffer = B::default();
        buffer.put_slice(self.0.as_bytes());
        Ok(buffer)
    }
}

impl OutgoingResponse for Page {
    type Body = Self;

    fn try_into_http_response_inner(self) -> Result<http::Response<Self>, IntoHttpError> {
        Ok(http::Response::builder()
            .header(header::CONTENT_SECURITY_POLICY, policy())
            // The address has the session in it.
            .header(header::REFERRER_POLICY, "no-referrer")
            .header(header::CACHE_CONTROL, "no-store")
            .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
            .body(self)?)
    }
}

/// The request for a page.
pub struct PageRequest(Request);

/// A form that was filled in.
pub struct FormRequest {
    target: Request,
    answer: Answer,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    token: String,
}

impl Metadata for PageRequest {
    const METHOD: Method = Method::GET;
    const RATE_LIMITED: bool = false;
    type Authentication = NoAccessToken;
    type PathBuilder = <Request as Metadata>::PathBuilder;
    const PATH_BUILDER: Self::PathBuilder = Request::PATH_BUILDER;
}

impl Metadata for FormRequest {
    const METHOD: Method = Method::POST;
    const RATE_LIMITED: bool = true;
    type Authentication = NoAccessToken;
    type PathBuilder = <Request as Metadata>::PathBuilder;
    const PATH_BUILDER: Self::PathBuilder = Request::PATH_BUILDER;
}

impl IncomingRequest for PageRequest {
    type EndpointError = ruma::api::error::Error;
    type OutgoingResponse = Page;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        path_args: &[&str],
    ) -> Result<Self, DeserializationError> {
        Request::try_from_http_request_inner(request, path_args).map(Self)
    }
}

impl IncomingRequest for FormRequest {
    type EndpointError = ruma::api::error::Error;
    type OutgoingResponse = Page;

    fn try_from_http_request_inner(
        mut request: http::Request<&[u8]>,
        path_args: &[&str],
    ) -> Result<Self, DeserializationError> {
        let answer = answer(request.body());
        *request.method_mut() = Method::GET;
        let target = Request::try_from_http_request_inner(request, path_args)?;
        Ok(Self { target, answer })
    }
}

/// The fields of a form, which is written like a query. What is none has no token.
fn answer(form: &[u8]) -> Answer {
    let uri = Uri::builder().path_and_query([b"/?", form].concat());
    let query = uri.build().ok();
    let answer = query.and_then(|uri| Query::<Answer>::try_from_uri(&uri).ok());
    answer.map_or_else(
        || Answer {
            token: String::new(),
        },
        |Query(answer)| answer,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_operator_writes_stays_text() {
        let policy = Policy {
            id: "terms".to_owned(),
            version: "1".to_owned(),
            language: "en".to_owned(),
            title: "<script>alert('\"&')</script>".to_owned(),
            url: Uri::from_static("https://example.org/?a=1&b=2"),
        };
        let list = documents(&[policy]);
        assert!(list.contains("&lt;script&gt;alert(&#39;&quot;&amp;&#39;)&lt;/script&gt;"));
        assert!(list.contains("href=\"https://example.org/?a=1&amp;b=2\""));
    }

    #[test]
    fn a_form_is_decoded() {
        assert_eq!(answer(b"x=1&token=a%2Bb+c%26").token, "a+b c&");
        assert_eq!(answer(b"{}").token, "");
        assert_eq!(answer(b"token=\xff").token, "");
        assert_eq!(answer(b"token=a b").token, "");
    }
}
