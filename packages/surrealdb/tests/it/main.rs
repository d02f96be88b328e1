//! The conformance suite of the store: what every engine must do.
#![cfg(test)]

mod engine;
mod fixture;

mod bell;
mod commit;
mod migrations;
mod reads;
mod records;
mod removal;
mod repositories;
mod restart;
mod schema;
