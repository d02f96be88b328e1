//! Joins that outlive the request, and the process.

use matryx_entity::{canonical, pending_join::PendingJoin};
use matryx_surrealdb::{KeyRange, Plan};
use ruma::{CanonicalJsonObject, OwnedServerName, OwnedUserId, RoomId};

use crate::room::{RoomError, Rooms};

impl Rooms {
    /// Joins a room through other servers, and remembers that until it has ended: the state of a
    /// large room takes minutes, and nobody should have to ask again because of a restart.
    ///
    /// # Errors
    /// As [`Rooms::join_elsewhere`].
    pub(in crate::room) async fn join_for_long(
        &self,
        user: OwnedUserId,
        room_id: &RoomId,
        servers: Vec<OwnedServerName>,
        content: CanonicalJsonObject,
    ) -> Result<(), RoomError> {
        let pending = PendingJoin {
            user,
            room_id: room_id.to_owned(),
            servers,
            content: canonical::to_text(&content),
        };
        let mut plan = Plan::new();
        plan.put(&pending);
        self.store().commit(plan).await?;
        let user = pending.user.clone();
        let joined = self.join_elsewhere(user, room_id, &pending.servers, content);
        let joined = joined.await;
        let mut plan = Plan::new();
        plan.delete::<PendingJoin>(&PendingJoin::key_of(&pending.user, room_id));
        self.store().commit(plan).await?;
        joined
    }

    /// Takes up the joins that were under way when the server stopped. One query.
    ///
    /// # Errors
    /// They can't be read.
    pub async fn resume_joins(&self) -> Result<(), RoomError> {
        let pending: Vec<PendingJoin> = self.store().range(KeyRange::all()).await?;
        for join in pending {
            let rooms = self.clone();
            self.inner.deps.tasks.spawn(async move {
                let (user, room_id) = (join.user.clone(), join.room_id.clone());
                tracing::info!(%user, %room_id, "a join is taken up again");
                if let Err(error) = rooms.resume_join(join).await {
                    tracing::warn!(%user, %room_id, %error, "a join failed");
                }
            });
        }
        Ok(())
    }

    async fn resume_join(&self, join: PendingJoin) -> Result<(), RoomError> {
        let content = canonical::parse_object(&join.content)?;
        let _turn = self.inner.entrances.turn(&join.room_id).await;
        if !self.join_here(&join.user, &join.room_id, &content).await? {
            let joined = self.join_for_long(join.user, &join.room_id, join.servers, content);
            return joined.await;
        }
        let mut plan = Plan::new();
        plan.delete::<PendingJoin>(&PendingJoin::key_of(&join.user, &join.room_id));
        self.store().commit(plan).await?;
        Ok(())
    }
}
