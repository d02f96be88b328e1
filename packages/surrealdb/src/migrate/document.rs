//! The description of the schema, made from the comments of the migrations.
//!
//! Every table has a section: a line `-- ## table`, then `-- Name: text` lines, each of which may
//! go on in the lines after it. A later migration that changes a table repeats the lines that
//! change.

use std::{collections::BTreeMap, fmt::Write};

use super::MIGRATIONS;

const HEAD: &str = "# Tables

Made from the comments in `migrations/` by `cargo xtask gen`; change them there.
Keys are record ids: one part is a plain id, several are an array, which sorts part by part.
";

/// What a section says, in this order.
const LINES: [&str; 4] = ["Entity", "Key", "Owner", "Retention"];

type Section = BTreeMap<String, String>;

/// The text of `docs/schema.md`.
pub fn document() -> String {
    let mut text = HEAD.to_owned();
    for (table, section) in sections() {
        // Writing to a string cannot fail.
        let _written = write!(text, "\n## {table}\n\n");
        for name in LINES {
            let line = section.get(name).map_or("", String::as_str);
            let line = match name {
                "Entity" | "Owner" => format!("`{line}`"),
                _ => line.to_owned(),
            };
            let _written = writeln!(text, "- {name}: {line}");
        }
    }
    text
}

/// The tables whose section lacks one of the lines, with what it lacks.
pub fn undescribed() -> Vec<String> {
    let lacks = |table: &str, section: &Section| {
        LINES
            .into_iter()
            .filter(|name| section.get(*name).is_none_or(String::is_empty))
            .map(|name| format!("{table}: {name}"))
            .collect::<Vec<_>>()
    };
    sections()
        .iter()
        .flat_map(|(table, section)| lacks(table, section))
        .collect()
}

/// The tables that have a section.
pub fn described() -> Vec<String> {
    sections().into_keys().collect()
}

fn sections() -> BTreeMap<String, Section> {
    let mut sections: BTreeMap<String, Section> = BTreeMap::new();
    for migration in MIGRATIONS {
        let mut table: Option<String> = None;
        let mut name: Option<String> = None;
        for line in migration.source.lines() {
            let Some(comment) = line.strip_prefix("-- ") else {
                (table, name) = (None, None);
                continue;
            };
            if let Some(heading) = comment.strip_prefix("## ") {
                sections.entry(heading.to_owned()).or_default();
                table = Some(heading.to_owned());
                continue;
            }
            let Some(section) = table.as_ref().and_then(|table| sections.get_mut(table)) else {
                continue;
            };
            let started = comment
                .split_once(": ")
                .filter(|(name, _)| LINES.contains(name));
            if let Some((begun, text)) = started {
                section.insert(begun.to_owned(), text.to_owned());
                name = Some(begun.to_owned());
            } else if let Some(line) = name.as_ref().and_then(|name| section.get_mut(name)) {
                line.push(' ');
                line.push_str(comment);
            }
        }
    }
    sections
}
