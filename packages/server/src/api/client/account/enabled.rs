//! `GET /_matrix/client/v3/pushrules/global/{kind}/{ruleId}/enabled`
//! `PUT /_matrix/client/v3/pushrules/global/{kind}/{ruleId}/enabled`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#push-rules-api)

use axum::extract::State;
use ruma::api::client::push::{get_pushrule_enabled::v3 as get, set_pushrule_enabled::v3 as set};

use super::pushrules;
use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// Says whether a push rule is switched on.
pub async fn enabled(State(app): State<App>, call: Call<get::Request>) -> ApiResult<get::Response> {
    let get::Request { kind, rule_id, .. } = call.request;
    let rule = pushrules::find(&app, &call.caller.user_id, kind, &rule_id).await?;
    Ok(get::Response::new(rule.enabled))
}

/// Switches a push rule on or off.
pub async fn set_enabled(
    State(app): State<App>,
    call: Call<set::Request>,
) -> ApiResult<set::Response> {
    let set::Request {
        kind,
        rule_id,
        enabled,
        ..
    } = call.request;
    app.users
        .set_push_rule_enabled(&call.caller.user_id, kind, &rule_id, enabled)
        .await?;
    Ok(set::Response::new())
}
