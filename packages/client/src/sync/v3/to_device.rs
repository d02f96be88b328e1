//! Messages for the device, and the keys that it has left.

use matryx_entity::{to_device::ToDeviceMessage, token::SyncToken};
use ruma::{
    api::client::sync::sync_events::v3::{Response, ToDevice},
    serde::Raw,
};
use serde_json::value::RawValue;

use super::view::{Changes, View};
use crate::sync::{error::SyncError, index::Change};

impl View<'_> {
    /// Messages that the device does not have, at most 100, in order; and the token for the next
    /// request.
    pub(super) fn messages(&self) -> (ToDevice, SyncToken) {
        let mut section = ToDevice::new();
        let next = self.token();
        let Some(inbox) = &self.inbox else {
            return (section, next);
        };
        let page = inbox.page(self.since, &self.now, next);
        section.events = page.messages.iter().map(|message| raw(message)).collect();
        (section, page.token)
    }

    /// Says what keys the device has left, in every response.
    pub(super) async fn tell_key_stock(&self, response: &mut Response) -> Result<(), SyncError> {
        let Some(device) = self.request.device() else {
            return Ok(());
        };
        let stock = self.engine.key_stock(&device).await?;
        response.device_one_time_keys_count = stock.counts.clone();
        response.device_unused_fallback_key_types = Some(stock.unused_fallback.clone());
        Ok(())
    }

    /// May the keys that the device has left have changed since its token?
    pub(super) fn stock_changed(&self, changes: &Changes) -> bool {
        let Some(own) = &self.request.device_id else {
            return false;
        };
        let is_own = |change: &Change| {
            matches!(change, Change::OneTimeKeys { user, device }
                if *user == self.request.user_id && device == own)
        };
        let changes = changes.as_ref();
        changes.is_none_or(|changes| changes.iter().any(|(_, change)| is_own(change)))
    }
}

fn raw<T>(message: &ToDeviceMessage) -> Raw<T> {
    let ToDeviceMessage {
        content,
        sender,
        kind,
        ..
    } = message;
    let kind = serde_json::Value::from(kind.as_str());
    let sender = serde_json::Value::from(sender.as_str());
    let text = format!("{{\"content\":{content},\"sender\":{sender},\"type\":{kind}}}");
    let json = RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned());
    Raw::from_json(json)
}
