//! The matryx homeserver.

fn main() {}
