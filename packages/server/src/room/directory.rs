//! The public room directory: which rooms are listed, and pages of the list.
//!
//! What the list says of a room is kept as a [`Listing`] until the room's next event, so that a
//! page costs one read of the published rooms and nothing for each of them.
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#listing-rooms)

use std::{cmp::Reverse, sync::Arc};

use matryx_client::sync::SyncEngine;
use matryx_entity::{key, log::LogEntry, room::PublishedRoom, room_no::RoomNo};
use matryx_surrealdb::Plan;
use quick_cache::sync::Cache;
use ruma::{
    RoomId, UInt,
    api::client::room::Visibility,
    directory::{Filter, PublicRoomsChunk, RoomNetwork, RoomTypeFilter},
};

use super::{
    RoomError, Rooms,
    alias::may_change_aliases,
    directory_token::{DirectoryToken, Place},
    listing::Listing,
};
use crate::{caller::Requester, config::Publication};

/// The most rooms on a page, and how many there are if the client does not say.
const MAX_ROOMS: usize = 500;

/// The longest search term, in bytes.
const MAX_TERM: usize = 1_024;

/// How many rooms' listings are kept in memory.
const MAX_LISTINGS: usize = 10_000;

/// What is known of listed rooms. A listing is dropped with the next event of its room.
#[derive(Debug)]
pub(super) struct Listings(Cache<RoomNo, Arc<Listing>>);

impl Default for Listings {
    fn default() -> Self {
        Self(Cache::new(MAX_LISTINGS))
    }
}

impl Listings {
    /// Listings that are dropped when their room changes.
    pub(super) fn follow(sync: &SyncEngine) -> Arc<Self> {
        let listings = Arc::new(Self::default());
        let followed = Arc::downgrade(&listings);
        sync.on_entry(move |_, entry| {
            if let (
                LogEntry::Event { room, .. } | LogEntry::Redacted { room, .. },
                Some(listings),
            ) = (entry, followed.upgrade())
            {
                listings.0.remove(room);
            }
        });
        listings
    }
}

/// Which page of the directory is wanted.
#[derive(Clone, Debug, Default)]
pub struct DirectoryRequest<'a> {
    /// How many rooms; zero and none mean as many as fit on a page.
    pub limit: Option<UInt>,
    /// Where the page begins; the largest rooms if absent.
    pub since: Option<&'a str>,
    /// Which rooms.
    pub filter: Filter,
    /// Of which networks.
    pub network: RoomNetwork,
}

/// A page of the directory.
#[derive(Debug, Default)]
pub struct DirectoryPage {
    /// The rooms, the largest first.
    pub rooms: Vec<PublicRoomsChunk>,
    /// Where the page with smaller rooms begins.
    pub next: Option<String>,
    /// Where the page with larger rooms begins.
    pub prev: Option<String>,
    /// How many rooms are listed in all.
    pub total: usize,
}

impl Rooms {
    /// A page of the public rooms of this server: by the number of members, then by id.
    ///
    /// # Errors
    /// 400 for a token that is none and for a search term that is too long.
    pub async fn public_rooms(
        &self,
        request: DirectoryRequest<'_>,
    ) -> Result<DirectoryPage, RoomError> {
        if !matches!(request.network, RoomNetwork::Matrix | RoomNetwork::All) {
            // No bridge has listed rooms of its network here.
            return Ok(DirectoryPage::default());
        }
        let since = match request.since {
            None => None,
            Some(text) => Some(
                DirectoryToken::parse(text)
                    .ok_or_else(|| RoomError::InvalidParam(format!("`{text}` is no token")))?,
            ),
        };
        let term = search_term(&request.filter)?;
        let mut listings = self.listings().await?;
        let total = listings.len();
        listings.retain(|listing| {
            has_type(listing, &request.filter.room_types)
                && term.as_ref().is_none_or(|term| listing.mentions(term))
        });
        listings.sort_by(|one, other| place(one).cmp(&place(other)));
        let limit = request.limit.map_or(0, u64::from);
        let limit = usize::try_from(limit).unwrap_or(MAX_ROOMS);
        let limit = if limit == 0 {
            MAX_ROOMS
        } else {
            limit.min(MAX_ROOMS)
        };
        Ok(page(&listings, since.as_ref(), limit, total))
    }

    /// Is a room listed? One query.
    ///
    /// # Errors
    /// 404 for a room that the server does not know.
    pub async fn directory_visibility(&self, room_id: &RoomId) -> Result<Visibility, RoomError> {
        let room = self.snapshot(room_id).await?;
        let published = self.store().is_published(room.no).await?;
        Ok(if published {
            Visibility::Public
        } else {
            Visibility::Private
        })
    }

    /// Lists a room, or takes it off the list.
    ///
    /// # Errors
    /// 404 for a room that the server does not know; 403 for somebody who may not change the
    /// room's canonical alias (and is no administrator), and where the operator says who may
    /// publish rooms.
    pub async fn set_directory_visibility(
        &self,
        caller: &Requester,
        room_id: &RoomId,
        visibility: &Visibility,
        publication: Publication,
    ) -> Result<(), RoomError> {
        let room = self.snapshot(room_id).await?;
        let admin = self.is_admin(&caller.user_id).await?;
        if !admin && !may_change_aliases(&room, &caller.user_id) {
            return Err(RoomError::Forbidden(
                "You don't have the power to change this room's place in the directory".to_owned(),
            ));
        }
        let mut plan = Plan::new();
        if *visibility == Visibility::Public {
            check_publication(publication, admin)?;
            plan.put(&PublishedRoom {
                room: room.no,
                room_id: room_id.to_owned(),
            });
        } else {
            plan.delete::<PublishedRoom>(&key![room.no]);
        }
        self.store().commit(plan).await?;
        Ok(())
    }

    /// May this caller make a room of this visibility?
    ///
    /// # Errors
    /// 403 where the operator says who may publish rooms.
    pub async fn check_new_visibility(
        &self,
        caller: &Requester,
        visibility: &Visibility,
        publication: Publication,
    ) -> Result<(), RoomError> {
        if *visibility != Visibility::Public || publication == Publication::Members {
            return Ok(());
        }
        check_publication(publication, self.is_admin(&caller.user_id).await?)
    }

    /// All rooms that are published and that a stranger may look at or get into.
    async fn listings(&self) -> Result<Vec<Arc<Listing>>, RoomError> {
        let published = self.store().published_rooms().await?;
        let mut listings = Vec::with_capacity(published.len());
        for PublishedRoom { room, .. } in published {
            let listing = self.listing(room).await?;
            listings.extend(listing.filter(|listing| listing.is_open()));
        }
        Ok(listings)
    }

    async fn listing(&self, no: RoomNo) -> Result<Option<Arc<Listing>>, RoomError> {
        let cache = &self.inner.listings.0;
        if let Some(listing) = cache.get(&no) {
            return Ok(Some(listing));
        }
        let Some(room) = self.sync().room(no).await? else {
            return Ok(None);
        };
        let listing = Arc::new(Listing::of(&room));
        cache.insert(no, Arc::clone(&listing));
        // An event that came in between has dropped a listing that was not there yet.
        let now = self.sync().room(no).await?;
        if now.is_none_or(|now| now.head != room.head) {
            cache.remove(&no);
        }
        Ok(Some(listing))
    }
}

/// May rooms be published by somebody who has the power for it in the room?
///
/// # Errors
/// 403 where the operator says otherwise.
fn check_publication(publication: Publication, admin: bool) -> Result<(), RoomError> {
    let allowed = match publication {
        Publication::Members => true,
        Publication::Administrators => admin,
        Publication::Nobody => false,
    };
    if allowed {
        Ok(())
    } else {
        Err(RoomError::Forbidden(
            "This server does not let you publish rooms".to_owned(),
        ))
    }
}

fn search_term(filter: &Filter) -> Result<Option<String>, RoomError> {
    let Some(term) = filter.generic_search_term.as_deref() else {
        return Ok(None);
    };
    if term.len() > MAX_TERM {
        return Err(RoomError::InvalidParam(format!(
            "generic_search_term is longer than {MAX_TERM} bytes"
        )));
    }
    let term = term.trim().to_lowercase();
    Ok((!term.is_empty()).then_some(term))
}

fn has_type(listing: &Listing, wanted: &[RoomTypeFilter]) -> bool {
    wanted.is_empty() || wanted.contains(&RoomTypeFilter::from(listing.room_type.clone()))
}

/// The order of the directory.
fn place(listing: &Listing) -> (Reverse<u64>, &RoomId) {
    (Reverse(listing.joined), &listing.room_id)
}

fn page(
    listings: &[Arc<Listing>],
    since: Option<&DirectoryToken>,
    limit: usize,
    total: usize,
) -> DirectoryPage {
    let before = |token: &Place| {
        listings
            .partition_point(|listing| place(listing) < (Reverse(token.joined), &*token.room_id))
    };
    let (first, last) = match since {
        None => (0, limit),
        Some(DirectoryToken::After(token)) => {
            let here = before(token);
            let is_it = |listing: &Arc<Listing>| listing.room_id == token.room_id;
            let first = here + usize::from(listings.get(here).is_some_and(is_it));
            (first, first + limit)
        }
        Some(DirectoryToken::Before(token)) => {
            let last = before(token);
            (last.saturating_sub(limit), last)
        }
    };
    let last = last.min(listings.len());
    let shown = listings.get(first..last).unwrap_or_default();
    let token = |listing: &Arc<Listing>| Place {
        joined: listing.joined,
        room_id: listing.room_id.clone(),
    };
    let next = shown.last().filter(|_| last < listings.len());
    let prev = shown.first().filter(|_| first > 0);
    DirectoryPage {
        rooms: shown.iter().map(|listing| listing.chunk()).collect(),
        next: next.map(|listing| DirectoryToken::After(token(listing)).to_string()),
        prev: prev.map(|listing| DirectoryToken::Before(token(listing)).to_string()),
        total,
    }
}

#[cfg(test)]
mod tests {
    use ruma::OwnedRoomId;

    use super::*;

    fn listings(count: u64) -> Vec<Arc<Listing>> {
        let mut listings: Vec<_> = (0..count)
            .map(|nth| {
                let room_id = OwnedRoomId::try_from(format!("!{nth:03}:x")).unwrap();
                Arc::new(Listing::for_test(room_id, nth / 3))
            })
            .collect();
        listings.sort_by(|one, other| place(one).cmp(&place(other)));
        listings
    }

    fn ids(page: &DirectoryPage) -> Vec<String> {
        page.rooms
            .iter()
            .map(|room| room.room_id.to_string())
            .collect()
    }

    #[test]
    fn pages_forward_show_each_room_once_and_back_again() {
        let all = listings(25);
        let whole: Vec<String> = all.iter().map(|room| room.room_id.to_string()).collect();
        let mut seen = Vec::new();
        let mut pages = Vec::new();
        let mut since: Option<DirectoryToken> = None;
        loop {
            let page = page(&all, since.as_ref(), 7, 25);
            seen.extend(ids(&page));
            pages.push(ids(&page));
            let Some(next) = page.next else {
                let prev = DirectoryToken::parse(&page.prev.unwrap()).unwrap();
                let back = super::page(&all, Some(&prev), 7, 25);
                assert_eq!(ids(&back), pages[pages.len() - 2]);
                break;
            };
            since = DirectoryToken::parse(&next);
            assert!(since.is_some());
        }
        assert_eq!(seen, whole);
        assert_eq!(pages.len(), 4);
    }

    #[test]
    fn a_room_that_was_taken_off_the_list_does_not_lose_its_neighbors() {
        let mut all = listings(10);
        let first = page(&all, None, 5, 10);
        let next = DirectoryToken::parse(first.next.as_deref().unwrap()).unwrap();
        let rest: Vec<String> = all
            .iter()
            .skip(5)
            .map(|room| room.room_id.to_string())
            .collect();
        all.remove(4);
        assert_eq!(ids(&page(&all, Some(&next), 5, 9)), rest);
    }

    #[test]
    fn the_first_page_has_no_page_before_it_and_an_only_page_none_after() {
        let page = page(&listings(3), None, 7, 3);
        assert_eq!((page.next, page.prev), (None, None));
    }
}
