use super::*;
use crate::{
    config::{Sources, load},
    generated::generated,
};

/// The example with every default brought in.
fn uncommented() -> String {
    let keep = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(' ') || rest.ends_with('=') => None,
        // Rows of lists of tables are examples, not defaults.
        Some(rest) if rest.starts_with("[[") || rest.ends_with("unset") => None,
        Some(rest) => Some(rest.to_owned()),
        None => Some(line.to_owned()),
    };
    example()
        .lines()
        .filter_map(keep)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_example_is_valid_as_it_stands() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), example()).unwrap();
    let sources = Sources {
        file: Some(file.path().to_owned()),
        ..Sources::default()
    };
    assert_eq!(load(&sources).unwrap().config.server_name, "example.org");
}

#[test]
fn every_key_stands_once_in_example_and_reference() {
    let example = uncommented();
    let reference = reference();
    for key in sections().iter().flat_map(|section| &section.keys) {
        assert!(
            !key.doc.is_empty() && key.doc.ends_with('.'),
            "{} needs a sentence",
            key.path
        );
        assert_eq!(
            reference.matches(&format!("| `{}` |", key.path)).count(),
            1,
            "{}",
            key.path
        );
        if key.default.is_some() {
            let assignment = format!("\n{} = ", last(&key.path));
            assert!(
                example.contains(&assignment),
                "{} is missing in the example",
                key.path
            );
        }
    }
}

#[test]
fn explains_a_key_and_a_section() {
    let text = explain("registration.shared_secret").unwrap();
    assert!(
        text.contains("MATRYX_REGISTRATION__SHARED_SECRET (or the same with _FILE"),
        "{text}"
    );
    assert!(text.contains("default      unset"), "{text}");
    assert!(
        explain("registration")
            .unwrap()
            .contains("registration.enabled")
    );
    assert!(
        explain("registration.terms")
            .unwrap()
            .contains("each row: title")
    );
    let error = explain("registration.flow").unwrap_err();
    assert!(
        error.contains("did you mean `registration.flows`?"),
        "{error}"
    );
}

#[test]
fn generated_configuration_files_are_fresh() {
    generated("config/matryx.example.toml", &example());
    generated("docs/config.md", &reference());
}
