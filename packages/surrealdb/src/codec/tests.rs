//! Values that go to the database and come back.

use std::collections::BTreeMap;

use matryx_entity::{key, stored::Key};
use serde::{Deserialize, Serialize};
use surrealdb_types::{RecordIdKey, Value};

use super::{from_value, record_key, to_row, to_value};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Shape {
    Unit,
    Newtype(u8),
    Tuple(i64, String),
    Struct { inner: Option<bool> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "k", rename_all = "snake_case")]
enum Tagged {
    One { number: i64 },
    Two { pairs: Vec<(u64, String)> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Everything {
    small: u8,
    large: u64,
    negative: i64,
    float: f64,
    text: String,
    letter: char,
    none: Option<i64>,
    some: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    skipped: Option<i64>,
    list: Vec<Option<i64>>,
    map: BTreeMap<String, Shape>,
    unit: (),
    #[serde(flatten)]
    tagged: Tagged,
}

fn everything() -> Everything {
    Everything {
        small: u8::MAX,
        large: i64::MAX.unsigned_abs(),
        negative: i64::MIN,
        float: 0.1,
        text: "\0 ⟨⟩ \u{10ffff}".to_owned(),
        letter: '🏳',
        none: None,
        some: Some(0),
        skipped: None,
        list: vec![Some(1), None, Some(3)],
        map: BTreeMap::from([
            ("a".to_owned(), Shape::Unit),
            ("b".to_owned(), Shape::Newtype(1)),
            ("c".to_owned(), Shape::Tuple(-1, String::new())),
            ("d".to_owned(), Shape::Struct { inner: None }),
            (String::new(), Shape::Struct { inner: Some(true) }),
        ]),
        unit: (),
        tagged: Tagged::Two {
            pairs: vec![(1, "x".to_owned())],
        },
    }
}

#[test]
fn everything_comes_back_as_it_went() {
    let value = to_value(&everything()).unwrap();
    assert_eq!(from_value::<Everything>(value).unwrap(), everything());
}

#[test]
fn a_field_without_a_value_has_no_column() {
    let row = to_row(&everything()).unwrap();
    assert!(!row.contains_key("none"));
    assert!(row.contains_key("some"));
}

#[test]
fn numbers_beyond_63_bits_are_refused() {
    let error = to_value(&u64::MAX).unwrap_err();
    assert!(error.to_string().contains("does not fit"), "{error}");
}

#[test]
fn only_structs_are_records() {
    assert!(to_row(&1).is_err());
    assert!(to_row(&vec![1]).is_err());
}

#[test]
fn maps_have_string_keys() {
    assert!(to_value(&BTreeMap::from([(1, 1)])).is_err());
}

#[test]
fn a_row_of_another_shape_is_an_error() {
    let row = to_value(&BTreeMap::from([("number", "x")])).unwrap();
    assert!(from_value::<Everything>(row.clone()).is_err());
    assert!(from_value::<Shape>(row).is_err());
    assert!(from_value::<Shape>(Value::Null).is_err());
    assert!(from_value::<String>(to_value(&1).unwrap()).is_err());
    assert!(from_value::<u8>(to_value(&256).unwrap()).is_err());
    assert!(from_value::<u64>(to_value(&-1).unwrap()).is_err());
}

#[test]
fn a_key_of_one_part_is_a_plain_id() {
    assert_eq!(record_key(&key![7]), RecordIdKey::Number(7));
    assert_eq!(record_key(&key!["7"]), RecordIdKey::String("7".to_owned()));
    let pair: Key = key!["a", 7];
    assert!(matches!(record_key(&pair), RecordIdKey::Array(parts) if parts.len() == 2));
}
