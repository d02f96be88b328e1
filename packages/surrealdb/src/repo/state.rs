//! State: what holds now, and what held at any other moment.

use std::collections::{BTreeMap, HashMap};

use matryx_entity::{
    key,
    room_no::RoomNo,
    state::{StateGroup, StateRow},
    stored::Key,
};
use ruma::OwnedEventId;

use crate::{error::StoreError, range::KeyRange, store::Store};

/// The state of a room at one moment: `(type, state_key)` to event id.
pub type FoldedState = BTreeMap<(String, String), OwnedEventId>;

impl Store {
    /// All slots of a room's current state, by type and state key: one query.
    ///
    /// # Errors
    /// The database is away or damaged.
    pub async fn state(&self, room: RoomNo) -> Result<Vec<StateRow>, StoreError> {
        self.range(KeyRange::prefix(&key![room])).await
    }

    /// The slots of one type of a room's current state, by state key: one query.
    ///
    /// # Errors
    /// The database is away or damaged.
    pub async fn state_of_type(
        &self,
        room: RoomNo,
        kind: &str,
    ) -> Result<Vec<StateRow>, StoreError> {
        self.range(KeyRange::prefix(&key![room, kind])).await
    }

    /// One state group as it is stored: one query.
    ///
    /// # Errors
    /// The database is away or damaged.
    pub async fn state_group(
        &self,
        room: RoomNo,
        group: i64,
    ) -> Result<Option<StateGroup>, StoreError> {
        self.get(&key![room, group]).await
    }

    /// The whole state of a state group: two queries, one for a snapshot. `None` if the group,
    /// or part of its chain, does not exist.
    ///
    /// # Errors
    /// The database is away or damaged.
    pub async fn state_of_group(
        &self,
        room: RoomNo,
        group: i64,
    ) -> Result<Option<FoldedState>, StoreError> {
        let Some(last) = self.state_group(room, group).await? else {
            return Ok(None);
        };
        if last.prev.is_none() {
            return Ok(Some(fold([&last])));
        }
        let (first, end) = (last.base.min(group), last.base.max(group));
        let range = KeyRange::inclusive(&key![room, first], &key![room, end]);
        let groups: Vec<StateGroup> = self.range(range).await?;
        let groups = groups.into_iter().map(|group| (group.group, group));
        Ok(state_in(&groups.collect(), group))
    }

    /// Some slots of several state groups, by group; groups that do not exist, or lack a part of
    /// their chain, are left out. One query, and one more for each snapshot that their chains end
    /// in.
    ///
    /// # Errors
    /// The database is away or damaged.
    pub async fn slots_of_groups(
        &self,
        room: RoomNo,
        groups: &[i64],
        wanted: impl Fn(&str, &str) -> bool,
    ) -> Result<HashMap<i64, FoldedState>, StoreError> {
        let keys: Vec<Key> = groups.iter().map(|group| key![room, *group]).collect();
        let mut links: BTreeMap<i64, StateGroup> = BTreeMap::new();
        // Of each snapshot, the range in which the chains lie that end in it.
        let mut chains: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
        let mut keep = |mut group: StateGroup| {
            group.set.retain(|(kind, key, _)| wanted(kind, key));
            group.unset.retain(|(kind, key)| wanted(kind, key));
            links.insert(group.group, group);
        };
        for group in self
            .get_many::<StateGroup>(&keys)
            .await?
            .into_iter()
            .flatten()
        {
            if group.prev.is_some() {
                let (first, last) = chains.entry(group.base).or_insert((group.base, group.base));
                *first = group.group.min(*first);
                *last = group.group.max(*last);
            }
            keep(group);
        }
        for (first, last) in chains.into_values() {
            let range = KeyRange::inclusive(&key![room, first], &key![room, last]);
            self.range::<StateGroup>(range)
                .await?
                .into_iter()
                .for_each(&mut keep);
        }
        let states = groups.iter();
        Ok(states
            .filter_map(|group| Some((*group, state_in(&links, *group)?)))
            .collect())
    }
}

/// The state of a group, if all of its chain is among these.
fn state_in(groups: &BTreeMap<i64, StateGroup>, group: i64) -> Option<FoldedState> {
    let mut chain = Vec::new();
    let mut next = Some(group);
    while let Some(number) = next {
        // A chain that meets a group twice is damaged, and would go round for ever.
        if chain.len() >= groups.len() {
            return None;
        }
        let link = groups.get(&number)?;
        chain.push(link);
        next = link.prev;
    }
    Some(fold(chain.into_iter().rev()))
}

/// Applies the groups of a chain, its snapshot first.
fn fold<'a>(chain: impl IntoIterator<Item = &'a StateGroup>) -> FoldedState {
    let mut state = FoldedState::new();
    for group in chain {
        for slot in &group.unset {
            state.remove(slot);
        }
        for (kind, state_key, event_id) in &group.set {
            state.insert((kind.clone(), state_key.clone()), event_id.clone());
        }
    }
    state
}
