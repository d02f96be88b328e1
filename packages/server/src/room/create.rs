//! Creating a room: all of its first events in one commit.

use futures_util::future::join_all;
use matryx_entity::{
    build::{self, EventTemplate},
    canonical, key,
    room::{Alias, PublishedRoom, Room, RoomPointer},
    room_snapshot::RoomSnapshot,
    room_versions,
    stretch::FIRST_POS,
};
use matryx_surrealdb::StoreError;
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, MilliSecondsSinceUnixEpoch, OwnedRoomAliasId,
    OwnedRoomId, OwnedUserId, RoomAliasId, RoomId, RoomVersionId, UInt,
    api::client::room::{Visibility, create_room::v3::RoomPreset},
    events::{TimelineEventType, room::member::MembershipState},
};
use serde::Deserialize;

use super::{
    RoomError, Rooms, alias,
    decision::Intent,
    member_content::{content, intent, set},
    pipeline::Draft,
    power_levels,
};

/// How many users may be invited while a room is created.
const MAX_INVITES: usize = 100;
/// How many rooms that are alike in all that makes up their id may be created at once.
const MAX_TRIES: usize = 16;
/// How many state events may be given for a new room.
const MAX_INITIAL_STATE: usize = 200;

/// A room as its creator wants it.
/// [Spec](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3createroom)
#[derive(Debug)]
pub struct CreateRoom {
    /// The creator.
    pub creator: OwnedUserId,
    /// Fields of `m.room.create`, as JSON text.
    pub creation_content: Option<String>,
    /// State events, as JSON text.
    pub initial_state: Vec<String>,
    /// Whom to invite.
    pub invite: Vec<OwnedUserId>,
    /// How many invites by third-party identifier were asked for.
    pub invite_3pid: usize,
    /// Are these invites to a direct chat?
    pub is_direct: bool,
    /// `m.room.name`.
    pub name: Option<String>,
    /// `m.room.topic`.
    pub topic: Option<String>,
    /// Fields of `m.room.power_levels`, as JSON text.
    pub power_levels: Option<String>,
    /// What the join rules and history visibility are.
    pub preset: Option<RoomPreset>,
    /// The localpart of the room's alias.
    pub alias_localpart: Option<String>,
    /// The room's version; the server's default if none is given.
    pub version: Option<RoomVersionId>,
    /// Is the room listed in the directory?
    pub visibility: Visibility,
}

#[derive(Deserialize)]
struct InitialState {
    #[serde(rename = "type")]
    kind: TimelineEventType,
    #[serde(default)]
    state_key: String,
    content: Box<serde_json::value::RawValue>,
}

impl Rooms {
    /// Creates a room and returns its id once all of its first events are durable.
    ///
    /// # Errors
    /// 400 for an alias that is taken, a version that is not supported, or content that the auth
    /// rules of the version refuse.
    pub async fn create(&self, request: CreateRoom) -> Result<OwnedRoomId, RoomError> {
        let rooms = self.clone();
        self.to_the_end(async move { rooms.create_now(request).await })
            .await
    }

    async fn create_now(&self, request: CreateRoom) -> Result<OwnedRoomId, RoomError> {
        if request.invite.len() > MAX_INVITES || request.initial_state.len() > MAX_INITIAL_STATE {
            return Err(RoomError::InvalidParam(format!(
                "at most {MAX_INVITES} invites and {MAX_INITIAL_STATE} state events"
            )));
        }
        if request.invite_3pid > 0 {
            return Err(RoomError::NoIdentityServer);
        }
        for user in request.invite.iter().filter(|user| self.is_ours(user)) {
            self.check_invitee(user).await?;
        }
        let alias = self.new_alias(&request).await?;
        let room_id = self.create_once(&request, alias.as_deref()).await?;
        self.invite_others(&request, &room_id).await?;
        Ok(room_id)
    }

    async fn create_once(
        &self,
        request: &CreateRoom,
        alias: Option<&RoomAliasId>,
    ) -> Result<OwnedRoomId, RoomError> {
        let mut ts = self.clock().now();
        for _ in 1..MAX_TRIES {
            match self.create_at(request, alias, ts).await {
                // From version 12 on the id of a room is the hash of its first event: two alike
                // rooms of one millisecond would be one.
                Err(RoomError::Store(StoreError::Exists { .. })) => {
                    ts = MilliSecondsSinceUnixEpoch(ts.get().saturating_add(UInt::from(1_u32)));
                }
                outcome => return outcome,
            }
        }
        self.create_at(request, alias, ts).await
    }

    async fn create_at(
        &self,
        request: &CreateRoom,
        alias: Option<&RoomAliasId>,
        ts: MilliSecondsSinceUnixEpoch,
    ) -> Result<OwnedRoomId, RoomError> {
        let version = request
            .version
            .clone()
            .unwrap_or_else(|| self.inner.deps.default_version.clone());
        let create = self.create_event(request, &version, ts)?;
        let room_id = create.room_id().to_owned();
        let no = self.store().next_room_no()?;
        let head = self.new_head(RoomSnapshot::empty(no, room_id.clone(), version.clone()));

        let mut draft = Draft::new(self, head);
        draft.plan.create(&Room {
            no,
            room_id: room_id.clone(),
            version,
            entered: FIRST_POS,
        });
        draft.plan.create(&RoomPointer {
            room_id: room_id.clone(),
            no,
        });
        if let Some(alias) = alias {
            draft.plan.create(&Alias {
                alias: alias.to_owned(),
                room_id: room_id.clone(),
                room: no,
                creator: request.creator.clone(),
            });
        }
        if request.visibility == Visibility::Public {
            draft.plan.create(&PublishedRoom {
                room: no,
                room_id: room_id.clone(),
            });
        }
        draft.add_built(create, None).await.map_err(refused)?;
        for intent in self.first_events(request, &draft, alias).await? {
            draft.add(intent, None).await.map_err(refused)?;
        }
        let turn = self.first_turn(no).await;
        let landing = draft.take_off();
        match draft.commit(turn, landing).await {
            Ok(()) => Ok(room_id),
            Err(StoreError::Exists { table: "alias", .. }) => Err(alias
                .map_or(RoomError::Busy, |alias| {
                    RoomError::AliasTaken(alias.to_owned())
                })),
            Err(error) => Err(error.into()),
        }
    }

    fn create_event(
        &self,
        request: &CreateRoom,
        version: &RoomVersionId,
        ts: MilliSecondsSinceUnixEpoch,
    ) -> Result<matryx_entity::pdu::Pdu, RoomError> {
        let rules = room_versions::rules(version)?;
        let mut content = match &request.creation_content {
            Some(text) => canonical::parse_object(text)?,
            None => CanonicalJsonObject::new(),
        };
        content.remove("creator");
        set(&mut content, "room_version", Some(version.as_str()));
        if !rules.authorization.use_room_create_sender {
            set(&mut content, "creator", Some(request.creator.as_str()));
        }
        let trusts_invited = request.preset == Some(RoomPreset::TrustedPrivateChat);
        if rules.authorization.additional_room_creators && trusts_invited {
            add_creators(&mut content, &request.invite)?;
        }
        let deps = &self.inner.deps;
        build::build_create(
            version,
            content,
            &request.creator,
            ts,
            || RoomId::new_v1(self.server_name()),
            &deps.signer,
        )
        .map_err(Into::into)
    }

    async fn new_alias(&self, request: &CreateRoom) -> Result<Option<OwnedRoomAliasId>, RoomError> {
        let Some(localpart) = &request.alias_localpart else {
            return Ok(None);
        };
        if localpart.is_empty() || localpart.contains([':', '#', '\0']) {
            return Err(RoomError::InvalidParam(
                "room_alias_name is malformed".to_owned(),
            ));
        }
        let alias = OwnedRoomAliasId::try_from(format!("#{localpart}:{}", self.server_name()))
            .map_err(|error| RoomError::InvalidParam(format!("room_alias_name: {error}")))?;
        alias::check_name(&alias)?;
        if self
            .store()
            .get::<Alias>(&key![alias.as_str()])
            .await?
            .is_some()
        {
            return Err(RoomError::AliasTaken(alias));
        }
        Ok(Some(alias))
    }

    /// The events after `m.room.create`, in the order of the spec.
    async fn first_events(
        &self,
        request: &CreateRoom,
        draft: &Draft<'_>,
        alias: Option<&RoomAliasId>,
    ) -> Result<Vec<Intent>, RoomError> {
        let creator = &request.creator;
        let state = |kind, content| Intent::new(creator, EventTemplate::state(kind, "", content));
        let one = |field: &str, value: &str| {
            let mut content = CanonicalJsonObject::new();
            set(&mut content, field, Some(value));
            content
        };
        let mut joined = content(&MembershipState::Join, None);
        self.add_profile(&mut joined, creator).await?;
        let mut intents = vec![intent(creator, creator, joined)];

        let preset = request.preset.clone().unwrap_or(match request.visibility {
            Visibility::Public => RoomPreset::PublicChat,
            _ => RoomPreset::PrivateChat,
        });
        let overrides = match &request.power_levels {
            Some(text) => canonical::parse_object(text)?,
            None => CanonicalJsonObject::new(),
        };
        intents.push(state(
            TimelineEventType::RoomPowerLevels,
            power_levels::initial(
                &draft.head.snapshot.version,
                creator,
                &request.invite,
                &preset,
                overrides,
            )?,
        ));
        if let Some(alias) = alias {
            intents.push(state(
                TimelineEventType::RoomCanonicalAlias,
                one("alias", alias.as_str()),
            ));
        }
        let given = initial_state(request)?;
        let is_given = |kind: &TimelineEventType| {
            given
                .iter()
                .any(|event| event.kind == *kind && event.state_key.is_empty())
        };
        let (join_rule, guest_access) = match preset {
            RoomPreset::PublicChat => ("public", "forbidden"),
            _ => ("invite", "can_join"),
        };
        for (kind, field, value) in [
            (TimelineEventType::RoomJoinRules, "join_rule", join_rule),
            (
                TimelineEventType::RoomHistoryVisibility,
                "history_visibility",
                "shared",
            ),
            (
                TimelineEventType::RoomGuestAccess,
                "guest_access",
                guest_access,
            ),
        ] {
            if !is_given(&kind) {
                intents.push(state(kind, one(field, value)));
            }
        }
        for event in given {
            let content = EventTemplate::content_from(&event.content)?;
            intents.push(Intent::new(
                creator,
                EventTemplate::state(event.kind, event.state_key, content),
            ));
        }
        if let Some(name) = &request.name {
            intents.push(state(TimelineEventType::RoomName, one("name", name)));
        }
        if let Some(topic) = &request.topic {
            intents.push(state(TimelineEventType::RoomTopic, topic_content(topic)));
        }
        intents.extend(self.invites(request).await?);
        Ok(intents)
    }

    async fn invites(&self, request: &CreateRoom) -> Result<Vec<Intent>, RoomError> {
        let creator = &request.creator;
        let mut intents = Vec::with_capacity(request.invite.len());
        for user in request.invite.iter().filter(|user| self.is_ours(user)) {
            let mut content = invite(request);
            self.add_profile(&mut content, user).await?;
            intents.push(intent(creator, user, content));
        }
        Ok(intents)
    }

    /// Invites the users of other servers, all at once: their servers are asked first, and can only
    /// be asked about a room that exists. Whoever can't be invited now can be later.
    async fn invite_others(&self, request: &CreateRoom, room_id: &RoomId) -> Result<(), RoomError> {
        let room = self.room_no(room_id).await?;
        let others = request.invite.iter().filter(|user| !self.is_ours(user));
        let invites = others.map(async |user| {
            let invited = self.invite_now(room, &request.creator, user, invite(request));
            if let Err(error) = invited.await {
                tracing::warn!(%room_id, %user, %error, "a user is not invited to a new room");
            }
        });
        join_all(invites).await;
        Ok(())
    }
}

fn invite(request: &CreateRoom) -> CanonicalJsonObject {
    let mut content = content(&MembershipState::Invite, None);
    if request.is_direct {
        content.insert("is_direct".to_owned(), CanonicalJsonValue::Bool(true));
    }
    content
}

/// The events of `initial_state`. Membership and the create event are not for it to set.
fn initial_state(request: &CreateRoom) -> Result<Vec<InitialState>, RoomError> {
    let mut events = Vec::with_capacity(request.initial_state.len());
    for text in &request.initial_state {
        let event: InitialState = serde_json::from_str(text)
            .map_err(|error| RoomError::BadJson(format!("initial_state: {error}")))?;
        match event.kind {
            TimelineEventType::RoomMember | TimelineEventType::RoomCreate => {
                return Err(RoomError::InvalidParam(format!(
                    "initial_state may not hold {}",
                    event.kind
                )));
            }
            _ => events.push(event),
        }
    }
    Ok(events)
}

/// `m.room.topic` with both the plain and the extensible form.
fn topic_content(topic: &str) -> CanonicalJsonObject {
    let mut text = CanonicalJsonObject::new();
    set(&mut text, "body", Some(topic));
    set(&mut text, "mimetype", Some("text/plain"));
    let texts = CanonicalJsonValue::Array(vec![CanonicalJsonValue::Object(text)]);
    let block = CanonicalJsonObject::from([("m.text".to_owned(), texts)]);
    let mut content = CanonicalJsonObject::new();
    set(&mut content, "topic", Some(topic));
    content.insert("m.topic".to_owned(), CanonicalJsonValue::Object(block));
    content
}

fn add_creators(
    content: &mut CanonicalJsonObject,
    invited: &[OwnedUserId],
) -> Result<(), RoomError> {
    let creators = content
        .entry("additional_creators".to_owned())
        .or_insert_with(|| CanonicalJsonValue::Array(Vec::new()));
    let CanonicalJsonValue::Array(creators) = creators else {
        return Err(RoomError::BadJson(
            "additional_creators is no list".to_owned(),
        ));
    };
    for user in invited {
        let user = CanonicalJsonValue::String(user.to_string());
        if !creators.contains(&user) {
            creators.push(user);
        }
    }
    Ok(())
}

/// What the auth rules refuse while a room is created is the request's fault, not a lack of power.
fn refused(error: RoomError) -> RoomError {
    match error {
        RoomError::Unauthorized(error) => RoomError::InvalidRoomState(error),
        other => other,
    }
}
