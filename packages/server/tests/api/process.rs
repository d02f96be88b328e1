//! The binary as a process: how it starts, and how it ends.

mod start;
mod stop;
