//! What the writer of a commit hands over in memory, so that nobody reads it back.

use std::sync::Arc;

use matryx_entity::{
    account_data::AccountData, member::Member, member_delta::MemberDelta, receipt::Receipt,
    room_snapshot::RoomSnapshot, timeline::TimelineEvent, to_device::ToDeviceMessage,
};

/// Given to [`matryx_surrealdb::Plan::log_with`] with the log entry of the same kind. An entry
/// that comes without one costs a read.
#[derive(Clone, Debug)]
pub enum Attachment {
    /// With [`matryx_entity::log::LogEntry::Event`].
    Event {
        /// The event.
        event: Arc<TimelineEvent>,
        /// The room after the event.
        snapshot: Arc<RoomSnapshot>,
        /// The membership record that the same commit wrote, where the entry names a member.
        member: Option<Arc<Member>>,
        /// What the same commit wrote of who is in an encrypted room, where the entry says so.
        delta: Option<Arc<MemberDelta>>,
    },
    /// With [`matryx_entity::log::LogEntry::Member`].
    Member(Arc<Member>),
    /// With [`matryx_entity::log::LogEntry::Redacted`]: the event without its content.
    Redacted(Arc<TimelineEvent>),
    /// With [`matryx_entity::log::LogEntry::AccountData`].
    AccountData(Arc<AccountData>),
    /// With [`matryx_entity::log::LogEntry::Receipt`].
    Receipt(Arc<Receipt>),
    /// With [`matryx_entity::log::LogEntry::ToDevice`]: one message for each device.
    ToDevice(Arc<[Arc<ToDeviceMessage>]>),
}
