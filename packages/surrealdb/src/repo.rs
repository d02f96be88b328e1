//! The repositories: one file per aggregate, each a set of reads on [`crate::Store`].

mod device_list;
mod event;
mod member;
mod queued_edu;
mod received_message;
mod room;
pub(crate) mod state;
mod to_device;
