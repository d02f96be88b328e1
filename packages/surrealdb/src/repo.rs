//! The repositories: one file per aggregate, each a set of reads on [`crate::Store`].

mod event;
mod member;
mod room;
pub(crate) mod state;
