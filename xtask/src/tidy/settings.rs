//! Configuration: every key that an operator can set has an effect.

use super::source::Source;

/// Keys that operators can set already although what they rule is not served yet. The
/// documentation of each says so.
const RESERVED: [&str; 1] = ["legacy_unauthenticated"];

/// Keys that nothing outside of the configuration reads.
pub(super) fn check(sources: &[Source]) -> Vec<String> {
    let within = |source: &&Source| {
        source.path == "packages/server/src/config.rs"
            || source.path.starts_with("packages/server/src/config/")
    };
    let declared = sources
        .iter()
        .filter(within)
        .flat_map(|source| keys(&source.text).map(|key| (source.path.as_str(), key)));
    let readers = sources
        .iter()
        .filter(|source| source.path.starts_with("packages/server/src/"));
    let readers =
        readers.filter(|source| !within(source) || source.path.ends_with("/config/store.rs"));
    let code = readers
        .flat_map(|source| source.shipped().map(|(_, line)| line.trim()))
        .collect::<Vec<_>>()
        .join("\n");
    declared
        .filter(|(_, key)| !is_read(&code, key) && !RESERVED.contains(key))
        .map(|(path, key)| format!("{path}: nothing reads the key `{key}`"))
        .collect()
}

/// The keys that a file declares in `settings!`.
fn keys(text: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    text.lines().filter_map(move |line| {
        if line.starts_with("settings! {") {
            inside = true;
        } else if line.starts_with('}') {
            inside = false;
        }
        let (name, _) = line.strip_prefix("        ")?.split_once(": ")?;
        let plain =
            |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
        (inside && name.chars().all(plain)).then_some(name)
    })
}

/// True when the code reads a field of this name.
fn is_read(code: &str, key: &str) -> bool {
    let field = format!(".{key}");
    code.match_indices(&field).any(|(index, _)| {
        let after = code
            .get(index + field.len()..)
            .and_then(|rest| rest.chars().next());
        after.is_none_or(|letter| !letter.is_alphanumeric() && letter != '_' && letter != '(')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_key_that_nothing_reads_is_found() {
        let declaration = "settings! {\n    pub struct Log {\n        /// Level: a word.\n        level: String = x,\n        format: u32 = 1,\n    }\n}\n";
        let sources = [
            source("packages/server/src/config/log.rs", declaration),
            source(
                "packages/server/src/telemetry.rs",
                "start(&log.level);\nlog.format(1);",
            ),
        ];
        let findings = check(&sources);
        assert_eq!(
            findings,
            ["packages/server/src/config/log.rs: nothing reads the key `format`"]
        );
    }
}
