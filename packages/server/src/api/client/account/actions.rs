//! `GET /_matrix/client/v3/pushrules/global/{kind}/{ruleId}/actions`
//! `PUT /_matrix/client/v3/pushrules/global/{kind}/{ruleId}/actions`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#push-rules-api)

use axum::extract::State;
use ruma::api::client::push::{get_pushrule_actions::v3 as get, set_pushrule_actions::v3 as set};

use super::pushrules;
use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// Shows the actions of a push rule.
pub async fn actions(State(app): State<App>, call: Call<get::Request>) -> ApiResult<get::Response> {
    let get::Request { kind, rule_id, .. } = call.request;
    let rule = pushrules::find(&app, &call.caller.user_id, kind, &rule_id).await?;
    Ok(get::Response::new(rule.actions))
}

/// Replaces the actions of a push rule.
pub async fn set_actions(
    State(app): State<App>,
    call: Call<set::Request>,
) -> ApiResult<set::Response> {
    let set::Request {
        kind,
        rule_id,
        actions,
        ..
    } = call.request;
    app.users
        .set_push_rule_actions(&call.caller.user_id, kind, &rule_id, actions)
        .await?;
    Ok(set::Response::new())
}
