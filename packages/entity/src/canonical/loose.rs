//! The text of JSON that is not canonical, as servers sign it nevertheless.
//!
//! A client may put a fraction into a message to a device, and Synapse signs and sends the request
//! that carries it. If such requests were not believed, one of them would hold up all that waits
//! behind it.

use std::fmt::Write as _;

use serde_json::{Map, Number, Value};

/// Writes an object like canonical JSON, but with numbers that are none of canonical JSON: in the
/// form that Python gives them, for it is Python that signs such objects. None for what is no object.
pub fn loose_text(json: &[u8]) -> Option<String> {
    let object: Map<String, Value> = serde_json::from_slice(json).ok()?;
    let mut text = String::with_capacity(json.len());
    write_object(&object, &mut text);
    Some(text)
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Number(number) => write_number(number, text),
        Value::Array(values) => {
            text.push('[');
            for (nth, value) in values.iter().enumerate() {
                if nth > 0 {
                    text.push(',');
                }
                write(value, text);
            }
            text.push(']');
        }
        Value::Object(object) => write_object(object, text),
        plain => text.push_str(&plain.to_string()),
    }
}

/// The keys are in order already: a map keeps them so.
fn write_object(object: &Map<String, Value>, text: &mut String) {
    text.push('{');
    for (nth, (key, value)) in object.iter().enumerate() {
        if nth > 0 {
            text.push(',');
        }
        text.push_str(&Value::from(key.as_str()).to_string());
        text.push(':');
        write(value, text);
    }
    text.push('}');
}

/// Whole numbers as they are. Rust and Python write fractions with the same digits, and change to
/// the form with an exponent at the same sizes; but Python gives that a sign and two digits.
fn write_number(number: &Number, text: &mut String) {
    let fraction = number.as_f64().filter(|_| number.is_f64());
    let Some(fraction) = fraction else {
        text.push_str(&number.to_string());
        return;
    };
    let written = format!("{fraction:?}");
    match written.split_once('e') {
        None => text.push_str(&written),
        Some((digits, exponent)) => {
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ('-', exponent),
                None => ('+', exponent),
            };
            // Writing to a string can't fail.
            let _written = write!(text, "{digits}e{sign}{exponent:0>2}");
        }
    }
}
