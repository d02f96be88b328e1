use matryx_entity::canonical::{CanonicalError, loose_text, parse_object, to_text};
use proptest::prelude::*;
use ruma::{CanonicalJsonObject, CanonicalJsonValue, Int};
use serde_json::json;

fn values() -> impl Strategy<Value = CanonicalJsonValue> {
    let text = prop_oneof!["\\PC{0,12}", any::<String>()];
    let leaf = prop_oneof![
        Just(CanonicalJsonValue::Null),
        any::<bool>().prop_map(CanonicalJsonValue::Bool),
        (-9_007_199_254_740_991_i64..=9_007_199_254_740_991)
            .prop_map(|number| CanonicalJsonValue::Integer(Int::new(number).unwrap())),
        text.prop_map(CanonicalJsonValue::String),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(CanonicalJsonValue::Array),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(CanonicalJsonValue::Object),
        ]
    })
}

proptest! {
    #[test]
    fn survives_its_text(object in prop::collection::btree_map(any::<String>(), values(), 0..6)) {
        let text = to_text(&object);
        prop_assert_eq!(loose_text(text.as_bytes()), Some(text.clone()));
        prop_assert_eq!(&parse_object(&text).unwrap(), &object);
        // Ruma reads the same, and what it writes is the same.
        let theirs: CanonicalJsonObject = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&theirs, &object);
        prop_assert_eq!(CanonicalJsonValue::Object(theirs).to_string(), text);
    }

    #[test]
    fn spacing_and_order_do_not_matter(object in prop::collection::btree_map("[a-z]{1,4}", values(), 0..6)) {
        let value = serde_json::to_value(&object).unwrap();
        let reversed: Vec<String> = object
            .iter()
            .rev()
            .map(|(key, value)| {
                let value = serde_json::to_string_pretty(value).unwrap();
                format!(" {} :\n{value} ", json!(key))
            })
            .collect();
        let text = format!("{{{}}}", reversed.join(","));
        prop_assert_eq!(serde_json::to_value(parse_object(&text).unwrap()).unwrap(), value);
    }

    #[test]
    fn no_text_is_a_panic(text in "[\\[\\]{}\",:0-9.eE+truefalsn\\\\-]{0,60}") {
        let _ = parse_object(&text);
    }
}

#[test]
fn writes_the_examples_of_the_spec() {
    // https://spec.matrix.org/v1.19/appendices/#examples
    for (input, output) in [
        ("{}", "{}"),
        (
            "{\"one\": 1,\n \"two\": \"Two\"}",
            r#"{"one":1,"two":"Two"}"#,
        ),
        (r#"{"b": "2", "a": "1"}"#, r#"{"a":"1","b":"2"}"#),
        (
            r#"{"auth": {"success": true, "mxid": "@john.doe:example.com", "profile": {"display_name": "John Doe", "three_pids": [{"medium": "email", "address": "john.doe@example.org"}, {"medium": "msisdn", "address": "123456789"}]}}}"#,
            r#"{"auth":{"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","three_pids":[{"address":"john.doe@example.org","medium":"email"},{"address":"123456789","medium":"msisdn"}]},"success":true}}"#,
        ),
        (r#"{"a": "日本語"}"#, r#"{"a":"日本語"}"#),
        (r#"{"本": 2, "日": 1}"#, r#"{"日":1,"本":2}"#),
        (r#"{"a": "\u65E5"}"#, r#"{"a":"日"}"#),
        (r#"{"a": null}"#, r#"{"a":null}"#),
        // Control characters are escaped the shortest way, all else is itself.
        (
            r#"{"a": "\u0000\u001f\u0008\u007f\/\u2028"}"#,
            "{\"a\":\"\\u0000\\u001f\\b\u{7f}/\u{2028}\"}",
        ),
        // The last of several equal keys wins.
        (r#"{"a": 1, "a": 2}"#, r#"{"a":2}"#),
    ] {
        assert_eq!(to_text(&parse_object(input).unwrap()), output);
    }
}

#[test]
fn refuses_numbers_that_are_no_small_integers() {
    for number in [
        "1.0",
        "1.5",
        "1e3",
        "1E3",
        "-0",
        "-0.0",
        "9007199254740992",
        "-9007199254740992",
        "18446744073709551616",
        "1e400",
    ] {
        for text in [
            format!("{{\"a\":{number}}}"),
            format!("{{\"a\":[{{\"b\":{number}}}]}}"),
        ] {
            let error = parse_object(&text).unwrap_err();
            let bad_json = matches!(error, CanonicalError::NotCanonical(_));
            // A number that does not even fit a float is a fault of the text.
            assert!(bad_json || number == "1e400", "{text}: {error:?}");
        }
    }
    for number in ["0", "9007199254740991", "-9007199254740991"] {
        parse_object(&format!("{{\"a\":{number}}}")).unwrap();
    }
}

#[test]
fn tells_broken_text_from_forbidden_values() {
    for text in [
        "",
        "{",
        "{\"a\":}",
        "{\"a\":NaN}",
        "{\"a\":Infinity}",
        "{\"a\":\"\\ud800\"}",
        "{}x",
        "{\"a\":01}",
        "{\"a\":1,}",
    ] {
        let error = parse_object(text).unwrap_err();
        assert!(
            matches!(error, CanonicalError::NotJson(_)),
            "{text}: {error:?}"
        );
    }
    for text in ["[]", "1", "\"a\"", "null"] {
        let error = parse_object(text).unwrap_err();
        assert!(
            matches!(error, CanonicalError::NotCanonical(_)),
            "{text}: {error:?}"
        );
    }
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
    assert!(matches!(
        parse_object(&deep),
        Err(CanonicalError::NotJson(_))
    ));
}

#[test]
fn numbers_of_other_servers_are_written_as_python_writes_them() {
    // What Python's `json.dumps(json.loads(number))` gives.
    for (number, python) in [
        ("0.5", "0.5"),
        ("-0.5", "-0.5"),
        ("1.0", "1.0"),
        ("1e3", "1000.0"),
        ("0.1", "0.1"),
        ("0.30000000000000004", "0.30000000000000004"),
        ("123456789.125", "123456789.125"),
        ("0.0001", "0.0001"),
        ("0.00001", "1e-05"),
        ("1.5e-7", "1.5e-07"),
        ("1e15", "1000000000000000.0"),
        ("1e16", "1e+16"),
        ("1.25e22", "1.25e+22"),
        ("1e-300", "1e-300"),
        ("1e300", "1e+300"),
        ("9007199254740992", "9007199254740992"),
        ("18446744073709551615", "18446744073709551615"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("7", "7"),
    ] {
        let text = format!(r#"{{ "b": [{number}, null, true], "a": {{"n":{number}}} }}"#);
        let expected = format!(r#"{{"a":{{"n":{python}}},"b":[{python},null,true]}}"#);
        assert_eq!(loose_text(text.as_bytes()), Some(expected));
    }
    for nothing in ["", "[]", "7", "{", "{} {}"] {
        assert_eq!(loose_text(nothing.as_bytes()), None);
    }
}
