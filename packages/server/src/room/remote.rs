//! Rooms of other servers: how users of this server get in, knock and leave where nobody of theirs
//! is, and how users of other servers are invited to rooms of this one.
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#joining-rooms)
//!
//! What another server says is believed once its signatures, its hashes and the auth rules say so;
//! and nothing is signed but what was put together here.

mod alias;
mod answer;
mod ask;
mod bound;
mod directory;
mod enter;
mod gone;
mod invite;
mod invited;
mod join;
mod knock;
mod leave;
mod moment;
mod outsider;
mod pending;
mod template;

pub(super) use self::join::{Entrances, raw};
pub use self::{ask::Refusal, bound::BoundInvite, invite::prejoin_state, invited::ReceivedInvite};
