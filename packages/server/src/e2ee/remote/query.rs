//! The keys of other servers' users, for a client that asks.
//!
//! A list that is kept and up to date answers by itself. A list that may be kept is asked for as a
//! whole. The keys of users with whom no room is shared are asked for and handed on. All servers are
//! asked at the same time, and none for longer than the client waits.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, future::join_all, stream};
use matryx_client::outbound::Limits;
use matryx_entity::{device_keys::DeviceKeys, device_list::DeviceList, stored::Key};
use ruma::{
    OwnedDeviceId, OwnedServerName, OwnedUserId, ServerName, UserId,
    api::federation::keys::get_keys::v1::{Request, Response},
};
use tokio::time::{Instant, timeout_at};

use super::{RemoteError, RemoteLists, check, resync::MAX_DEVICES};

/// The longest that a client waits, whatever it asks for.
const LONGEST: Duration = Duration::from_secs(30);

/// The most bytes of an answer.
const MAX_ANSWER: usize = 16 << 20;

/// How many lists are asked for at once for one request.
const AT_ONCE: usize = 32;

/// Users, each with the devices that are asked for; all of them if none is named.
pub type Wanted = BTreeMap<OwnedUserId, Vec<OwnedDeviceId>>;

/// Why a server told nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteFailure {
    /// It did not answer in time.
    Late,
    /// It can't be reached, or its answer is of no use.
    Failed,
}

/// What there is of the users that were asked for.
#[derive(Debug, Default)]
pub struct RemoteKeys {
    /// Users whose lists are kept here and are up to date: what is stored of them is the answer.
    pub kept: Vec<OwnedUserId>,
    /// What was told of the others, for this once.
    pub told: BTreeMap<OwnedUserId, ToldKeys>,
    /// Servers that told nothing, or not everything.
    pub failures: BTreeMap<OwnedServerName, RemoteFailure>,
}

/// What a server told of a user whose list is not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToldKeys {
    /// The devices that were asked for.
    pub devices: Vec<DeviceKeys>,
    /// The master key, as canonical JSON.
    pub master: Option<String>,
    /// The key that signs devices, as canonical JSON.
    pub self_signing: Option<String>,
}

/// Which request is under way, as a text: the server, and who is asked for.
pub(super) type Question = (OwnedServerName, String);

/// What came of it.
pub(super) type Told = Result<Arc<BTreeMap<OwnedUserId, ToldKeys>>, RemoteFailure>;

/// How the lists of the users of one request are to be had.
#[derive(Default)]
struct Sorted {
    kept: Vec<OwnedUserId>,
    /// A room is shared with them.
    to_keep: BTreeSet<OwnedUserId>,
    others: BTreeMap<OwnedServerName, Wanted>,
}

impl RemoteLists {
    /// The keys of users of other servers, for a user of this one who waits so long.
    ///
    /// # Errors
    /// This server's own database fails. What other servers do is no error but a failure.
    pub async fn query(
        &self,
        requester: &UserId,
        wanted: Wanted,
        patience: Duration,
    ) -> Result<RemoteKeys, RemoteError> {
        let until = Instant::now() + patience.min(LONGEST);
        let sorted = self.sort(requester, wanted).await?;
        let asked = sorted.others.into_iter().map(|(server, wanted)| async {
            let told = timeout_at(until, self.ask_once(&server, wanted)).await;
            (server, told.unwrap_or(Err(RemoteFailure::Late)))
        });
        let kept = stream::iter(sorted.to_keep).map(|user| async move {
            let asked = timeout_at(until, self.resync(&user)).await;
            let outcome = match asked {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(RemoteFailure::Failed),
                Err(_elapsed) => Err(RemoteFailure::Late),
            };
            (user, outcome)
        });
        let kept = kept.buffer_unordered(AT_ONCE).collect::<Vec<_>>();
        let (asked, asked_for) = futures_util::future::join(join_all(asked), kept).await;
        let mut keys = RemoteKeys {
            kept: sorted.kept,
            ..RemoteKeys::default()
        };
        for (server, told) in asked {
            match told {
                Ok(told) => keys.told.extend(Arc::unwrap_or_clone(told)),
                Err(failure) => {
                    keys.failures.insert(server, failure);
                }
            }
        }
        for (user, outcome) in asked_for {
            match outcome {
                Ok(()) => keys.kept.push(user),
                Err(failure) => {
                    keys.failures.insert(user.server_name().to_owned(), failure);
                }
            }
        }
        Ok(keys)
    }

    /// Sorts users by how their lists are to be had: one query, and the rooms of who asks.
    async fn sort(&self, requester: &UserId, wanted: Wanted) -> Result<Sorted, RemoteError> {
        let deps = &self.0.deps;
        let view = deps.sync.user(requester).await?;
        let mut rooms = Vec::new();
        for member in view.joined() {
            rooms.extend(deps.sync.room(member.room).await?);
        }
        let keys: Vec<Key> = wanted.keys().map(|user| DeviceList::key_of(user)).collect();
        let lists = deps.store.get_many::<DeviceList>(&keys).await?;
        let mut sorted = Sorted::default();
        for ((user, devices), list) in wanted.into_iter().zip(lists) {
            if let Some(list) = &list
                && self.is_current(list).await?
            {
                sorted.kept.push(user);
            } else if let Some(room) = rooms.iter().find(|room| room.is_joined(&user)) {
                self.0.sharing.remember(&user, room.no);
                sorted.to_keep.insert(user);
            } else {
                let server = user.server_name().to_owned();
                let of_server = sorted.others.entry(server).or_default();
                of_server.insert(user, devices);
            }
        }
        Ok(sorted)
    }

    /// Asks a server, or waits for who asks it the same.
    async fn ask_once(&self, server: &ServerName, wanted: Wanted) -> Told {
        let Ok(text) = serde_json::to_string(&wanted) else {
            return Err(RemoteFailure::Failed);
        };
        let question = (server.to_owned(), text);
        let lists = self.clone();
        let ask = || {
            let server = question.0.clone();
            async move { lists.ask(&server, wanted).await }.boxed()
        };
        self.0.questions.join(&question, ask).await
    }

    async fn ask(&self, server: &ServerName, wanted: Wanted) -> Told {
        let of_one = self.places_of(server);
        let (Ok(_one), Ok(_all)) = (of_one.acquire().await, self.0.places.acquire().await) else {
            return Err(RemoteFailure::Failed);
        };
        let limits = Limits {
            time: LONGEST,
            body: MAX_ANSWER,
        };
        let request = Request::new(wanted.clone());
        let answer = self.send(server, request, limits).await;
        match answer.ok_or(RemoteFailure::Failed)? {
            Ok(answer) => Ok(Arc::new(believed(&wanted, &answer))),
            Err(error) => {
                tracing::info!(%server, %error, "keys cannot be asked for");
                Err(RemoteFailure::Failed)
            }
        }
    }
}

/// What is believed of an answer: nothing about anybody else than was asked for.
fn believed(wanted: &Wanted, answer: &Response) -> BTreeMap<OwnedUserId, ToldKeys> {
    let mut all = BTreeMap::new();
    for (user, devices) in wanted {
        let master = answer.master_keys.get(user);
        let master = master.and_then(|it| check::master_key(user, it.json().get()));
        let own = answer.self_signing_keys.get(user).zip(master.as_ref());
        let own = own.and_then(|(it, by)| check::self_signing_key(user, it.json().get(), by));
        let mut told = ToldKeys {
            devices: Vec::new(),
            master,
            self_signing: own,
        };
        let Some(of_user) = answer.device_keys.get(user) else {
            if told.master.is_some() {
                all.insert(user.clone(), told);
            }
            continue;
        };
        for (device_id, keys) in of_user.iter().take(MAX_DEVICES) {
            let is_wanted = devices.is_empty() || devices.contains(device_id);
            let json = keys.json().get();
            if is_wanted && let Some(json) = check::device_keys(user, device_id, json) {
                told.devices.push(DeviceKeys {
                    user: user.clone(),
                    device_id: device_id.clone(),
                    json,
                    display_name: check::told_name(keys.json().get()),
                });
            }
        }
        all.insert(user.clone(), told);
    }
    all
}
