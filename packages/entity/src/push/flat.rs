//! An event as push conditions see it: a flat map from dotted path to value.

use std::{collections::HashMap, sync::OnceLock};

use ruma::{UserId, push::ScalarJsonValue};
use serde_json::Value;

use crate::{glob::Folded, pdu::Pdu};

/// A value at a path.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Flat {
    /// A string, number, boolean or null.
    Scalar(ScalarJsonValue),
    /// The scalars of an array.
    Array(Vec<ScalarJsonValue>),
}

/// The flattened event.
#[derive(Debug)]
pub(super) struct FlatEvent {
    paths: HashMap<String, Flat>,
    has_mentions: bool,
    body: OnceLock<Option<Folded>>,
}

const MENTIONS: &str = "content.m\\.mentions";
const MENTIONED_USERS: &str = "content.m\\.mentions.user_ids";

impl FlatEvent {
    pub(super) fn new(pdu: &Pdu) -> Self {
        let mut paths = HashMap::with_capacity(16);
        // A PDU was parsed before, so that this can't fail.
        let value: Value = serde_json::from_str(pdu.json()).unwrap_or_default();
        flatten(value, String::new(), &mut paths);
        // Conditions name the room by this path, in every room version.
        let room_id = ScalarJsonValue::String(pdu.room_id().to_string());
        paths.insert("room_id".to_owned(), Flat::Scalar(room_id));
        let has_mentions = paths
            .keys()
            .any(|path| path.strip_prefix(MENTIONS).is_some_and(is_end_of_key))
            || has_empty_mentions(pdu);
        Self {
            paths,
            has_mentions,
            body: OnceLock::new(),
        }
    }

    pub(super) fn get(&self, path: &str) -> Option<&Flat> {
        self.paths.get(path)
    }

    pub(super) fn text(&self, path: &str) -> Option<&str> {
        match self.get(path)? {
            Flat::Scalar(value) => value.as_str(),
            Flat::Array(_) => None,
        }
    }

    /// `content.body`, folded once for all rules.
    pub(super) fn body(&self) -> Option<&Folded> {
        self.body
            .get_or_init(|| self.text("content.body").map(Folded::new))
            .as_ref()
    }

    /// Does the event say whom it mentions, so that the old rules about names in the text rest?
    pub(super) fn has_mentions(&self) -> bool {
        self.has_mentions
    }

    /// Does it mention this user?
    pub(super) fn mentions(&self, user: &UserId) -> bool {
        matches!(self.get(MENTIONED_USERS), Some(Flat::Array(users))
            if users.iter().any(|value| value.as_str() == Some(user.as_str())))
    }
}

fn is_end_of_key(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('.')
}

/// An empty `m.mentions` has no path of its own.
fn has_empty_mentions(pdu: &Pdu) -> bool {
    #[derive(serde::Deserialize)]
    struct Content {
        #[serde(rename = "m.mentions")]
        mentions: Option<serde::de::IgnoredAny>,
    }
    pdu.content().get().contains("m.mentions")
        && pdu
            .content_as::<Content>()
            .is_some_and(|content| content.mentions.is_some())
}

/// The depth is bounded: the parser refuses deeper nesting than 128.
fn flatten(value: Value, path: String, paths: &mut HashMap<String, Flat>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let key = escape(&key);
                let path = if path.is_empty() {
                    key
                } else {
                    format!("{path}.{key}")
                };
                flatten(value, path, paths);
            }
        }
        Value::Array(values) => {
            let scalars = values.into_iter().filter_map(scalar).collect();
            paths.insert(path, Flat::Array(scalars));
        }
        value => {
            if let Some(value) = scalar(value) {
                paths.insert(path, Flat::Scalar(value));
            }
        }
    }
}

fn scalar(value: Value) -> Option<ScalarJsonValue> {
    Some(match value {
        Value::Null => ScalarJsonValue::Null,
        Value::Bool(value) => ScalarJsonValue::Bool(value),
        Value::Number(number) => ScalarJsonValue::Integer(ruma::Int::new(number.as_i64()?)?),
        Value::String(value) => ScalarJsonValue::String(value),
        Value::Array(_) | Value::Object(_) => return None,
    })
}

/// Dots and backslashes within a key are escaped.
/// [Spec](https://spec.matrix.org/v1.19/appendices/#dot-separated-property-paths)
fn escape(key: &str) -> String {
    if key.contains(['.', '\\']) {
        key.replace('\\', "\\\\").replace('.', "\\.")
    } else {
        key.to_owned()
    }
}
