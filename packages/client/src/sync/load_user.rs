//! Builds a user's view and a room's receipts from the database.

use std::sync::Arc;

use imbl::OrdMap;
use matryx_entity::{
    account_data::AccountData, key, member::Member, receipt::Receipt, room_no::RoomNo,
};
use matryx_surrealdb::{KeyRange, Store};
use ruma::UserId;

use super::{cache::Weigh, error::SyncError, receipts::RoomReceipts, user_view::UserView};

/// The user's records: two queries. A user without any has an empty view.
pub(crate) async fn load_user(store: &Store, user: &UserId) -> Result<UserView, SyncError> {
    let prefix = KeyRange::prefix(&key![user.as_str()]);
    let members: Vec<Member> = store.range(prefix.clone()).await?;
    let account_data: Vec<AccountData> = store.range(prefix).await?;
    let mut view = UserView::empty(user);
    for member in members {
        view.set_member(Arc::new(member));
    }
    for data in account_data {
        view.set_account_data(Arc::new(data));
    }
    Ok(view)
}

/// The receipts of a room: one query.
pub(crate) async fn load_receipts(store: &Store, room: RoomNo) -> Result<RoomReceipts, SyncError> {
    let rows: Vec<Receipt> = store.range(KeyRange::prefix(&key![room])).await?;
    let mut receipts = RoomReceipts::default();
    for row in rows {
        receipts.set(Arc::new(row));
    }
    Ok(receipts)
}

impl Weigh for RoomReceipts {
    fn weigh(&self) -> u64 {
        (256 + self.by_user.values().map(OrdMap::len).sum::<usize>() * 400) as u64
    }
}
