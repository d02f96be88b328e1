//! The binary as a process: how it starts, and how it ends.

mod full_disk;
mod start;
mod stop;
mod surroundings;
