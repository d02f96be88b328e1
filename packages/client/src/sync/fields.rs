//! `event_fields` of a filter: only some fields of each event.
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3useruseridfilter)

use ruma::serde::Raw;
use serde_json::{Map, Value, value::RawValue};

/// How many fields of a filter are looked at.
const MAX_FIELDS: usize = 100;

/// The event with only the named fields; `.` leads into an object, `\.` is a dot in a name.
pub(crate) fn select_fields<T>(event: Raw<T>, fields: &[String]) -> Raw<T> {
    let Ok(event) = serde_json::from_str::<Value>(event.json().get()) else {
        return event;
    };
    let mut selected = Map::new();
    for field in fields.iter().take(MAX_FIELDS) {
        copy(&event, &mut selected, &path(field));
    }
    let text = Value::Object(selected).to_string();
    let json = RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned());
    Raw::from_json(json)
}

fn path(field: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut chars = field.chars();
    while let Some(char) = chars.next() {
        match char {
            '.' => parts.push(String::new()),
            '\\' => push_last(&mut parts, chars.next().unwrap_or('\\')),
            other => push_last(&mut parts, other),
        }
    }
    parts
}

fn push_last(parts: &mut [String], char: char) {
    if let Some(last) = parts.last_mut() {
        last.push(char);
    }
}

fn copy(from: &Value, to: &mut Map<String, Value>, path: &[String]) {
    let Some((name, rest)) = path.split_first() else {
        return;
    };
    let Some(value) = from.get(name) else { return };
    if rest.is_empty() {
        to.insert(name.clone(), value.clone());
    } else if value.is_object() {
        let inner = to
            .entry(name.clone())
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(inner) = inner {
            copy(value, inner, rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn select(fields: &[&str]) -> Value {
        let event = Raw::<Value>::from_json_string(
            json!({"type": "t", "content": {"body": "b", "m.x": {"y": 1}}, "sender": "s"})
                .to_string(),
        )
        .unwrap();
        let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
        select_fields(event, &fields).deserialize().unwrap()
    }

    #[test]
    fn only_the_named_fields_remain() {
        assert_eq!(select(&["type", "nothing"]), json!({"type": "t"}));
        assert_eq!(select(&["content.body"]), json!({"content": {"body": "b"}}));
        assert_eq!(
            select(&[r"content.m\.x.y", "content.body"]),
            json!({"content": {"body": "b", "m.x": {"y": 1}}})
        );
        assert_eq!(select(&["type.x"]), json!({}));
    }
}
