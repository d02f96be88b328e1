//! Lists that are asked for in the background: those that were known and missed a change.
//!
//! One task for each server with such lists; it ends with the last of them. A server that does not
//! answer is tried ever later, and at once when it shows that it lives.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use ruma::{OwnedServerName, OwnedUserId, ServerName, UserId};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use super::{RemoteLists, resync::ResyncFailed};
use crate::federation::sender::backoff;

/// How many lists of a server are asked for at once.
const AT_ONCE: usize = 4;

/// How long to wait after the database failed.
const RETRY: Duration = Duration::from_secs(1);

/// The lists of one server that are to be asked for.
pub(super) struct Waiting {
    users: VecDeque<OwnedUserId>,
    /// Wakes the task while it waits for its next attempt.
    bell: Arc<Notify>,
}

impl RemoteLists {
    /// Sees to it that a list is asked for.
    pub(super) fn schedule(&self, user: &UserId) {
        let server = user.server_name();
        let mut waiting = self.0.waiting.lock();
        if let Some(waiting) = waiting.get_mut(server) {
            if !waiting.users.iter().any(|other| other == user) {
                waiting.users.push_back(user.to_owned());
            }
            return;
        }
        let bell = Arc::new(Notify::new());
        let of_server = Waiting {
            users: VecDeque::from([user.to_owned()]),
            bell: Arc::clone(&bell),
        };
        waiting.insert(server.to_owned(), of_server);
        let (lists, server) = (self.clone(), server.to_owned());
        self.0.deps.tasks.spawn(async move {
            let shutdown = lists.0.deps.shutdown.clone();
            shutdown
                .run_until_cancelled(lists.work(&server, &bell))
                .await;
        });
    }

    /// A server has proved to be alive: what is to be asked of it is asked now.
    pub fn note_alive(&self, server: &ServerName) {
        self.0.rests.end(server);
        if let Some(waiting) = self.0.waiting.lock().get(server) {
            waiting.bell.notify_one();
        }
    }

    /// Takes up what the last process left.
    pub(super) fn take_up(&self) {
        let lists = self.clone();
        self.0.deps.tasks.spawn(async move {
            let shutdown = lists.0.deps.shutdown.clone();
            let work = async {
                loop {
                    match lists.0.deps.store.stale_device_lists().await {
                        Ok(users) => return users.iter().for_each(|user| lists.schedule(user)),
                        Err(error) => tracing::warn!(%error, "cannot read the device lists"),
                    }
                    sleep(RETRY).await;
                }
            };
            shutdown.run_until_cancelled(work).await;
        });
    }

    async fn work(&self, server: &OwnedServerName, bell: &Notify) {
        let mut failures = 0;
        loop {
            let Some(users) = self.next_to_ask(server) else {
                return;
            };
            let asked = users.into_iter().map(|user| async move {
                let outcome = self.resync(&user).await;
                (user, outcome)
            });
            let outcomes: Vec<_> = stream::iter(asked)
                .buffer_unordered(AT_ONCE)
                .collect()
                .await;
            let mut pause = None;
            for (user, outcome) in outcomes {
                match outcome {
                    Ok(()) => failures = 0,
                    Err(ResyncFailed::NotShared) => {}
                    Err(ResyncFailed::Here) => pause = Some(RETRY),
                    Err(ResyncFailed::Later | ResyncFailed::Useless) => {
                        failures += 1;
                        let chance = rand::random();
                        pause = Some(backoff::wait(&self.0.deps.retry, failures, chance));
                    }
                }
                if !matches!(outcome, Ok(()) | Err(ResyncFailed::NotShared)) {
                    self.schedule(&user);
                }
            }
            if let Some(pause) = pause {
                // Either is a reason to try again.
                drop(timeout(pause, bell.notified()).await);
            }
        }
    }

    /// The next users of a server in turn; none if none is left, and nobody will ask any more.
    fn next_to_ask(&self, server: &ServerName) -> Option<Vec<OwnedUserId>> {
        let mut waiting = self.0.waiting.lock();
        let of_server = waiting.get_mut(server)?;
        let mut users = Vec::new();
        while users.len() < AT_ONCE
            && let Some(user) = of_server.users.pop_front()
        {
            users.push(user);
        }
        if users.is_empty() {
            waiting.remove(server);
            return None;
        }
        Some(users)
    }
}
