//! Merges the sources: flags over environment over file over defaults.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use super::{
    Config, DEVELOPER_SERVER_NAME, check, file,
    setting::{Key, Section, Table, Values, unknown},
    source::{ConfigError, Leaf, Problem, Source},
};

/// The variables of the environment that belong to the configuration begin with this.
const PREFIX: &str = "MATRYX_";

/// Names the configuration file when no flag does.
pub(super) const FILE_VARIABLE: &str = "MATRYX_CONFIG";

/// One value from the command line.
#[derive(Debug, Clone)]
pub struct Flag {
    /// The flag, as the operator wrote it.
    pub name: &'static str,
    /// The key that it sets.
    pub key: String,
    /// The value as text.
    pub text: String,
}

/// Where to read the configuration from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file named by `--config`.
    pub file: Option<PathBuf>,
    /// The whole environment; variables that are not ours are passed over.
    pub environment: Vec<(String, String)>,
    /// Flags in the order in which they were given; a later one wins.
    pub flags: Vec<Flag>,
}

/// A configuration and what set each of its values.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration, complete and checked.
    pub config: Config,
    /// The keys that a source has set.
    pub set: BTreeMap<String, Source>,
    /// True when nothing at all was configured: a developer's first look.
    pub developer: bool,
}

/// All sections with their keys, in the order of the documentation.
pub fn sections() -> Vec<Section> {
    let mut sections = Vec::new();
    Config::describe("", &mut sections);
    sections
}

/// Reads and merges all sources and checks the result.
///
/// # Errors
/// Everything that is wrong, each with its place: unknown keys, values of the wrong type, keys that
/// contradict each other, an unreadable file.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
    let sections = sections();
    let mut values = Values::default();
    let named = sources
        .environment
        .iter()
        .find(|(name, _)| name == FILE_VARIABLE);
    let named = named.map(|(_, path)| PathBuf::from(path));
    if let Some(path) = sources.file.clone().or(named) {
        add_file(&path, &sections, &mut values);
    }
    add_environment(&sources.environment, &sections, &mut values);
    add_flags(&sources.flags, &sections, &mut values);

    let developer = values.leaves.is_empty() && values.problems.is_empty();
    if developer {
        let value = toml::Value::String(DEVELOPER_SERVER_NAME.to_owned());
        let leaf = Leaf {
            value: Some(value),
            source: Source::Default,
        };
        values.leaves.insert("server_name".to_owned(), leaf);
    }

    let config = Config::load("", &mut values);
    if let Some(config) = &config {
        check::check(config, &mut values);
    }
    let set = values
        .leaves
        .into_iter()
        .map(|(path, leaf)| (path, leaf.source))
        .collect();
    match config {
        Some(config) if values.problems.is_empty() => Ok(Loaded {
            config,
            set,
            developer,
        }),
        _ => Err(ConfigError {
            problems: values.problems,
        }),
    }
}

fn add_file(path: &Path, sections: &[Section], values: &mut Values) {
    match fs::read_to_string(path) {
        Ok(text) => {
            let (leaves, problems) = file::read(path, &text, sections);
            values.leaves.extend(leaves);
            values.problems.extend(problems);
        }
        Err(error) => {
            let message = format!(
                "cannot read the configuration file {}: {error}",
                path.display()
            );
            values.problems.push(Problem {
                source: Source::Default,
                message,
            });
        }
    }
}

fn add_environment(environment: &[(String, String)], sections: &[Section], values: &mut Values) {
    for (name, text) in environment {
        let Some(rest) = name.strip_prefix(PREFIX).filter(|_| name != FILE_VARIABLE) else {
            continue;
        };
        let source = Source::Environment { name: name.clone() };
        let path = rest.replace("__", ".").to_lowercase();
        if let Some(key) = find(sections, &path) {
            add_text(key, text, source, values);
            continue;
        }
        let secret = path
            .strip_suffix("_file")
            .and_then(|path| find(sections, path));
        let Some(key) = secret.filter(|key| key.secret) else {
            let message = unknown_variable(name, sections);
            values.problems.push(Problem { source, message });
            continue;
        };
        match fs::read_to_string(text) {
            Ok(secret) => add_text(key, secret.trim_end_matches(['\r', '\n']), source, values),
            Err(error) => {
                values.problems.push(Problem {
                    source,
                    message: format!("{text}: {error}"),
                });
            }
        }
    }
}

fn add_flags(flags: &[Flag], sections: &[Section], values: &mut Values) {
    for flag in flags {
        let source = Source::Flag { name: flag.name };
        if let Some(key) = find(sections, &flag.key) {
            add_text(key, &flag.text, source, values);
        } else {
            let known = keys(sections).map(|key| key.path.as_str());
            values.problems.push(Problem {
                source,
                message: unknown(&flag.key, known),
            });
        }
    }
}

fn add_text(key: &Key, text: &str, source: Source, values: &mut Values) {
    match (key.parse)(text) {
        Ok(value) => {
            values
                .leaves
                .insert(key.path.clone(), Leaf { value, source });
        }
        Err(reason) => {
            let message = format!("`{}`: {reason}", key.path);
            values.problems.push(Problem { source, message });
        }
    }
}

fn keys(sections: &[Section]) -> impl Iterator<Item = &Key> {
    sections.iter().flat_map(|section| &section.keys)
}

fn find<'a>(sections: &'a [Section], path: &str) -> Option<&'a Key> {
    keys(sections).find(|key| key.path == path)
}

/// The variable that sets the key at `path`.
pub(super) fn variable(path: &str) -> String {
    format!("{PREFIX}{}", path.replace('.', "__").to_uppercase())
}

fn unknown_variable(name: &str, sections: &[Section]) -> String {
    let variables = keys(sections)
        .map(|key| variable(&key.path))
        .collect::<Vec<_>>();
    unknown(name, variables.iter().map(String::as_str))
}

#[cfg(test)]
mod tests;
