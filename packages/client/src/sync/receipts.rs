//! The read receipts of one room.

use std::sync::Arc;

use imbl::OrdMap;
use matryx_entity::receipt::Receipt;
use ruma::{OwnedUserId, UserId, events::receipt::ReceiptType};

/// A user's receipts in one room, by kind and thread.
pub type UserReceipts = OrdMap<(ReceiptType, Option<String>), Arc<Receipt>>;

/// All receipts of one room at one moment. Immutable once published.
#[derive(Clone, Debug, Default)]
pub struct RoomReceipts {
    pub(crate) by_user: OrdMap<OwnedUserId, UserReceipts>,
}

impl RoomReceipts {
    /// The receipts of one user.
    pub fn of(&self, user: &UserId) -> impl Iterator<Item = &Arc<Receipt>> {
        self.by_user.get(user).into_iter().flat_map(OrdMap::values)
    }

    /// One receipt.
    pub fn get(
        &self,
        user: &UserId,
        kind: &ReceiptType,
        thread: Option<&str>,
    ) -> Option<&Arc<Receipt>> {
        self.by_user
            .get(user)?
            .get(&(kind.clone(), thread.map(ToOwned::to_owned)))
    }

    /// The receipts that `user` may see: everybody's public and their own private ones.
    pub fn visible_to<'a>(&'a self, user: &'a UserId) -> impl Iterator<Item = &'a Arc<Receipt>> {
        self.by_user
            .values()
            .flat_map(OrdMap::values)
            .filter(move |receipt| !receipt.is_private() || receipt.user == user)
    }

    pub(crate) fn set(&mut self, receipt: Arc<Receipt>) {
        let place = (receipt.kind.clone(), receipt.thread.clone());
        self.by_user
            .entry(receipt.user.clone())
            .or_default()
            .insert(place, receipt);
    }
}
