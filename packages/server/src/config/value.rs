//! The types that configuration keys can have, and how each is written by an operator.

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use ruma::{OwnedServerName, OwnedUserId, RoomVersionId};
use toml::Value;

use super::{
    setting::{Key, Section, Setting, Table, Values, unknown},
    source::{Leaf, Source},
};

/// Text that is never printed, neither by `Debug` nor by `config show`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself; the caller must not log it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(redacted)")
    }
}

/// A size in bytes, written `"64 MiB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

impl ByteSize {
    /// A size of `count` bytes.
    pub const fn bytes(count: u64) -> Self {
        Self(count)
    }

    /// A size of `count` KiB.
    pub const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    /// A size of `count` MiB.
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// The number of bytes.
    pub const fn as_bytes(self) -> u64 {
        self.0
    }

    /// The number of bytes as a length in memory; the largest length when it does not fit.
    pub fn as_len(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// So many actions in so much time, written `"10 per 1m"`: a bucket of `count` that refills
/// evenly over `period`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Actions that are allowed at once, and within each period.
    pub count: u32,
    /// The time in which an empty bucket fills.
    pub period: Duration,
}

impl Rate {
    /// `count` actions per `seconds`.
    pub const fn per(count: u32, seconds: u64) -> Self {
        Self {
            count,
            period: Duration::from_secs(seconds),
        }
    }
}

const DURATION_UNITS: [(&str, u64); 6] = [
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

const SIZE_UNITS: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// Splits `"30 s"` into its number and its unit.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let digits = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit.trim()))
}

fn parse_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*factor)
}

fn write_unit(number: u64, units: &[(&str, u64)], space: &str) -> String {
    let fits = |factor: u64| number.is_multiple_of(factor) && number >= factor;
    let (name, factor) = units
        .iter()
        .find(|(_, factor)| fits(*factor))
        .or(units.last())
        .unwrap_or(&("", 1));
    format!("{}{space}{name}", number / factor)
}

pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    parse_unit(text, &DURATION_UNITS)
        .map(Duration::from_millis)
        .ok_or_else(|| format!("`{text}` is not a duration such as \"30s\", \"5m\" or \"7d\""))
}

fn write_duration(duration: Duration) -> String {
    let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if milliseconds == 0 {
        "0s".to_owned()
    } else {
        write_unit(milliseconds, &DURATION_UNITS, "")
    }
}

fn text_of(value: &Value) -> Result<&str, String> {
    value
        .as_str()
        .ok_or_else(|| format!("expected text in quotes, found {}", value.type_str()))
}

impl Setting for String {
    fn type_name() -> String {
        "text".to_owned()
    }
    fn read(value: &Value) -> Result<Self, String> {
        text_of(value).map(str::to_owned)
    }
    fn write(&self) -> Option<Value> {
        Some(Value::String(self.clone()))
    }
}

impl Setting for Secret {
    const SECRET: bool = true;
    fn type_name() -> String {
        "secret text".to_owned()
    }
    fn read(value: &Value) -> Result<Self, String> {
        match text_of(value)? {
            "" => Err("must not be empty".to_owned()),
            text => Ok(Self::new(text)),
        }
    }
    fn write(&self) -> Option<Value> {
        Some(Value::String("(redacted)".to_owned()))
    }
}

impl Setting for bool {
    fn type_name() -> String {
        "true or false".to_owned()
    }
    fn read(value: &Value) -> Result<Self, String> {
        value
            .as_bool()
            .ok_or_else(|| format!("expected true or false, found {value}"))
    }
    fn write(&self) -> Option<Value> {
        Some(Value::Boolean(*self))
    }
    fn parse(text: &str) -> Result<Option<Value>, String> {
        match text.trim() {
            "true" => Ok(Some(Value::Boolean(true))),
            "false" => Ok(Some(Value::Boolean(false))),
            other => Err(format!("expected true or false, found `{other}`")),
        }
    }
}

impl Setting for u32 {
    fn type_name() -> String {
        "number".to_owned()
    }
    fn read(value: &Value) -> Result<Self, String> {
        let number = value
            .as_integer()
            .and_then(|number| Self::try_from(number).ok());
        number.ok_or_else(|| format!("expected a whole number from 0 up, found {value}"))
    }
    fn write(&self) -> Option<Value> {
        Some(Value::Integer(i64::from(*self)))
    }
    fn parse(text: &str) -> Result<Option<Value>, String> {
        let number = text.trim().parse::<i64>();
        let number = number.map_err(|error| format!("`{text}` is not a whole number: {error}"))?;
        Ok(Some(Value::Integer(number)))
    }
}

impl Setting for Duration {
    fn type_name() -> String {
        "duration".to_owned()
    }
    fn read(value: &Value) -> Result<Self, String> {
        let Some(text) = value.as_str() else {
            return Err(format!(
                "expected a duration such as \"30s\", found {value}"
            ));
        };
        parse_duration(text)
    }
    fn write(&self) -> Option<Value> {
        Some(Value::String(write_duration(*self)))
    }
}

impl Setting for ByteSize {
    fn type_name() -> String {
        "size".to_owned()
    }
    fn read(value: &Value) -> Result<Self, String> {
        let size = value
            .as_str()
            .and_then(|text| parse_unit(text, &SIZE_UNITS));
        size.map(Self)
            .ok_or_else(|| format!("expected a size such as \"64 MiB\", found {value}"))
    }
    fn write(&self) -> Option<Value> {
        Some(Value::String(write_unit(self.0, &SIZE_UNITS, " ")))
    }
}

impl Setting for Rate {
    fn type_name() -> String {
        "rate".to_owned()
    }
    fn read(value: &Value) -> Result<Self, String> {
        let expected = || format!("expected a rate such as \"10 per 1m\", found {value}");
        let text = value.as_str().ok_or_else(expected)?;
        let (count, period) = text.split_once(" per ").ok_or_else(expected)?;
        let count = count
            .trim()
            .parse()
            .ok()
            .filter(|count| *count > 0)
            .ok_or_else(expected)?;
        let period = parse_duration(period.trim())?;
        if period.is_zero() {
            return Err(expected());
        }
        Ok(Self { count, period })
    }
    fn write(&self) -> Option<Value> {
        Some(Value::String(format!(
            "{} per {}",
            self.count,
            write_duration(self.period)
        )))
    }
}

impl Setting for PathBuf {
    fn type_name() -> String {
        "path".to_owned()
    }
    fn read(value: &Value) -> Result<Self, String> {
        match text_of(value)? {
            "" => Err("must not be empty".to_owned()),
            text => Ok(Self::from(text)),
        }
    }
    fn write(&self) -> Option<Value> {
        Some(Value::String(self.display().to_string()))
    }
}

/// Types that an operator writes as text and that have a parser and a printer already.
macro_rules! text_setting {
    ($($type:ty, $name:literal, $example:literal;)+) => { $(
        impl Setting for $type {
            fn type_name() -> String {
                $name.to_owned()
            }
            fn read(value: &Value) -> Result<Self, String> {
                let text = text_of(value)?;
                text.try_into_setting().map_err(|error: String| {
                    format!(concat!("`{}` is not ", $name, " such as \"", $example, "\": {}"), text, error)
                })
            }
            fn write(&self) -> Option<Value> {
                Some(Value::String(self.to_string()))
            }
        }
    )+ };
}

/// `FromStr` with the error as text.
trait TryIntoSetting {
    fn try_into_setting<T: std::str::FromStr<Err: fmt::Display>>(&self) -> Result<T, String>;
}

impl TryIntoSetting for str {
    fn try_into_setting<T: std::str::FromStr<Err: fmt::Display>>(&self) -> Result<T, String> {
        self.parse().map_err(|error: T::Err| error.to_string())
    }
}

text_setting! {
    OwnedServerName, "a server name", "example.org";
    OwnedUserId, "a user id", "@admin:example.org";
    SocketAddr, "an address", "127.0.0.1:8008";
    IpNet, "an address range", "10.0.0.0/8";
    RoomVersionId, "a room version", "12";
    http::Uri, "a web address", "https://matrix.example.org";
}

impl<T: Setting> Setting for Option<T> {
    const SECRET: bool = T::SECRET;
    fn type_name() -> String {
        T::type_name()
    }
    fn read(value: &Value) -> Result<Self, String> {
        T::read(value).map(Some)
    }
    fn write(&self) -> Option<Value> {
        self.as_ref().and_then(Setting::write)
    }
    fn parse(text: &str) -> Result<Option<Value>, String> {
        if text.is_empty() {
            Ok(None)
        } else {
            T::parse(text)
        }
    }
}

impl<T: Setting> Setting for Vec<T> {
    const SECRET: bool = T::SECRET;
    fn type_name() -> String {
        format!("list of {}", T::type_name())
    }
    fn read(value: &Value) -> Result<Self, String> {
        let Some(values) = value.as_array() else {
            return Err(format!(
                "expected a list in [ ], found {}",
                value.type_str()
            ));
        };
        values.iter().map(T::read).collect()
    }
    fn row_keys() -> Vec<Key> {
        T::row_keys()
    }
    fn write(&self) -> Option<Value> {
        Some(Value::Array(
            self.iter().filter_map(Setting::write).collect(),
        ))
    }
    fn parse(text: &str) -> Result<Option<Value>, String> {
        let text = text.trim();
        if text.starts_with('[') {
            let wrapped = format!("value = {text}").parse::<toml::Table>();
            let mut table = wrapped.map_err(|error| error.message().to_owned())?;
            return Ok(table.remove("value"));
        }
        let parts = text
            .split(T::SEPARATOR)
            .map(str::trim)
            .filter(|part| !part.is_empty());
        let values = parts.map(T::parse).collect::<Result<Vec<_>, _>>()?;
        Ok(Some(Value::Array(values.into_iter().flatten().collect())))
    }
}

/// A row of a list of tables.
impl<T: Table> Setting for T {
    fn type_name() -> String {
        "table".to_owned()
    }
    fn row_keys() -> Vec<Key> {
        table_keys::<T>()
    }
    fn read(value: &Value) -> Result<Self, String> {
        let Some(row) = value.as_table() else {
            return Err(format!("expected a table, found {}", value.type_str()));
        };
        let keys = table_keys::<T>();
        let mut values = Values::default();
        for (name, value) in row {
            if !keys.iter().any(|key| key.path == *name) {
                return Err(unknown(name, keys.iter().map(|key| key.path.as_str())));
            }
            let leaf = Leaf {
                value: Some(value.clone()),
                source: Source::Default,
            };
            values.leaves.insert(name.clone(), leaf);
        }
        T::load("", &mut values).ok_or_else(|| {
            let reasons = values.problems.into_iter().map(|problem| problem.message);
            reasons.collect::<Vec<_>>().join("; ")
        })
    }
    fn write(&self) -> Option<Value> {
        Some(Value::Table(self.store()))
    }
}

/// The keys of a table that is used as a row.
fn table_keys<T: Table>() -> Vec<Key> {
    let mut sections: Vec<Section> = Vec::new();
    T::describe("", &mut sections);
    sections
        .into_iter()
        .flat_map(|section| section.keys)
        .collect()
}

/// Declares a setting that is one of a few words.
macro_rules! choice {
    (
        $(#[doc = $about:literal])+
        pub enum $name:ident { $( $(#[doc = $doc:literal])+ $variant:ident = $word:literal, )+ }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $( $(#[doc = $doc])+ $variant, )+ }

        impl $name {
            const WORDS: &[&str] = &[$($word),+];

            /// The word that an operator writes.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $word, )+ }
            }

            fn from_word(word: &str) -> Result<Self, String> {
                match word {
                    $( $word => Ok(Self::$variant), )+
                    other => Err(format!("`{other}` is not one of: {}", Self::WORDS.join(", "))),
                }
            }
        }

        impl $crate::config::setting::Setting for $name {
            fn type_name() -> String {
                Self::WORDS.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ")
            }
            fn read(value: &toml::Value) -> Result<Self, String> {
                match value.as_str() {
                    Some(word) => Self::from_word(word),
                    None => Err(format!("{value} is not one of: {}", Self::WORDS.join(", "))),
                }
            }
            fn write(&self) -> Option<toml::Value> {
                Some(toml::Value::String(self.as_str().to_owned()))
            }
        }
    };
}
pub(crate) use choice;
