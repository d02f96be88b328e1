//! Registering endpoints: paths, method and authentication come from the request type's metadata.

use std::{any::type_name, future::Future, panic::AssertUnwindSafe, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
    routing::{MethodFilter, on},
};
use bytes::BytesMut;
use futures_util::FutureExt;
use http::{Method, Request};
use ruma::api::{
    IncomingRequest, Metadata, OutgoingResponse, OutgoingResponseExt, path_builder::PathBuilder,
};

use tokio::time::timeout;

use super::{
    error::{ApiError, ApiResult, request::RequestError},
    extract::{Call, Proof},
};
use crate::app::App;

/// The endpoints of a router, with a table of what was registered.
#[derive(Default)]
pub struct Routes {
    router: Router<App>,
    table: Vec<Endpoint>,
}

/// One path of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The HTTP method.
    pub method: Method,
    /// The path, with its variables in braces.
    pub path: String,
    /// The handler's module path, from which its file follows.
    pub handler: &'static str,
    /// The authentication scheme, as Ruma names it.
    pub auth: &'static str,
}

/// How long a handler may take.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// It answers at once; the request timeout holds.
    Short,
    /// It waits for news for as long as the client asked; it bounds that by itself.
    LongPoll,
}

impl Routes {
    /// Registers a handler under every path of its endpoint.
    #[expect(
        clippy::should_implement_trait,
        reason = "what is added has another type"
    )]
    #[must_use]
    pub fn add<R, F, Fut>(self, handler: F) -> Self
    where
        R: IncomingRequest + Send + 'static,
        R::Authentication: Proof,
        R::OutgoingResponse: Send,
        F: Fn(State<App>, Call<R>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = ApiResult<R::OutgoingResponse>> + Send,
    {
        let paths: Vec<_> = R::PATH_BUILDER.all_paths().collect();
        self.add_at(&paths, Waiting::Short, handler)
    }

    /// Registers a handler that waits for news, such as `/sync`.
    #[must_use]
    pub fn add_long_poll<R, F, Fut>(self, handler: F) -> Self
    where
        R: IncomingRequest + Send + 'static,
        R::Authentication: Proof,
        R::OutgoingResponse: Send,
        F: Fn(State<App>, Call<R>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = ApiResult<R::OutgoingResponse>> + Send,
    {
        let paths: Vec<_> = R::PATH_BUILDER.all_paths().collect();
        self.add_at(&paths, Waiting::LongPoll, handler)
    }

    /// Registers a handler whose last path variable may be missing or empty, and is then the
    /// empty string: the state endpoints.
    #[must_use]
    pub fn add_with_empty_last<R, F, Fut>(self, handler: F) -> Self
    where
        R: IncomingRequest + Send + 'static,
        R::Authentication: Proof,
        R::OutgoingResponse: Send,
        F: Fn(State<App>, Call<R>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = ApiResult<R::OutgoingResponse>> + Send,
    {
        let mut paths: Vec<&str> = R::PATH_BUILDER.all_paths().collect();
        for path in paths.clone() {
            if let Some((parent, _)) = path.split_at_checked(path.rfind('{').unwrap_or(path.len()))
            {
                paths.push(parent);
            }
        }
        self.add_at(&paths, Waiting::Short, handler)
    }

    fn add_at<R, F, Fut>(mut self, paths: &[&str], waiting: Waiting, handler: F) -> Self
    where
        R: IncomingRequest + Send + 'static,
        R::Authentication: Proof,
        R::OutgoingResponse: Send,
        F: Fn(State<App>, Call<R>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = ApiResult<R::OutgoingResponse>> + Send,
    {
        let Ok(filter) = MethodFilter::try_from(R::METHOD) else {
            return self;
        };
        for path in paths {
            let serve = {
                let handler = handler.clone();
                move |State(app): State<App>, request: Request<Body>| {
                    let handler = handler.clone();
                    async move {
                        let limit =
                            (waiting == Waiting::Short).then_some(app.config.http.request_timeout);
                        guarded(limit, answer::<R, _, _>(app, request, handler)).await
                    }
                }
            };
            self.table.push(Endpoint {
                method: R::METHOD,
                path: (*path).to_owned(),
                handler: type_name::<F>(),
                auth: scheme::<R>(),
            });
            for spelling in spellings(path) {
                self.router = self.router.route(spelling, on(filter, serve.clone()));
            }
        }
        self
    }

    /// The endpoints that were registered.
    pub fn table(&self) -> &[Endpoint] {
        &self.table
    }

    /// The router of all that was registered.
    pub(super) fn into_router(self) -> Router<App> {
        self.router
    }
}

/// A path and, if it ends in a slash, its spelling without.
fn spellings(path: &str) -> impl Iterator<Item = &str> {
    std::iter::once(path).chain(path.strip_suffix('/'))
}

fn scheme<R: Metadata>() -> &'static str {
    let name = type_name::<R::Authentication>();
    name.rsplit_once("::").map_or(name, |(_, name)| name)
}

/// Bounds the time of an answer and turns a panic into one.
async fn guarded(limit: Option<Duration>, answer: impl Future<Output = Response>) -> Response {
    let answer = AssertUnwindSafe(answer).catch_unwind();
    let outcome = match limit {
        Some(limit) => timeout(limit, answer).await,
        None => Ok(answer.await),
    };
    match outcome {
        Ok(Ok(response)) => response,
        Ok(Err(_panic)) => ApiError::panicked().into_response(),
        Err(_elapsed) => ApiError::from(RequestError::TimedOut).into_response(),
    }
}

async fn answer<R, F, Fut>(app: App, request: Request<Body>, handler: F) -> Response
where
    R: IncomingRequest,
    R::Authentication: Proof,
    F: Fn(State<App>, Call<R>) -> Fut,
    Fut: Future<Output = ApiResult<R::OutgoingResponse>>,
{
    let result = match Call::extract(&app, request).await {
        Ok(call) => handler(State(app), call).await,
        Err(error) => Err(error),
    };
    match result.and_then(into_response) {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

fn into_response<T: OutgoingResponse>(response: T) -> ApiResult<Response> {
    let response = response
        .try_into_http_response::<BytesMut>()
        .map_err(|error| ApiError::internal(&error))?;
    Ok(response.map(|body| Body::from(body.freeze())))
}
