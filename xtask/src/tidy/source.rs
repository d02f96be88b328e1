//! The repository's Rust files, as the checks see them.

use anyhow::{Context as _, Result};
use std::fs;
use std::path::Path;

/// Folders that hold our own sources, from the repository's root.
const FOLDERS: [&str; 2] = ["packages", "xtask"];

/// One Rust file.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Its path from the repository's root, with `/` between the folders.
    pub(crate) path: String,
    /// What it holds.
    pub(crate) text: String,
}

impl Source {
    /// Every Rust file below the folders of our own sources, by path.
    pub(crate) fn read_all(root: &Path) -> Result<Vec<Self>> {
        let mut sources = Vec::new();
        for folder in FOLDERS {
            read_folder(root, folder, &mut sources)?;
        }
        sources.sort_by(|left, right| left.path.cmp(&right.path));
        Ok(sources)
    }

    /// True for files that hold tests only.
    pub(crate) fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.ends_with("/tests.rs")
    }

    /// The numbered lines of code that ship: no comments, nothing from the first inline test on.
    pub(crate) fn shipped(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate();
        let lines = lines.take_while(|(_, line)| *line != "#[cfg(test)]");
        let lines = lines.filter(|(_, line)| !line.trim_start().starts_with("//"));
        lines.map(|(index, line)| (index + 1, line))
    }

    /// As [`Source::shipped`], with a `use` over several lines as one.
    pub(crate) fn statements(&self) -> Vec<(usize, String)> {
        let mut statements: Vec<(usize, String)> = Vec::new();
        let mut open = false;
        for (number, line) in self.shipped() {
            match statements.last_mut().filter(|_| open) {
                Some((_, statement)) => statement.push_str(line),
                None => statements.push((number, line.to_owned())),
            }
            let starts = line.contains("use ") && line.trim_start().starts_with(['u', 'p']);
            open = (open || starts) && !line.trim_end().ends_with(';');
        }
        statements
    }

    /// The crate's folder and the path within it, for example `("server", "src/api.rs")`.
    pub(crate) fn split(&self) -> (&str, &str) {
        let path = self.path.strip_prefix("packages/").unwrap_or(&self.path);
        path.split_once('/').unwrap_or((path, ""))
    }
}

fn read_folder(root: &Path, folder: &str, sources: &mut Vec<Source>) -> Result<()> {
    let entries = fs::read_dir(root.join(folder)).with_context(|| format!("reading {folder}"))?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{folder}/{name}");
        if entry.file_type()?.is_dir() {
            if name != "target" && name != "node_modules" && !name.starts_with('.') {
                read_folder(root, &path, sources)?;
            }
        } else if Path::new(&path)
            .extension()
            .is_some_and(|ending| ending == "rs")
        {
            let text = fs::read_to_string(entry.path()).with_context(|| path.clone())?;
            sources.push(Source { path, text });
        }
    }
    Ok(())
}
