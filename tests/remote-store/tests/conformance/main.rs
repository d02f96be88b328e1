//! The conformance suite of the store, against a real SurrealDB server.
#![cfg(test)]

mod engine;
mod faults;
mod server;

#[path = "../../../../packages/surrealdb/tests/it/fixture.rs"]
mod fixture;

#[path = "../../../../packages/surrealdb/tests/it/bell.rs"]
mod bell;
#[path = "../../../../packages/surrealdb/tests/it/commit.rs"]
mod commit;
#[path = "../../../../packages/surrealdb/tests/it/migrations.rs"]
mod migrations;
#[path = "../../../../packages/surrealdb/tests/it/reads.rs"]
mod reads;
#[path = "../../../../packages/surrealdb/tests/it/records.rs"]
mod records;
#[path = "../../../../packages/surrealdb/tests/it/repositories.rs"]
mod repositories;
