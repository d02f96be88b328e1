//! Arrows: which crate may know which, and what only one place may know.
//!
//! `entity ← surrealdb ← client ← server`; only `surrealdb` knows the database, only the server's
//! `api` and `serve` know axum, only `api/error` names status codes, and the domain does not know
//! the API above it.

use super::source::Source;
use anyhow::{Context as _, Result};
use std::fs;
use std::path::Path;

/// The crates from the innermost outwards: each may know those before it.
const ORDER: [&str; 4] = ["entity", "surrealdb", "client", "server"];

/// Statements of SurrealQL as they begin in a text.
const QUERIES: [&str; 10] = [
    "\"SELECT ",
    "\"CREATE ",
    "\"UPDATE ",
    "\"UPSERT ",
    "\"DELETE ",
    "\"INSERT ",
    "\"RELATE ",
    "\"DEFINE ",
    "\"BEGIN ",
    "\"LIVE ",
];

/// Parts of the server that are made of HTTP.
const HTTP: [&str; 4] = ["src/api.rs", "src/api/", "src/serve.rs", "src/serve/"];

/// Parts of the server that stand above the API and put everything together.
const ABOVE: [&str; 6] = [
    "src/app.rs",
    "src/app/",
    "src/lib.rs",
    "src/main.rs",
    "src/cli.rs",
    "src/cli/",
];

/// Dependencies in manifests that turn an arrow back.
pub(super) fn check_manifests(root: &Path) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for crate_name in ORDER {
        let path = format!("packages/{crate_name}/Cargo.toml");
        let text = fs::read_to_string(root.join(&path)).with_context(|| path.clone())?;
        findings.extend(check_manifest(crate_name, &text));
    }
    Ok(findings)
}

fn check_manifest(crate_name: &str, text: &str) -> Vec<String> {
    let path = format!("packages/{crate_name}/Cargo.toml");
    let names = text
        .lines()
        .filter_map(|line| line.split(['.', ' ', '=']).next());
    names
        .filter_map(|name| forbidden(crate_name, name))
        .map(|why| format!("{path}: {why}"))
        .collect()
}

/// Why this crate may not depend on that package, if it may not.
fn forbidden(crate_name: &str, package: &str) -> Option<String> {
    if let Some(other) = package
        .strip_prefix("matryx-")
        .or(package.strip_prefix("matryx_"))
    {
        let place = |name| ORDER.iter().position(|known| *known == name);
        let (own, other_place) = (place(crate_name)?, place(other)?);
        return (own < other_place)
            .then(|| format!("`{crate_name}` may not know `{other}`: arrows go one way"));
    }
    let database = package.starts_with("surrealdb") && crate_name != "surrealdb";
    let http = ["axum", "hyper", "tower-http"].contains(&package) && crate_name != "server";
    let pure = ["tokio", "reqwest", "futures-util"].contains(&package) && crate_name == "entity";
    if database {
        Some(format!("`{package}`: only `surrealdb` knows the database"))
    } else if http {
        Some(format!("`{package}`: only `server` knows HTTP"))
    } else if pure {
        Some(format!("`{package}`: `entity` does no I/O"))
    } else {
        None
    }
}

/// Uses in the code that turn an arrow back.
pub(super) fn check_sources(sources: &[Source]) -> Vec<String> {
    let shipped = sources
        .iter()
        .filter(|source| source.path.contains("/src/") && !source.is_test());
    let shipped = shipped.filter(|source| source.path.starts_with("packages/"));
    let mut findings = Vec::new();
    for source in shipped {
        for (number, line) in source.statements() {
            if let Some(why) = wrong(source, &line) {
                findings.push(format!("{}:{number}: {why}", source.path));
            }
        }
    }
    findings
}

/// Why this line may not stand in this file, if it may not.
fn wrong(source: &Source, line: &str) -> Option<&'static str> {
    let (crate_name, file) = source.split();
    if crate_name != "surrealdb" {
        let query = |query: &&&str| {
            let rest = line.split_once(**query).map(|(_, rest)| rest);
            rest.is_some_and(|rest| !rest.starts_with('/'))
        };
        if QUERIES.iter().find(|candidate| query(candidate)).is_some() {
            return Some("only packages/surrealdb holds SurrealQL");
        }
        if line.contains("surrealdb::") && !line.contains("matryx_surrealdb::") {
            return Some("only packages/surrealdb knows the database");
        }
    } else if line.contains(".query(format!") || line.contains(".query(&format!") {
        return Some("a query is a constant text with variables");
    }
    if crate_name != "server" {
        return None;
    }
    let within = |parts: &[&str]| parts.iter().any(|part| file.starts_with(part));
    if line.contains("axum::") && !within(&HTTP) {
        return Some("only src/api and src/serve know axum");
    }
    if line.contains("StatusCode") && !within(&["src/api/error.rs", "src/api/error/"]) {
        return Some("only src/api/error names status codes");
    }
    let above = within(&HTTP) || within(&ABOVE);
    if names_the_api(line) && !above {
        return Some("the domain does not know the API above it");
    }
    None
}

/// True when a statement names the server's `api` module, alone or in a group of uses.
fn names_the_api(statement: &str) -> bool {
    let group = statement
        .split_once("use crate::{")
        .map_or("", |(_, group)| group);
    let mut items = group.split([',', '{', '}']).map(str::trim);
    statement.contains("crate::api") || items.any(|item| item == "api" || item.starts_with("api::"))
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
    fn a_dependency_that_turns_back_is_found() {
        let manifest = "[dependencies]\nmatryx-client.workspace = true\nserde.workspace = true\n";
        assert_eq!(check_manifest("server", manifest), Vec::<String>::new());
        let findings = check_manifest("surrealdb", manifest);
        assert_eq!(findings.len(), 1);
        assert!(
            findings[0].contains("`surrealdb` may not know `client`"),
            "{findings:?}"
        );
    }

    #[test]
    fn foreign_knowledge_is_found_in_manifests() {
        assert!(forbidden("server", "surrealdb-core").is_some());
        assert!(forbidden("client", "axum").is_some());
        assert!(forbidden("entity", "tokio").is_some());
        assert!(forbidden("surrealdb", "surrealdb").is_none());
        assert!(forbidden("server", "axum").is_none());
    }

    #[test]
    fn foreign_knowledge_is_found_in_code() {
        for (path, line) in [
            ("packages/server/src/room.rs", "use axum::Json;"),
            (
                "packages/server/src/room.rs",
                "use crate::api::error::ApiError;",
            ),
            ("packages/server/src/api/client.rs", "http::StatusCode::OK"),
            (
                "packages/client/src/sync.rs",
                "let text = \"SELECT * FROM event\";",
            ),
            ("packages/client/src/sync.rs", "use surrealdb::Surreal;"),
            (
                "packages/surrealdb/src/repo.rs",
                "db.query(format!(\"SELECT {x}\"))",
            ),
        ] {
            assert_eq!(
                check_sources(&[source(path, line)]).len(),
                1,
                "{path}: {line}"
            );
        }
    }

    #[test]
    fn what_is_allowed_is_not_found() {
        for (path, line) in [
            ("packages/server/src/api/client.rs", "use axum::Json;"),
            (
                "packages/server/src/room.rs",
                "use matryx_surrealdb::Store;",
            ),
            (
                "packages/server/src/room.rs",
                "// axum::Json would be wrong here",
            ),
            ("packages/server/src/api/error.rs", "StatusCode::OK"),
            (
                "packages/server/src/api/client.rs",
                "\"DELETE /_matrix/client/v3/devices/{deviceId}\"",
            ),
            (
                "packages/surrealdb/src/repo.rs",
                "db.query(\"SELECT * FROM event\")",
            ),
            (
                "packages/server/src/room.rs",
                "#[cfg(test)]\nuse axum::Json;",
            ),
        ] {
            assert_eq!(
                check_sources(&[source(path, line)]),
                Vec::<String>::new(),
                "{path}: {line}"
            );
        }
    }
}
