//! `/sync` version 3: one response for the window (since, now].
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3sync)

mod account_data;
mod ephemeral;
mod invited;
mod joined;
mod lazy;
mod left;
mod presence;
mod render;
mod state;
mod summary;
mod timeline;
mod to_device;
mod view;
mod window;

pub(crate) use self::{lazy::Connection, view::PATIENCE};

use matryx_entity::token::SyncToken;
use ruma::api::client::sync::sync_events::{
    DeviceLists,
    v3::{Response, Rooms},
};

use self::{lazy::LazyMembers, view::View, window::Window};
use super::{
    device_lists::News,
    engine::SyncEngine,
    error::SyncError,
    request::{MAX_TIMEOUT, SyncRequest},
};

impl SyncEngine {
    /// Answers `/sync`: at once if there is something to say (or the client has no token yet),
    /// otherwise when there is, when the timeout has passed or when the server stops.
    ///
    /// An incremental sync that is at most some thousand log entries behind reads nothing from
    /// the database as long as the caches hold the user's rooms.
    ///
    /// # Errors
    /// The token is not ours (`M_INVALID_PARAM`), or the database could not be read.
    pub async fn sync(&self, request: &SyncRequest) -> Result<Response, SyncError> {
        let since: Option<SyncToken> = match &request.since {
            Some(text) => Some(text.parse().or(Err(SyncError::InvalidToken))?),
            None => None,
        };
        if let (Some(since), Some(device)) = (&since, request.device()) {
            self.remove_had(&device, since).await?;
        }
        let presence = &self.inner.presence;
        let _session = presence.begin(&request.user_id, &request.set_presence);
        // Registered before the first look, so that no change falls between look and sleep.
        let waiter = self.inner.waiters.register(&request.user_id);
        let timeout = tokio::time::sleep(request.timeout.min(MAX_TIMEOUT));
        tokio::pin!(timeout);
        let mut waits = since.is_some() && !request.full_state && !request.timeout.is_zero();
        loop {
            let (response, is_news) = self.respond(request, since.as_ref()).await?;
            if is_news || !waits {
                return Ok(response);
            }
            tokio::select! {
                () = waiter.woken() => {}
                () = &mut timeout => waits = false,
                () = self.inner.closing.cancelled() => waits = false,
            }
        }
    }

    /// The response for this moment, and whether it says anything.
    async fn respond(
        &self,
        request: &SyncRequest,
        since: Option<&SyncToken>,
    ) -> Result<(Response, bool), SyncError> {
        let (view, changes) = View::capture(self, request, since).await?;
        let mut members = LazyMembers::begin(&view);
        let stock_changed = view.stock_changed(&changes);
        let news = changes.as_ref().map(|it| News::of(it, &view.user));
        let window = Window::find(&view, changes);
        let (to_device, next_batch) = view.messages();
        let mut response = Response::new(next_batch.to_string());
        response.rooms = rooms(&view, window, &mut members).await?;
        response.account_data = view.global_account_data();
        response.to_device = to_device;
        view.tell_key_stock(&mut response).await?;
        response.presence = view.presence().await?;
        if let Some(since) = since {
            response.device_lists = device_lists(&view, since, news).await?;
        }
        members.finish(&view, next_batch);
        let is_news = !response.rooms.is_empty()
            || !response.account_data.is_empty()
            || !response.device_lists.is_empty()
            || !response.to_device.is_empty()
            || !response.presence.is_empty()
            || stock_changed;
        Ok((response, is_news))
    }
}

/// Whose devices the client must look at anew. Without a token it knows of nobody.
async fn device_lists(
    view: &View<'_>,
    since: &SyncToken,
    news: Option<News>,
) -> Result<DeviceLists, SyncError> {
    let lists = view.engine.device_lists_of(&view.user, since, news).await?;
    let mut response = DeviceLists::new();
    response.changed = lists.changed.into_iter().collect();
    response.left = lists.left.into_iter().collect();
    Ok(response)
}

async fn rooms(
    view: &View<'_>,
    window: Window,
    members: &mut LazyMembers,
) -> Result<Rooms, SyncError> {
    let mut rooms = Rooms::new();
    for (member, touch) in window.joined {
        if let Some(room) = view.joined_room(&member, touch, members).await? {
            rooms.join.insert(member.room_id.clone(), room);
        }
    }
    for member in window.left {
        if let Some(room) = view.left_room(&member, members).await? {
            rooms.leave.insert(member.room_id.clone(), room);
        }
    }
    for member in window.invited {
        let room = view.invited_room(&member).await?;
        rooms.invite.insert(member.room_id.clone(), room);
    }
    for member in window.knocked {
        let room = view.knocked_room(&member).await?;
        rooms.knock.insert(member.room_id.clone(), room);
    }
    Ok(rooms)
}
