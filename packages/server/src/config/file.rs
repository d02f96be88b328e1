//! Reads the configuration file and keeps the line of every key.

use std::path::Path;

use toml::{
    Spanned, Table, Value,
    de::{DeTable, DeValue},
};

use super::{
    setting::{Key, Section, join, unknown},
    source::{Leaf, Problem, Source},
};

/// Reads `text`, the content of `path`, into values by dotted key, and what is wrong with it.
pub(super) fn read(
    path: &Path,
    text: &str,
    sections: &[Section],
) -> (Vec<(String, Leaf)>, Vec<Problem>) {
    let mut reader = Reader {
        path,
        text,
        sections,
        leaves: Vec::new(),
        problems: Vec::new(),
    };
    match DeTable::parse(text) {
        Ok(table) => reader.section("", table.get_ref()),
        Err(error) => {
            let offset = error.span().map_or(0, |span| span.start);
            reader.problem(offset, error.message().to_owned());
        }
    }
    (reader.leaves, reader.problems)
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    sections: &'a [Section],
    leaves: Vec<(String, Leaf)>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn source(&self, offset: usize) -> Source {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        Source::File {
            path: self.path.to_owned(),
            line,
        }
    }

    fn problem(&mut self, offset: usize, message: String) {
        let source = self.source(offset);
        self.problems.push(Problem { source, message });
    }

    fn section(&mut self, path: &str, table: &DeTable<'_>) {
        let mut entries = table.iter().collect::<Vec<_>>();
        entries.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in entries {
            let full = join(path, name.get_ref());
            let sections = self.sections;
            let known = sections.iter().flat_map(|section| &section.keys);
            if let Some(key) = known.clone().find(|key| key.path == full) {
                self.value(key, name.span().start, value);
            } else if sections.iter().any(|section| section.path == full) {
                match value.get_ref() {
                    DeValue::Table(inner) => self.section(&full, inner),
                    _ => self.problem(name.span().start, format!("`{full}` is a table: [{full}]")),
                }
            } else {
                let paths = known.map(|key| key.path.as_str());
                let tables = sections.iter().map(|section| section.path.as_str());
                let message = match value.get_ref() {
                    DeValue::Table(_) => unknown(&full, tables),
                    _ => unknown(&full, paths),
                };
                self.problem(name.span().start, message);
            }
        }
    }

    fn value(&mut self, key: &Key, offset: usize, value: &Spanned<DeValue<'_>>) {
        self.unknown_in_rows(key, value);
        match convert(value.get_ref()) {
            Ok(converted) => {
                let leaf = Leaf {
                    value: Some(converted),
                    source: self.source(offset),
                };
                self.leaves.push((key.path.clone(), leaf));
            }
            Err(reason) => self.problem(offset, format!("`{}`: {reason}", key.path)),
        }
    }

    fn unknown_in_rows(&mut self, key: &Key, value: &Spanned<DeValue<'_>>) {
        let rows = value.get_ref().as_array().filter(|_| !key.row.is_empty());
        for row in rows
            .into_iter()
            .flatten()
            .filter_map(|row| row.get_ref().as_table())
        {
            for name in row.keys() {
                if !key.row.iter().any(|inner| inner.path == *name.get_ref()) {
                    let known = key.row.iter().map(|inner| inner.path.as_str());
                    let message = format!("in `{}`: {}", key.path, unknown(name.get_ref(), known));
                    self.problem(name.span().start, message);
                }
            }
        }
    }
}

fn convert(value: &DeValue<'_>) -> Result<Value, String> {
    Ok(match value {
        DeValue::String(text) => Value::String(text.clone().into_owned()),
        DeValue::Integer(number) => {
            let parsed = i64::from_str_radix(number.as_str(), number.radix());
            Value::Integer(parsed.map_err(|error| format!("{number} is not a number: {error}"))?)
        }
        DeValue::Float(number) => {
            let parsed = number.as_str().parse::<f64>();
            Value::Float(parsed.map_err(|error| format!("{number} is not a number: {error}"))?)
        }
        DeValue::Boolean(flag) => Value::Boolean(*flag),
        DeValue::Datetime(time) => Value::Datetime(*time),
        DeValue::Array(values) => {
            let values = values.iter().map(|value| convert(value.get_ref()));
            Value::Array(values.collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => {
            let entries = table.iter().map(|(name, value)| {
                Ok((
                    name.get_ref().clone().into_owned(),
                    convert(value.get_ref())?,
                ))
            });
            Value::Table(entries.collect::<Result<Table, String>>()?)
        }
    })
}
