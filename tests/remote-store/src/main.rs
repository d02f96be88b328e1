//! The SurrealDB server, as its own binary has it.

use std::process::ExitCode;

use surrealdb_core::CommunityComposer;

fn main() -> ExitCode {
    surrealdb_server::init(CommunityComposer())
}
