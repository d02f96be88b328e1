//! What is known of one user, and what follows from it. Pure.

use std::time::Duration;

use ruma::{MilliSecondsSinceUnixEpoch, presence::PresenceState};

use super::{PresenceOptions, later};

/// How long after an act a user counts as active.
const ACTIVE: Duration = Duration::from_mins(1);

/// For how long the word of another server counts.
const REMOTE: Duration = Duration::from_mins(30);

/// What others see of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceStatus {
    /// Online, idle or offline.
    pub presence: PresenceState,
    /// What the user says about it.
    pub status_msg: Option<String>,
    /// When the user last did something; none if that is not known.
    pub last_active: Option<MilliSecondsSinceUnixEpoch>,
    /// Was that a moment ago?
    pub currently_active: bool,
}

impl PresenceStatus {
    /// How long ago the user did something, in milliseconds.
    pub fn last_active_ago(&self, now: MilliSecondsSinceUnixEpoch) -> Option<u64> {
        let last: u64 = self.last_active?.get().into();
        Some(u64::from(now.get()).saturating_sub(last))
    }
}

/// What another server says of a user of its.
#[derive(Clone, Debug)]
pub struct RemotePresence {
    /// Online, idle or offline.
    pub presence: PresenceState,
    /// What the user says about it.
    pub status_msg: Option<String>,
    /// How long ago the user did something.
    pub last_active_ago: Duration,
    /// Was that a moment ago?
    pub currently_active: bool,
}

#[derive(Debug)]
pub(super) struct User {
    /// The serial of the newest change that others see.
    pub(super) serial: u64,
    /// When this user is to be looked at again.
    pub(super) deadline: Option<MilliSecondsSinceUnixEpoch>,
    status_msg: Option<String>,
    last_active: Option<MilliSecondsSinceUnixEpoch>,
    source: Source,
    /// What was told to others, and when.
    told: Option<(PresenceState, Option<String>, MilliSecondsSinceUnixEpoch)>,
}

#[derive(Debug)]
enum Source {
    Local {
        /// What the user or the newest of its clients says.
        chosen: PresenceState,
        /// The clients that sync now.
        sessions: Vec<(u64, PresenceState)>,
        /// When the last of them went, or the user chose.
        seen: Option<MilliSecondsSinceUnixEpoch>,
    },
    Remote {
        presence: PresenceState,
        currently_active: bool,
        until: MilliSecondsSinceUnixEpoch,
    },
}

impl User {
    pub(super) fn unknown() -> Self {
        Self {
            serial: 0,
            deadline: None,
            status_msg: None,
            last_active: None,
            source: Source::Local {
                chosen: PresenceState::Offline,
                sessions: Vec::new(),
                seen: None,
            },
            told: None,
        }
    }

    pub(super) fn recalled(status: &PresenceStatus) -> Self {
        Self {
            status_msg: status.status_msg.clone(),
            last_active: status.last_active,
            ..Self::unknown()
        }
    }

    pub(super) fn is_remote(&self) -> bool {
        matches!(self.source, Source::Remote { .. })
    }

    pub(super) fn choose(
        &mut self,
        presence: &PresenceState,
        message: Option<String>,
        now: MilliSecondsSinceUnixEpoch,
    ) {
        self.status_msg = message;
        if let Source::Local { chosen, seen, .. } = &mut self.source {
            *chosen = presence.clone();
            *seen = Some(now);
        }
        if *presence == PresenceState::Online {
            self.last_active = Some(now);
        }
    }

    /// What the user does shows that it is there.
    pub(super) fn act(&mut self, now: MilliSecondsSinceUnixEpoch) {
        self.last_active = Some(now);
        if let Source::Local {
            chosen, sessions, ..
        } = &mut self.source
            && *chosen == PresenceState::Unavailable
            && sessions.iter().any(|(_, it)| *it == PresenceState::Online)
        {
            *chosen = PresenceState::Online;
        }
    }

    pub(super) fn begin_session(
        &mut self,
        number: u64,
        presence: &PresenceState,
        now: MilliSecondsSinceUnixEpoch,
        options: &PresenceOptions,
    ) {
        let was_offline = self.status(now, options).presence == PresenceState::Offline;
        if let Source::Local {
            chosen, sessions, ..
        } = &mut self.source
        {
            sessions.push((number, presence.clone()));
            let is_online = |(_, it): &(u64, PresenceState)| *it == PresenceState::Online;
            *chosen = if sessions.iter().any(is_online) {
                PresenceState::Online
            } else {
                presence.clone()
            };
        }
        if was_offline && *presence == PresenceState::Online {
            self.last_active = Some(now);
        }
    }

    pub(super) fn end_session(&mut self, number: u64, now: MilliSecondsSinceUnixEpoch) {
        if let Source::Local { sessions, seen, .. } = &mut self.source {
            sessions.retain(|(known, _)| *known != number);
            *seen = Some(now);
        }
    }

    pub(super) fn hear(&mut self, news: RemotePresence, now: MilliSecondsSinceUnixEpoch) {
        let ago = u64::try_from(news.last_active_ago.as_millis()).unwrap_or(u64::MAX);
        let last = u64::from(now.get()).saturating_sub(ago);
        self.last_active = ruma::UInt::try_from(last)
            .ok()
            .map(MilliSecondsSinceUnixEpoch);
        self.status_msg = news.status_msg;
        self.source = Source::Remote {
            presence: news.presence,
            currently_active: news.currently_active,
            until: later(now, REMOTE),
        };
    }

    pub(super) fn status(
        &self,
        now: MilliSecondsSinceUnixEpoch,
        options: &PresenceOptions,
    ) -> PresenceStatus {
        let presence = match &self.source {
            Source::Remote {
                presence, until, ..
            } if *until > now => presence.clone(),
            Source::Remote { .. } => PresenceState::Offline,
            Source::Local {
                chosen,
                sessions,
                seen,
            } => {
                let lasts = |seen: &MilliSecondsSinceUnixEpoch| later(*seen, options.grace) > now;
                if sessions.is_empty() && !seen.as_ref().is_some_and(lasts) {
                    PresenceState::Offline
                } else if *chosen == PresenceState::Online && self.is_idle(now, options) {
                    PresenceState::Unavailable
                } else {
                    chosen.clone()
                }
            }
        };
        let acted = |last: MilliSecondsSinceUnixEpoch| later(last, ACTIVE) > now;
        let currently_active = presence == PresenceState::Online
            && match self.source {
                Source::Remote {
                    currently_active, ..
                } => currently_active,
                Source::Local { .. } => self.last_active.is_some_and(acted),
            };
        PresenceStatus {
            presence,
            status_msg: self.status_msg.clone(),
            last_active: self.last_active,
            currently_active,
        }
    }

    fn is_idle(&self, now: MilliSecondsSinceUnixEpoch, options: &PresenceOptions) -> bool {
        self.last_active
            .is_none_or(|last| later(last, options.idle_after) <= now)
    }

    /// When time alone will change what others see, or it is to be said again.
    pub(super) fn next_deadline(
        &self,
        now: MilliSecondsSinceUnixEpoch,
        options: &PresenceOptions,
        repeat: Duration,
    ) -> Option<MilliSecondsSinceUnixEpoch> {
        if self.status(now, options).presence == PresenceState::Offline {
            return None;
        }
        let mut moments = Vec::new();
        match &self.source {
            Source::Remote { until, .. } => moments.push(*until),
            Source::Local { sessions, seen, .. } => {
                if sessions.is_empty() {
                    moments.extend(seen.map(|seen| later(seen, options.grace)));
                }
                moments.extend(self.last_active.map(|it| later(it, options.idle_after)));
                moments.extend(self.told.as_ref().map(|(_, _, told)| later(*told, repeat)));
            }
        }
        moments.into_iter().filter(|moment| *moment > now).min()
    }

    /// Do others know this?
    pub(super) fn is_told(&self, status: &PresenceStatus) -> bool {
        match &self.told {
            Some((presence, message, _)) => {
                *presence == status.presence && *message == status.status_msg
            }
            None => status.presence == PresenceState::Offline && status.status_msg.is_none(),
        }
    }

    /// Were others told of this so long ago that they may have forgotten it?
    pub(super) fn is_stale(&self, now: MilliSecondsSinceUnixEpoch, repeat: Duration) -> bool {
        self.told.as_ref().is_some_and(|(presence, _, told)| {
            *presence != PresenceState::Offline && later(*told, repeat) <= now
        })
    }

    pub(super) fn tell(&mut self, status: &PresenceStatus, now: MilliSecondsSinceUnixEpoch) {
        self.told = Some((status.presence.clone(), status.status_msg.clone(), now));
    }

    /// The serial of somebody of whom nothing is lost if they are forgotten.
    pub(super) fn forgettable(&self) -> Option<u64> {
        let is_offline = self
            .told
            .as_ref()
            .is_none_or(|(presence, _, _)| *presence == PresenceState::Offline);
        let is_free = match &self.source {
            Source::Local { sessions, .. } => sessions.is_empty(),
            Source::Remote { .. } => true,
        };
        (is_offline && is_free).then_some(self.serial)
    }
}
