//! The sync engine: turns committed changes into each device's view.
//!
//! It owns the hot caches (rooms, users, receipts), follows the commit log, which is the only
//! thing that changes them, and wakes the long polls that a commit concerns. Domain code reads the
//! caches; it never writes them.
//!
//! Invariants: a cached value reflects at least every commit that [`SyncEngine::now`] includes;
//! every log entry is applied once, in the order of its node; a position is published after what
//! it stands for.

mod apply;
mod apply_to_devices;
mod attachment;
mod cache;
mod device_lists;
mod engine;
mod erasure;
mod error;
mod events_at;
mod fields;
mod follower;
mod inbox;
mod index;
mod key_stock;
mod load_room;
mod load_user;
mod meter;
mod presence;
mod receipts;
mod request;
mod rooms;
mod serials;
mod transactions;
mod typing;
mod unread;
mod user_view;
mod v3;
mod waiters;

pub use self::{
    attachment::Attachment,
    cache::CacheStatus,
    engine::{FollowerMode, SyncEngine, SyncOptions, SyncStatus},
    error::SyncError,
    presence::{Presence, PresenceOptions, PresenceStatus, RemotePresence},
    receipts::{RoomReceipts, UserReceipts},
    request::{DEFAULT_TIMELINE, MAX_TIMELINE, MAX_TIMEOUT, SyncRequest},
    typing::Typing,
    unread::{Unread, UnreadCounts},
    user_view::{AccountDataByKind, UserView},
};
