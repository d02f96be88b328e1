//! Users of other servers who enter and leave rooms of this one: the templates of their membership
//! events, and what their server gets back.
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#joining-rooms)

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use matryx_entity::{
    auth,
    build::{self, EventTemplate},
    pdu::Pdu,
    resolve::StateSet,
    room_snapshot::RoomSnapshot,
    room_versions,
    timeline::TimelineEvent,
};
use ruma::{
    EventId, OwnedEventId, RoomId, RoomVersionId, UserId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
};

use super::{
    RoomError, Rooms,
    auth_chain::ChainWalk,
    member_content::{content, set},
};

/// An event that another server is to sign.
#[derive(Debug)]
pub struct MembershipTemplate {
    /// The room's version.
    pub version: RoomVersionId,
    /// The event without hashes and signatures.
    pub json: String,
}

/// The room before an event, as another server gets it.
#[derive(Debug, Default)]
pub struct RoomBefore {
    /// The state.
    pub state: Vec<Arc<Pdu>>,
    /// What the state and the event rest on.
    pub auth_chain: Vec<Arc<Pdu>>,
}

impl Rooms {
    /// A room that users of this server are in: only for those can this server speak.
    ///
    /// # Errors
    /// [`RoomError::UnknownRoom`] for any other.
    pub async fn resident(&self, room_id: &RoomId) -> Result<Arc<RoomSnapshot>, RoomError> {
        let room = self.snapshot(room_id).await?;
        if room.local_joined.is_empty() {
            return Err(RoomError::UnknownRoom(room_id.to_owned()));
        }
        Ok(room)
    }

    /// The membership event with which a user of another server enters, knocks on or leaves a room.
    ///
    /// # Errors
    /// 403 when the rules of the room do not allow it; 404 for a room that this server is not in.
    pub async fn membership_template(
        &self,
        room: &RoomSnapshot,
        user: &UserId,
        membership: &MembershipState,
    ) -> Result<MembershipTemplate, RoomError> {
        let mut content = content(membership, None);
        if *membership == MembershipState::Join && !room.is_joined(user) {
            let authority = self.authority_for(room, user).await?;
            let authority = authority.as_deref().map(UserId::as_str);
            set(&mut content, "join_authorised_via_users_server", authority);
        }
        let template = EventTemplate::state(TimelineEventType::RoomMember, user.as_str(), content);
        let ts = self.clock().now();
        let json = build::unsigned(template, room, user, ts)?;
        let pdu = Pdu::parse(
            EventId::new_v1(self.server_name()),
            &room.room_id,
            json,
            false,
        )?;
        let rules = room_versions::rules(&room.version)?;
        auth::authorize(rules, &pdu, room)?;
        Ok(MembershipTemplate {
            version: room.version.clone(),
            json: pdu.json().to_string(),
        })
    }

    /// The state before an event that is part of the room, and the auth chains of both. One query
    /// for each level of the chains, as far as they are not part of the current state.
    ///
    /// # Errors
    /// The room can't be read.
    pub async fn room_before(
        &self,
        room: &RoomSnapshot,
        pdu: &Pdu,
    ) -> Result<RoomBefore, RoomError> {
        let set = self.state_before(room, pdu).await?;
        self.tell(room, &set, pdu.auth_events()).await
    }

    /// The events of a state, and the auth chains of it and of an event with this authority.
    pub(super) async fn tell(
        &self,
        room: &RoomSnapshot,
        set: &StateSet,
        authority: &[OwnedEventId],
    ) -> Result<RoomBefore, RoomError> {
        let mut graph = self
            .auth_graph(room, std::slice::from_ref(set), None)
            .await?;
        graph.extend(self.auth_chain(room, authority).await?);
        let mut chain = BTreeSet::new();
        let mut open: Vec<&EventId> = set.values().map(AsRef::as_ref).collect();
        open.extend(authority.iter().map(AsRef::<EventId>::as_ref));
        chain.extend(authority.iter().map(AsRef::<EventId>::as_ref));
        while let Some(id) = open.pop() {
            for named in graph.get(id).into_iter().flat_map(|pdu| pdu.auth_events()) {
                if chain.insert(named) {
                    open.push(named);
                }
            }
        }
        let of = |id: &EventId| graph.get(id).cloned();
        Ok(RoomBefore {
            state: set.values().filter_map(|id| of(id)).collect(),
            auth_chain: chain.into_iter().filter_map(of).collect(),
        })
    }

    pub(super) async fn auth_chain(
        &self,
        room: &RoomSnapshot,
        ids: &[OwnedEventId],
    ) -> Result<HashMap<OwnedEventId, Arc<Pdu>>, RoomError> {
        let mut chain: HashMap<OwnedEventId, Arc<Pdu>> = HashMap::new();
        let mut open = ids.to_vec();
        let mut walk = ChainWalk::new(self, room);
        while !open.is_empty() {
            let level = walk.level(&open).await?;
            open.clear();
            for event in level {
                chain.insert(event.pdu.event_id().to_owned(), Arc::clone(&event.pdu));
                open.extend(event.pdu.auth_events().iter().cloned());
            }
            open.retain(|id| !chain.contains_key(id));
            open.sort_unstable();
            open.dedup();
        }
        Ok(chain)
    }
}

/// The servers whose users are joined.
pub fn servers_in(room: &RoomSnapshot) -> BTreeSet<String> {
    room.slots(&StateEventType::RoomMember)
        .filter(|(_, event)| is_joined(event))
        .filter_map(|(user, _)| Some(<&UserId>::try_from(user).ok()?.server_name().to_string()))
        .collect()
}

fn is_joined(event: &TimelineEvent) -> bool {
    matryx_entity::room_snapshot::membership_of(event) == MembershipState::Join
}
