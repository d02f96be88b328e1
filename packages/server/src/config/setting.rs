//! How a setting is declared: the `settings!` macro and the traits behind it.
//!
//! One declaration per key holds its name, type, default and documentation. The typed struct, the
//! checks, the example file and the reference are all made from it, so they cannot disagree.

use std::collections::BTreeMap;

use toml::{Table as TomlTable, Value};

use super::source::{Leaf, Problem, Source};

/// A type that one configuration key can have.
pub(in crate::config) trait Setting: Sized {
    /// True when the value must never be shown.
    const SECRET: bool = false;

    /// What separates several values of this type in one environment variable.
    const SEPARATOR: char = ',';

    /// The type as an operator reads it, for example `"duration"`.
    fn type_name() -> String;

    /// Reads a value from the file's form.
    ///
    /// # Errors
    /// A sentence for the operator that says what was expected.
    fn read(value: &Value) -> Result<Self, String>;

    /// The file's form of this value; `None` when it is unset.
    fn write(&self) -> Option<Value>;

    /// The keys of one row, for a list of tables; empty for every other type.
    fn row_keys() -> Vec<Key> {
        Vec::new()
    }

    /// Turns the text of an environment variable or of `--set` into the file's form.
    ///
    /// # Errors
    /// A sentence for the operator that says what was expected.
    fn parse(text: &str) -> Result<Option<Value>, String> {
        Ok(Some(Value::String(text.to_owned())))
    }
}

/// Everything known about one key, taken from its declaration.
#[derive(Debug, Clone)]
pub struct Key {
    /// Dotted name, for example `database.url`.
    pub path: String,
    /// The documentation of the key, one paragraph.
    pub doc: &'static str,
    /// The type as an operator reads it.
    pub type_name: String,
    /// The default in the file's form; `None` when the key is unset by default.
    pub default: Option<Value>,
    /// True when the key has to be given.
    pub required: bool,
    /// True when the value must never be shown.
    pub secret: bool,
    /// For a list of tables: the keys of one row.
    pub row: Vec<Key>,
    pub(super) parse: fn(&str) -> Result<Option<Value>, String>,
}

/// One table of the configuration with its own keys.
#[derive(Debug, Clone)]
pub struct Section {
    /// Dotted name; empty for the top level.
    pub path: String,
    /// What the section is about.
    pub about: &'static str,
    /// Its keys in the order of declaration.
    pub keys: Vec<Key>,
}

/// A struct declared with `settings!`.
pub(in crate::config) trait Table: Sized {
    /// Appends this table and those below it to `sections`.
    fn describe(path: &str, sections: &mut Vec<Section>);

    /// Builds the struct from merged values; what is wrong is added to `values.problems`.
    fn load(path: &str, values: &mut Values) -> Option<Self>;

    /// The file's form of every key that is set.
    fn store(&self) -> TomlTable;
}

/// Merged values by dotted key, and what turned out to be wrong with them.
#[derive(Debug, Default)]
pub(in crate::config) struct Values {
    /// The value of every key that a source has set.
    pub leaves: BTreeMap<String, Leaf>,
    /// What is wrong so far.
    pub problems: Vec<Problem>,
}

impl Values {
    /// The typed value of one key, or its default.
    pub(super) fn take<T: Setting>(&mut self, path: &str, default: Option<T>) -> Option<T> {
        match self.leaves.get(path) {
            None => {
                if default.is_none() {
                    let message = format!("`{path}` is required");
                    self.problems.push(Problem {
                        source: Source::Default,
                        message,
                    });
                }
                default
            }
            Some(Leaf { value: None, .. }) => default,
            Some(Leaf {
                value: Some(value),
                source,
            }) => match T::read(value) {
                Ok(value) => Some(value),
                Err(reason) => {
                    let message = format!("`{path}`: {reason}");
                    self.problems.push(Problem {
                        source: source.clone(),
                        message,
                    });
                    None
                }
            },
        }
    }
}

/// The dotted name of `name` inside `path`.
pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// Builds the description of one key; called by `settings!` only.
pub(super) fn key<T: Setting>(
    path: &str,
    name: &str,
    doc: &'static str,
    default: Option<&T>,
) -> Key {
    Key {
        path: join(path, name),
        doc: doc.trim(),
        type_name: T::type_name(),
        default: default.and_then(Setting::write),
        required: default.is_none(),
        secret: T::SECRET,
        row: T::row_keys(),
        parse: T::parse,
    }
}

/// The names in `known` that is closest to `name`, when one is close enough to be meant.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |candidate: &str| strsim::osa_distance(name, candidate);
    known
        .map(|candidate| (distance(candidate), candidate))
        .min()
        .filter(|(distance, _)| *distance <= 2.max(name.len() / 4))
        .map(|(_, candidate)| candidate)
}

/// The message for a key that does not exist.
pub(super) fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    match nearest(name, known) {
        Some(meant) => format!("unknown key `{name}`; did you mean `{meant}`?"),
        None => format!("unknown key `{name}`"),
    }
}

/// Declares one table of settings: keys with documentation, type and default (a key without a
/// default is required), then the tables below it.
macro_rules! settings {
    (
        $(#[doc = $about:literal])+
        pub struct $name:ident {
            $( $(#[doc = $doc:literal])+ $key:ident : $type:ty $(= $default:expr)? , )*
            $( tables { $( $table:ident : $table_type:ty ),+ $(,)? } )?
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone)]
        pub struct $name {
            $( $(#[doc = $doc])+ pub $key: $type, )*
            $( $(
                #[doc = concat!("The `", stringify!($table), "` table.")]
                pub $table: $table_type,
            )+ )?
        }

        impl $crate::config::setting::Table for $name {
            fn describe(path: &str, sections: &mut Vec<$crate::config::setting::Section>) {
                let keys = vec![ $({
                    let default: Option<$type> = $crate::config::setting::settings!(@default $($default)?);
                    $crate::config::setting::key::<$type>(
                        path, stringify!($key), concat!($($doc),+), default.as_ref(),
                    )
                }),* ];
                sections.push($crate::config::setting::Section {
                    path: path.to_owned(),
                    about: concat!($($about),+).trim(),
                    keys,
                });
                $( $(
                    <$table_type>::describe(
                        &$crate::config::setting::join(path, stringify!($table)), sections,
                    );
                )+ )?
            }

            fn load(path: &str, values: &mut $crate::config::setting::Values) -> Option<Self> {
                $(
                    let $key: Option<$type> = values.take(
                        &$crate::config::setting::join(path, stringify!($key)),
                        $crate::config::setting::settings!(@default $($default)?),
                    );
                )*
                $( $(
                    let $table = <$table_type>::load(
                        &$crate::config::setting::join(path, stringify!($table)), values,
                    );
                )+ )?
                Some(Self {
                    $( $key: $key?, )*
                    $( $( $table: $table?, )+ )?
                })
            }

            fn store(&self) -> toml::Table {
                let mut stored = toml::Table::new();
                $(
                    if let Some(value) = $crate::config::setting::Setting::write(&self.$key) {
                        stored.insert(stringify!($key).to_owned(), value);
                    }
                )*
                $( $(
                    stored.insert(
                        stringify!($table).to_owned(), toml::Value::Table(self.$table.store()),
                    );
                )+ )?
                stored
            }
        }
    };
    (@default) => { None };
    (@default $default:expr) => { Some($default) };
}
pub(crate) use settings;
