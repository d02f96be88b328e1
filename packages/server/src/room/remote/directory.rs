//! The public rooms of other servers.

use std::time::Duration;

use matryx_client::outbound::Limits;
use ruma::{
    ServerName, UInt,
    api::federation::directory::{get_public_rooms, get_public_rooms_filtered},
    directory::PublicRoomsChunk,
};

use crate::room::{DirectoryPage, DirectoryRequest, RoomError, Rooms};

/// The bounds of a page.
const PAGE: Limits = Limits {
    time: Duration::from_secs(20),
    body: 4 << 20,
};

impl Rooms {
    /// A page of the public rooms of a server, this one or another.
    ///
    /// # Errors
    /// As [`Rooms::public_rooms`]; what another server answers, 502 if it can't be asked.
    pub async fn public_rooms_of(
        &self,
        server: Option<&ServerName>,
        request: DirectoryRequest<'_>,
    ) -> Result<DirectoryPage, RoomError> {
        match server {
            Some(server) if server != self.server_name() => {
                Box::pin(self.public_rooms_elsewhere(server, request)).await
            }
            _ => self.public_rooms(request).await,
        }
    }

    async fn public_rooms_elsewhere(
        &self,
        server: &ServerName,
        wanted: DirectoryRequest<'_>,
    ) -> Result<DirectoryPage, RoomError> {
        let federation = &self.inner.deps.federation;
        let since = wanted.since.map(ToOwned::to_owned);
        if wanted.filter.is_empty() {
            let mut request = get_public_rooms::v1::Request::new();
            request.limit = wanted.limit;
            request.since = since;
            request.room_network = wanted.network;
            let page = federation.send_with(server, request, PAGE).await?;
            let batches = (page.next_batch, page.prev_batch);
            return Ok(read(page.chunk, batches, page.total_room_count_estimate));
        }
        let mut request = get_public_rooms_filtered::v1::Request::new();
        request.limit = wanted.limit;
        request.since = since;
        request.room_network = wanted.network;
        request.filter = wanted.filter;
        let page = federation.send_with(server, request, PAGE).await?;
        let batches = (page.next_batch, page.prev_batch);
        Ok(read(page.chunk, batches, page.total_room_count_estimate))
    }
}

fn read(
    rooms: Vec<PublicRoomsChunk>,
    (next, prev): (Option<String>, Option<String>),
    total: Option<UInt>,
) -> DirectoryPage {
    let total = total.map(|total| usize::try_from(total).unwrap_or(usize::MAX));
    DirectoryPage {
        total: total.unwrap_or(rooms.len()),
        rooms,
        next,
        prev,
    }
}
