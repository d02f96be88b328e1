//! `GET /_matrix/client/v3/pushrules/`
//! `GET /_matrix/client/v3/pushrules/global/`
//! `DELETE /_matrix/client/v3/pushrules/global/{kind}/{ruleId}`
//! `GET /_matrix/client/v3/pushrules/global/{kind}/{ruleId}`
//! `PUT /_matrix/client/v3/pushrules/global/{kind}/{ruleId}`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#push-rules-api)

use axum::extract::State;
use matryx_entity::push::edit;
use ruma::{
    UserId,
    api::client::push::{
        PushRule, RuleKind, delete_pushrule::v3 as delete, get_pushrule::v3 as get,
        get_pushrules_all::v3 as all, get_pushrules_global_scope::v3 as global,
        set_pushrule::v3 as set,
    },
};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
    user::UserError,
};

/// Lists all of the caller's push rules.
pub async fn pushrules(
    State(app): State<App>,
    call: Call<all::Request>,
) -> ApiResult<all::Response> {
    let rules = app.users.push_rules(&call.caller.user_id).await?;
    Ok(all::Response::new(rules))
}

/// Lists the caller's global push rules.
pub async fn global(
    State(app): State<App>,
    call: Call<global::Request>,
) -> ApiResult<global::Response> {
    let rules = app.users.push_rules(&call.caller.user_id).await?;
    Ok(global::Response::new(rules))
}

/// Shows a push rule.
pub async fn pushrule(
    State(app): State<App>,
    call: Call<get::Request>,
) -> ApiResult<get::Response> {
    let get::Request { kind, rule_id, .. } = call.request;
    let rule = find(&app, &call.caller.user_id, kind, &rule_id).await?;
    Ok(get::Response::new(rule))
}

/// Adds or replaces a push rule.
pub async fn set_pushrule(
    State(app): State<App>,
    call: Call<set::Request>,
) -> ApiResult<set::Response> {
    let set::Request {
        rule,
        before,
        after,
        ..
    } = call.request;
    app.users
        .set_push_rule(
            &call.caller.user_id,
            rule,
            after.as_deref(),
            before.as_deref(),
        )
        .await?;
    Ok(set::Response::new())
}

/// Removes a push rule.
pub async fn delete_pushrule(
    State(app): State<App>,
    call: Call<delete::Request>,
) -> ApiResult<delete::Response> {
    let delete::Request { kind, rule_id, .. } = call.request;
    app.users
        .delete_push_rule(&call.caller.user_id, kind, &rule_id)
        .await?;
    Ok(delete::Response::new())
}

/// One rule of a user.
pub(super) async fn find(
    app: &App,
    user: &UserId,
    kind: RuleKind,
    rule_id: &str,
) -> ApiResult<PushRule> {
    let rules = app.users.push_rules(user).await?;
    let rule = edit::lookup(&rules, kind, rule_id).map_err(UserError::from)?;
    Ok(rule.into())
}
