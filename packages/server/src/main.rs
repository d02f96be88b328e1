//! The matryx homeserver.

use std::process::ExitCode;

use clap::Parser as _;
use matryx_server::cli::{Cli, run};

/// Keeps memory together under many small allocations from many threads.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    run(Cli::parse())
}
