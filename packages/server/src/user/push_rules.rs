//! A user's push rules: account data of the type `m.push_rules`, edited rule by rule.
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#push-rules-api)

use matryx_entity::push::{
    PushRules,
    edit::{self, EditError},
};
use ruma::{
    UserId,
    push::{Action, NewPushRule, RuleKind, Ruleset},
};
use serde_json::json;

use super::{DataScope, UserError, Users, account_data::PUSH_RULES};

impl Users {
    /// A user's push rules; read from the cache.
    ///
    /// # Errors
    /// The database is away.
    pub async fn push_rules(&self, user: &UserId) -> Result<Ruleset, UserError> {
        let view = self.inner.sync.user(user).await?;
        let rules = match view.account_data(None, PUSH_RULES) {
            Some(data) => PushRules::from_account_data(user, &data.content),
            None => PushRules::server_default(user),
        };
        Ok(rules.ruleset().into_owned())
    }

    /// Adds or replaces a rule.
    ///
    /// # Errors
    /// The rule is not acceptable, its neighbours do not exist, or the database is away.
    pub async fn set_push_rule(
        &self,
        user: &UserId,
        rule: NewPushRule,
        after: Option<&str>,
        before: Option<&str>,
    ) -> Result<(), UserError> {
        self.edit_push_rules(user, |rules| edit::insert(rules, rule, after, before))
            .await
    }

    /// Removes a rule.
    ///
    /// # Errors
    /// There is no such rule, it is one of the server's, or the database is away.
    pub async fn delete_push_rule(
        &self,
        user: &UserId,
        kind: RuleKind,
        rule_id: &str,
    ) -> Result<(), UserError> {
        self.edit_push_rules(user, |rules| edit::remove(rules, kind, rule_id))
            .await
    }

    /// Switches a rule on or off.
    ///
    /// # Errors
    /// There is no such rule, or the database is away.
    pub async fn set_push_rule_enabled(
        &self,
        user: &UserId,
        kind: RuleKind,
        rule_id: &str,
        enabled: bool,
    ) -> Result<(), UserError> {
        self.edit_push_rules(user, |rules| {
            edit::set_enabled(rules, kind, rule_id, enabled)
        })
        .await
    }

    /// Replaces the actions of a rule.
    ///
    /// # Errors
    /// There is no such rule, or the database is away.
    pub async fn set_push_rule_actions(
        &self,
        user: &UserId,
        kind: RuleKind,
        rule_id: &str,
        actions: Vec<Action>,
    ) -> Result<(), UserError> {
        self.edit_push_rules(user, |rules| {
            edit::set_actions(rules, kind, rule_id, actions)
        })
        .await
    }

    /// Changes the rules: one commit.
    async fn edit_push_rules(
        &self,
        user: &UserId,
        edit: impl FnOnce(&mut Ruleset) -> Result<(), EditError>,
    ) -> Result<(), UserError> {
        let _guard = self.lock(user).await;
        let mut rules = self.push_rules(user).await?;
        edit(&mut rules)?;
        let content = json!({ "global": rules }).to_string();
        let scope = DataScope { user, room: None };
        self.write_account_data(scope, PUSH_RULES, content).await
    }
}
