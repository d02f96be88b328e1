//! Files: length, first line, reachable from the crate's root, nothing left to do later.

use super::source::Source;
use std::collections::BTreeSet;

/// Lines that a file may have at most.
const MAX_LINES: usize = 500;

/// Words that stand for work left undone.
const UNDONE: [&str; 5] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("#[igno", "re"),
    concat!("#[should_", "panic"),
];

/// What is wrong with the files.
pub(super) fn check(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for source in sources {
        let path = &source.path;
        let lines = source.text.lines().count();
        if lines > MAX_LINES {
            findings.push(format!(
                "{path}: {lines} lines; split it (at most {MAX_LINES})"
            ));
        }
        if path.ends_with("/mod.rs") {
            findings.push(format!("{path}: name it after its folder, beside it"));
        }
        if path.contains("/src/") && !source.is_test() && !source.text.starts_with("//! ") {
            findings.push(format!(
                "{path}: its first line must say what it is (`//! `)"
            ));
        }
        for (number, line) in (1..).zip(source.text.lines()) {
            for word in UNDONE.iter().filter(|word| line.contains(**word)) {
                findings.push(format!("{path}:{number}: {word}"));
            }
        }
    }
    findings.extend(orphans(sources));
    findings
}

/// Files that no `mod` leads to.
fn orphans(sources: &[Source]) -> Vec<String> {
    let known: BTreeSet<&str> = sources.iter().map(|source| source.path.as_str()).collect();
    let mut reached = BTreeSet::new();
    let mut waiting: Vec<String> = known
        .iter()
        .filter(|path| is_root(path))
        .map(|path| (*path).to_owned())
        .collect();
    while let Some(path) = waiting.pop() {
        if let Some(source) = sources.iter().find(|source| source.path == path) {
            let folder = module_folder(&path);
            for module in modules(&source.text) {
                waiting.push(format!("{folder}/{module}.rs"));
            }
        }
        reached.insert(path);
    }
    let lost = known.iter().filter(|path| !reached.contains(**path));
    lost.map(|path| format!("{path}: no `mod` leads to this file"))
        .collect()
}

/// True for files that the build starts from.
fn is_root(path: &str) -> bool {
    let roots = ["/src/lib.rs", "/src/main.rs"];
    let (folder, _) = path.rsplit_once('/').unwrap_or(("", path));
    let starts = ["/tests", "/benches", "/examples", "/src/bin"];
    roots.iter().any(|root| path.ends_with(root))
        || starts.iter().any(|start| folder.ends_with(start))
        || (path.ends_with("/build.rs") && !path.contains("/src/"))
        || (path.contains("/tests/") && path.ends_with("/main.rs"))
}

/// The folder in which the modules of a file lie.
fn module_folder(path: &str) -> String {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    if is_root(path) {
        return folder.to_owned();
    }
    format!("{folder}/{}", file.trim_end_matches(".rs"))
}

/// The modules that a file declares and that lie in files of their own.
fn modules(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let declared = line.trim().strip_suffix(';')?;
        let (before, name) = declared.rsplit_once("mod ")?;
        (before.is_empty() || before.starts_with("pub")).then_some(name)
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
    fn finds_files_that_nothing_leads_to() {
        let sources = [
            source("packages/a/src/lib.rs", "//! A.\npub mod b;\n"),
            source("packages/a/src/b.rs", "//! B.\npub(crate) mod c;\n"),
            source("packages/a/src/b/c.rs", "//! C.\n"),
            source("packages/a/src/b/d.rs", "//! D.\n"),
            source("packages/a/tests/it/main.rs", "//! T.\nmod e;\n"),
            source("packages/a/tests/it/e.rs", "//! E.\n"),
        ];
        assert_eq!(
            check(&sources),
            ["packages/a/src/b/d.rs: no `mod` leads to this file"]
        );
    }

    #[test]
    fn finds_long_nameless_and_unfinished_files() {
        let long = format!("//! A.\n{}", "\n".repeat(MAX_LINES));
        let undone = format!("fn a() {{}} // {}: later", concat!("TO", "DO"));
        let sources = [
            source("packages/a/src/lib.rs", &long),
            source("packages/a/src/main.rs", &undone),
        ];
        let findings = check(&sources);
        assert_eq!(findings.len(), 3, "{findings:?}");
        assert!(findings[0].contains("501 lines"));
        assert!(findings[1].contains("first line"));
        assert!(findings[2].starts_with("packages/a/src/main.rs:1: "));
    }
}
