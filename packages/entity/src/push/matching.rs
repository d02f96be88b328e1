//! Which rule of a rule set matches first.

use std::ops::RangeBounds;

use ruma::{
    UInt, UserId,
    push::{Action, AnyPushRuleRef, ConditionalPushRule, PushCondition, Ruleset},
};

use super::{PushEvent, flat::Flat};
use crate::glob::{Folded, Glob};

/// The most rules of one user that are looked at for one event. Nobody who reads push rules on a
/// screen has as many; see also [`super::edit::MAX_RULES`], which bounds what is stored.
const MAX_RULES_EVALUATED: usize = 2 * super::edit::MAX_RULES;

/// The actions of the first rule that matches, in the order of priority.
pub(super) fn matching_actions<'r>(
    ruleset: &'r Ruleset,
    event: &PushEvent<'_>,
    user: &UserId,
) -> &'r [Action] {
    ruleset
        .iter()
        .take(MAX_RULES_EVALUATED)
        .find(|rule| rule_matches(*rule, event, user))
        .map_or(&[], AnyPushRuleRef::actions)
}

fn rule_matches(rule: AnyPushRuleRef<'_>, event: &PushEvent<'_>, user: &UserId) -> bool {
    if !rule.enabled() {
        return false;
    }
    match rule {
        AnyPushRuleRef::Override(rule) | AnyPushRuleRef::Underride(rule) => {
            conditions_match(rule, event, user)
        }
        AnyPushRuleRef::Content(rule) => {
            let rests = rule.rule_id == ".m.rule.contains_user_name" && event.flat.has_mentions();
            !rests && field_matches(event, "content.body", &rule.pattern)
        }
        AnyPushRuleRef::Room(rule) => rule.rule_id == event.pdu.room_id(),
        AnyPushRuleRef::Sender(rule) => rule.rule_id == event.pdu.sender(),
        // A kind of rule that Ruma gains later is not one that we evaluate.
        _ => false,
    }
}

fn conditions_match(rule: &ConditionalPushRule, event: &PushEvent<'_>, user: &UserId) -> bool {
    // The rules of old about names in the text rest when the event says whom it mentions.
    let rests = matches!(
        rule.rule_id.as_str(),
        ".m.rule.contains_display_name" | ".m.rule.roomnotif"
    ) && event.flat.has_mentions();
    !rests
        && rule
            .conditions
            .iter()
            .all(|condition| condition_matches(condition, event, user))
}

fn condition_matches(condition: &PushCondition, event: &PushEvent<'_>, user: &UserId) -> bool {
    match condition {
        PushCondition::EventMatch(data) => field_matches(event, &data.key, &data.pattern),
        #[expect(deprecated, reason = "old clients still have rules with it")]
        PushCondition::ContainsDisplayName => event.flat.body().is_some_and(|body| {
            let name = event.display_name(user);
            !name.is_empty() && Glob::literal(&name).matches_words(body)
        }),
        PushCondition::RoomMemberCount(data) => {
            UInt::new(event.room.joined_count).is_some_and(|count| data.is.contains(&count))
        }
        PushCondition::SenderNotificationPermission(data) => event
            .power()
            .is_some_and(|power| power.may_notify(event.pdu.sender(), data.key.as_str())),
        PushCondition::EventPropertyIs(data) => {
            matches!(event.flat.get(&data.key), Some(Flat::Scalar(value)) if *value == data.value)
        }
        PushCondition::EventPropertyContains(data) => {
            matches!(event.flat.get(&data.key), Some(Flat::Array(values))
                if values.contains(&data.value))
        }
        // A condition that nobody here knows never matches.
        _ => false,
    }
}

/// `event_match`: words within the body, or all of any other field.
fn field_matches(event: &PushEvent<'_>, key: &str, pattern: &str) -> bool {
    if key == "content.body" {
        return event
            .flat
            .body()
            .is_some_and(|body| Glob::new(pattern).matches_words(body));
    }
    let Some(value) = event.flat.text(key) else {
        return false;
    };
    // The server's rules compare plain words, for every event and user.
    if pattern.is_ascii() && value.is_ascii() && !pattern.contains(['*', '?']) {
        return pattern.eq_ignore_ascii_case(value);
    }
    Glob::new(pattern).matches(&Folded::new(value))
}
