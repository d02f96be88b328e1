//! What the account domain asks of the rooms, as a seam: rooms know nothing of accounts.

use futures_util::future::BoxFuture;
use ruma::UserId;
use thiserror::Error;

/// A follow-up in a user's rooms failed; doing it again goes on where it stopped.
#[derive(Debug, Error)]
#[error("a change of an account could not be carried into its rooms")]
pub struct RoomsFailed(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// The rooms of a user. Both calls may be repeated at any time.
pub trait UserRooms: Send + Sync + 'static {
    /// Carries the user's profile, as it is now, into every room that the user is in.
    fn carry_profile<'a>(&'a self, user: &'a UserId) -> BoxFuture<'a, Result<(), RoomsFailed>>;

    /// Takes the user out of every room, and declines every invite.
    fn leave_all<'a>(&'a self, user: &'a UserId) -> BoxFuture<'a, Result<(), RoomsFailed>>;
}
