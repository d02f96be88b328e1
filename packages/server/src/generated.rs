//! Files in the repository that are made from the code; `cargo xtask gen` writes them.

use std::{env, fs, path::Path};

/// Asserts that the file at `path`, from the repository's root, has this content. Writes it instead
/// when `UPDATE_GENERATED` is set, which is what `cargo xtask gen` does.
///
/// # Panics
/// When the file is not fresh.
pub(crate) fn generated(path: &str, content: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path);
    if env::var_os("UPDATE_GENERATED").is_some() {
        fs::write(&file, content).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == content,
        "{path} is not fresh: run `cargo xtask gen`"
    );
}
