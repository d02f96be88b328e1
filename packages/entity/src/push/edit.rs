//! Editing a user's push rules, as the endpoints under `/pushrules` do.

use ruma::push::{
    Action, AnyPushRuleRef, InsertPushRuleError, NewPushRule, PushCondition, RemovePushRuleError,
    RuleKind, Ruleset,
};

/// The most rules that a user may have of all kinds together. Synapse has no limit; five thousand
/// rules would cost every message to that user milliseconds.
pub const MAX_RULES: usize = 1000;
/// The longest pattern of a rule, in bytes: one match stays within [`crate::glob::MAX_STEPS`] for
/// a message of usual size.
pub const MAX_PATTERN_BYTES: usize = 512;
/// The longest id of a rule, in bytes; ids of rooms and users are at most that long.
pub const MAX_RULE_ID_BYTES: usize = 255;
/// The most conditions of one rule.
pub const MAX_CONDITIONS: usize = 64;

/// Why the rules stay as they are.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// No such rule: 404 `M_NOT_FOUND`.
    #[error("there is no such push rule")]
    NotFound,
    /// `before` or `after` names no rule of that kind: 404 `M_NOT_FOUND`.
    #[error("the rule to place it next to does not exist")]
    NoSuchNeighbour,
    /// Rules of the server can't be removed: 400 `M_UNKNOWN`.
    #[error("rules of the server can't be removed")]
    ServerDefault,
    /// The id of the rule is not one that a user's rule may have: 400 `M_INVALID_PARAM`.
    #[error("{0}")]
    InvalidRule(&'static str),
    /// There are too many rules: 400 `M_INVALID_PARAM`.
    #[error("more than {MAX_RULES} push rules")]
    TooMany,
}

/// Adds a user's rule, or replaces it.
///
/// # Errors
/// The rule or its neighbours are not acceptable.
pub fn insert(
    ruleset: &mut Ruleset,
    rule: NewPushRule,
    after: Option<&str>,
    before: Option<&str>,
) -> Result<(), EditError> {
    check_rule(&rule)?;
    let known = ruleset.get(rule.kind(), rule.rule_id()).is_some();
    if !known && ruleset.iter().count() >= MAX_RULES {
        return Err(EditError::TooMany);
    }
    // Ruma replaces the rule before it looks for the neighbours, and can't move a rule behind the
    // last one or to the second place of one: so a failed edit must not stick, a rule that moves
    // is taken out first, and the first override rule needs no place.
    let mut edited = ruleset.clone();
    let (kind, rule_id) = (rule.kind(), rule.rule_id().to_owned());
    let moves = after.is_some() || before.is_some();
    let enabled = ruleset
        .get(kind.clone(), &rule_id)
        .map(AnyPushRuleRef::enabled);
    if moves && enabled.is_some() {
        edited
            .remove(kind.clone(), &rule_id)
            .map_err(not_removable)?;
    }
    match rule {
        NewPushRule::Override(rule) if edited.override_.is_empty() && !moves => {
            edited.override_.insert(rule.into());
        }
        rule => edited.insert(rule, after, before).map_err(not_insertable)?,
    }
    if moves && let Some(enabled) = enabled {
        set_enabled(&mut edited, kind, &rule_id, enabled)?;
    }
    *ruleset = edited;
    Ok(())
}

/// Removes a user's rule.
///
/// # Errors
/// There is none, or it is one of the server's.
pub fn remove(ruleset: &mut Ruleset, kind: RuleKind, rule_id: &str) -> Result<(), EditError> {
    ruleset.remove(kind, rule_id).map_err(not_removable)
}

/// Switches a rule on or off.
///
/// # Errors
/// There is no such rule.
pub fn set_enabled(
    ruleset: &mut Ruleset,
    kind: RuleKind,
    rule_id: &str,
    enabled: bool,
) -> Result<(), EditError> {
    ruleset
        .set_enabled(kind, rule_id, enabled)
        .or(Err(EditError::NotFound))
}

/// Replaces the actions of a rule.
///
/// # Errors
/// There is no such rule.
pub fn set_actions(
    ruleset: &mut Ruleset,
    kind: RuleKind,
    rule_id: &str,
    actions: Vec<Action>,
) -> Result<(), EditError> {
    ruleset
        .set_actions(kind, rule_id, actions)
        .or(Err(EditError::NotFound))
}

/// Looks a rule up.
///
/// # Errors
/// There is no such rule.
pub fn lookup<'a>(
    ruleset: &'a Ruleset,
    kind: RuleKind,
    rule_id: &str,
) -> Result<AnyPushRuleRef<'a>, EditError> {
    ruleset.get(kind, rule_id).ok_or(EditError::NotFound)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err wants"
)]
fn not_removable(error: RemovePushRuleError) -> EditError {
    match error {
        RemovePushRuleError::ServerDefault => EditError::ServerDefault,
        _ => EditError::NotFound,
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err wants"
)]
fn not_insertable(error: InsertPushRuleError) -> EditError {
    match error {
        InsertPushRuleError::UnknownRuleId => EditError::NoSuchNeighbour,
        InsertPushRuleError::ServerDefaultRuleId => {
            EditError::InvalidRule("rule ids that begin with a dot are the server's")
        }
        InsertPushRuleError::InvalidRuleId => {
            EditError::InvalidRule("a rule id can't have slashes")
        }
        InsertPushRuleError::RelativeToServerDefaultRule => {
            EditError::InvalidRule("a rule can't be placed next to a rule of the server")
        }
        InsertPushRuleError::BeforeHigherThanAfter => {
            EditError::InvalidRule("`before` comes before `after`")
        }
        _ => EditError::InvalidRule("the rule is not acceptable"),
    }
}

fn check_rule(rule: &NewPushRule) -> Result<(), EditError> {
    if rule.rule_id().is_empty() || rule.rule_id().len() > MAX_RULE_ID_BYTES {
        return Err(EditError::InvalidRule("the rule id is empty or too long"));
    }
    let conditions = match rule {
        NewPushRule::Override(rule) | NewPushRule::Underride(rule) => rule.conditions.as_slice(),
        NewPushRule::Content(rule) => return check_pattern(&rule.pattern),
        _ => return Ok(()),
    };
    if conditions.len() > MAX_CONDITIONS {
        return Err(EditError::InvalidRule("the rule has too many conditions"));
    }
    conditions.iter().try_for_each(|condition| match condition {
        PushCondition::EventMatch(data) => check_pattern(&data.pattern),
        _ => Ok(()),
    })
}

fn check_pattern(pattern: &str) -> Result<(), EditError> {
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(EditError::InvalidRule("the pattern is too long"));
    }
    Ok(())
}
