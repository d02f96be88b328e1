//! Messages of other servers to devices.
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#send-to-device-messaging)

use ruma::{ServerName, api::federation::transactions::edu::DirectDeviceContent};
use serde_json::value::RawValue;

use crate::to_device::{DirectToDevice, Messages};

/// The longest id of a message, in bytes: the specification's 32 code points at their longest.
const MAX_ID: usize = 128;

/// Reads a message. None for one that has the wrong form, or whose sender is of another server than
/// the one that sent it.
pub(super) fn read(origin: &ServerName, content: &RawValue) -> Option<DirectToDevice> {
    let content: DirectDeviceContent = serde_json::from_str(content.get()).ok()?;
    let is_theirs = content.sender.server_name() == origin;
    let message_id = content.message_id.to_string();
    let is_id = (1..=MAX_ID).contains(&message_id.len());
    (is_theirs && is_id).then(|| DirectToDevice {
        message_id,
        messages: Messages {
            sender: content.sender,
            kind: content.ev_type.to_string(),
            contents: content.messages,
        },
    })
}
