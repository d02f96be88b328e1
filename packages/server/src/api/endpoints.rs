//! `docs/endpoints.md`: every endpoint of the specification, and where it is served.
//!
//! Made from the routes themselves, held against `docs/spec-endpoints.tsv`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::Path,
};

use super::{endpoints, routes::Endpoint};
use crate::{config::Service, generated::generated};

/// The APIs that a homeserver serves: the name in the table, the title and the page of the
/// specification.
const APIS: [(&str, &str, &str); 2] = [
    ("client-server", "Client-server API", "client-server-api"),
    ("server-server", "Server-server API", "server-server-api"),
];

const HEAD: &str = "\
# Endpoints

Made by `cargo xtask gen` from the routes and from `docs/spec-endpoints.tsv`, which lists the
endpoints of version 1.19 of the Matrix specification. A row without a file is not served yet and
answers 404 `M_UNRECOGNIZED`.
";

fn table() -> Vec<Endpoint> {
    Service::ALL
        .into_iter()
        .flat_map(|(service, _)| endpoints(service).table().to_vec())
        .collect()
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The file of a handler, from its module path.
fn file(handler: &str) -> String {
    let module = handler.rsplit_once("::").unwrap().0;
    let module = module.strip_prefix("matryx_server::").unwrap();
    format!("packages/server/src/{}.rs", module.replace("::", "/"))
}

/// Method and path, with the names of variables left out: the specification's differ from ours.
fn shape(method: &str, path: &str) -> String {
    let mut shape = format!("{method} ");
    let mut inside = false;
    for letter in path.chars() {
        match letter {
            '{' => inside = true,
            '}' => {
                inside = false;
                shape.push_str("{}");
            }
            _ if inside => {}
            _ => shape.push(letter),
        }
    }
    shape
}

/// The anchor of an endpoint on its page of the specification.
fn anchor(method: &str, path: &str) -> String {
    let mut anchor = method.to_lowercase();
    anchor.extend(
        path.chars()
            .filter(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-'))
            .map(|letter| letter.to_ascii_lowercase()),
    );
    anchor
}

fn page() -> String {
    let table = table();
    let mut unlisted: BTreeMap<String, &Endpoint> = table
        .iter()
        .map(|endpoint| (shape(endpoint.method.as_str(), &endpoint.path), endpoint))
        .collect();
    let served = unlisted.clone();
    let spec = fs::read_to_string(root().join("docs/spec-endpoints.tsv")).unwrap();
    let mut page = HEAD.to_owned();
    for (api, title, spec_page) in APIS {
        let rows: BTreeSet<(&str, &str)> = spec
            .lines()
            .map(|line| line.split('\t').collect::<Vec<_>>())
            .filter(|cells| cells[0] == api)
            .map(|cells| (cells[2], cells[1]))
            .collect();
        let mut lines = String::new();
        let mut done = 0;
        for &(path, method) in &rows {
            let shape = shape(method, path);
            let link = format!(
                "[{method} {path}](https://spec.matrix.org/v1.19/{spec_page}/#{})",
                anchor(method, path)
            );
            let (file, auth) = match served.get(&shape) {
                Some(endpoint) => (format!("`{}`", file(endpoint.handler)), endpoint.auth),
                None => (String::new(), ""),
            };
            done += usize::from(!file.is_empty());
            unlisted.remove(&shape);
            writeln!(lines, "| {link} | {auth} | {file} |").unwrap();
        }
        writeln!(page, "\n## {title}: {done} of {}\n", rows.len()).unwrap();
        page.push_str("| Endpoint | Authentication | File |\n|---|---|---|\n");
        page.push_str(&lines);
    }
    page.push_str("\n## Other versions and unstable paths of the same endpoints\n\n");
    page.push_str("| Endpoint | Authentication | File |\n|---|---|---|\n");
    for endpoint in unlisted.values() {
        let Endpoint {
            method, path, auth, ..
        } = endpoint;
        let file = file(endpoint.handler);
        writeln!(page, "| {method} {path} | {auth} | `{file}` |").unwrap();
    }
    page
}

#[test]
fn the_page_of_endpoints_is_fresh() {
    generated("docs/endpoints.md", &page());
}

/// A file begins with one line per endpoint in it, of the newest version of its path, and then the
/// specification.
#[test]
fn the_file_of_an_endpoint_begins_with_method_and_path_and_specification() {
    let mut paths: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for endpoint in table() {
        let shape = shape(endpoint.method.as_str(), &endpoint.path);
        paths
            .entry(file(endpoint.handler))
            .or_default()
            .insert(shape);
    }
    let mut wrong = Vec::new();
    for (file, shapes) in paths {
        let text = fs::read_to_string(root().join(&file)).unwrap();
        let mut lines = text.lines();
        let named: Vec<_> = lines
            .by_ref()
            .map_while(|line| {
                line.strip_prefix("//! `")?
                    .strip_suffix('`')?
                    .split_once(' ')
            })
            .map(|(method, path)| shape(method, path))
            .collect();
        if named.is_empty() || !named.iter().all(|shape| shapes.contains(shape)) {
            wrong.push(format!("{file}: {named:?} are not among {shapes:?}"));
        }
        let spec = text.lines().nth(named.len()).unwrap();
        if !spec.starts_with("//! [") || !spec.contains("](https://") {
            wrong.push(format!("{file}: `{spec}` is no link to the specification"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn knows_anchors_and_shapes() {
    assert_eq!(
        anchor("POST", "/_matrix/client/v3/rooms/{roomId}/join"),
        "post_matrixclientv3roomsroomidjoin"
    );
    assert_eq!(shape("GET", "/a/{b}/c"), shape("GET", "/a/{d}/c"));
}
