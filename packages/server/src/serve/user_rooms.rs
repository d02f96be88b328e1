//! The rooms, as the account domain asks for them.

use futures_util::future::BoxFuture;
use ruma::{UserId, events::room::member::MembershipState};

use crate::{
    room::{RoomError, Rooms},
    user::{RoomsFailed, UserRooms},
};

/// Carries changes of accounts into rooms.
pub(super) struct AccountRooms(pub(super) Rooms);

impl UserRooms for AccountRooms {
    fn carry_profile<'a>(&'a self, user: &'a UserId) -> BoxFuture<'a, Result<(), RoomsFailed>> {
        Box::pin(async move { self.0.propagate_profile(user).await.map_err(failed) })
    }

    fn leave_all<'a>(&'a self, user: &'a UserId) -> BoxFuture<'a, Result<(), RoomsFailed>> {
        Box::pin(async move {
            let view = self.0.sync().user(user).await.map_err(RoomError::from);
            for member in view.map_err(failed)?.members.values() {
                if !matches!(
                    member.membership,
                    MembershipState::Join | MembershipState::Invite | MembershipState::Knock
                ) {
                    continue;
                }
                match self
                    .0
                    .leave(user.to_owned(), member.room_id.clone(), None)
                    .await
                {
                    Ok(()) => {}
                    Err(error @ (RoomError::Store(_) | RoomError::Sync(_))) => {
                        return Err(failed(error));
                    }
                    // A room that does not let go must not keep the others.
                    Err(error) => {
                        tracing::info!(%user, room = %member.room_id, %error, "room not left");
                    }
                }
            }
            Ok(())
        })
    }
}

fn failed(error: RoomError) -> RoomsFailed {
    RoomsFailed(Box::new(error))
}
