//! State resolution: one state from several.
//!
//! Ruma holds the algorithm (version 2, and 2.1 for room version 12); this module computes what it
//! asks for: the auth chains of the states and the conflicted state subgraph. Both walk the auth
//! graph once, without recursion.
//! [Spec](https://spec.matrix.org/v1.19/rooms/v12/#state-resolution)

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use ruma::{
    EventId, OwnedEventId,
    room_version_rules::RoomVersionRules,
    state_res::{self, StateMap, utils::event_id_set::EventIdSet},
};

use crate::pdu::Pdu;

/// A state: which event holds each slot.
pub type StateSet = StateMap<OwnedEventId>;

/// Why states can't be resolved.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The room version has no state resolution that we support.
    #[error("the room version's state resolution is not supported")]
    Version,
    /// An event of a state or of its auth chain could not be fetched.
    #[error("event {0} is unknown")]
    Missing(OwnedEventId),
    /// The algorithm met an event that it can't use.
    #[error(transparent)]
    Algorithm(#[from] state_res::Error),
}

/// Resolves states of one room into one.
///
/// `fetch` must know every event of the states and of their auth chains. States that are equal
/// cost a comparison.
///
/// # Errors
/// An event is missing or unusable.
pub fn resolve(
    rules: &RoomVersionRules,
    states: &[StateSet],
    fetch: impl Fn(&EventId) -> Option<Arc<Pdu>>,
) -> Result<StateSet, ResolveError> {
    let Some((first, others)) = states.split_first() else {
        return Ok(StateSet::new());
    };
    if others.iter().all(|other| other == first) {
        return Ok(first.clone());
    }
    let state_res_rules = rules.state_res.v2_rules().ok_or(ResolveError::Version)?;
    let graph = AuthGraph::load(states, &fetch)?;
    let auth_chains = states.iter().map(|state| graph.chain(state)).collect();
    let resolved = state_res::resolve(
        &rules.authorization,
        state_res_rules,
        states,
        auth_chains,
        |event_id| graph.events.get(event_id).cloned(),
        |conflicted| Some(graph.subgraph(conflicted.values().flatten())),
    )?;
    Ok(resolved)
}

/// The events of some states and all that they rest on.
struct AuthGraph {
    events: HashMap<OwnedEventId, Arc<Pdu>>,
}

impl AuthGraph {
    fn load(
        states: &[StateSet],
        fetch: impl Fn(&EventId) -> Option<Arc<Pdu>>,
    ) -> Result<Self, ResolveError> {
        let mut events: HashMap<OwnedEventId, Arc<Pdu>> = HashMap::new();
        let mut open: Vec<OwnedEventId> =
            states.iter().flat_map(StateMap::values).cloned().collect();
        while let Some(event_id) = open.pop() {
            if events.contains_key(&event_id) {
                continue;
            }
            let event = fetch(&event_id).ok_or_else(|| ResolveError::Missing(event_id.clone()))?;
            open.extend(event.auth_events().iter().cloned());
            events.insert(event_id, event);
        }
        Ok(Self { events })
    }

    /// The full auth chain of a state: everything that its events rest on, however indirectly.
    fn chain(&self, state: &StateSet) -> EventIdSet<OwnedEventId> {
        let mut chain = EventIdSet::new();
        let mut open: Vec<&EventId> = state.values().map(AsRef::as_ref).collect();
        while let Some(event_id) = open.pop() {
            for auth_event in self.auth_events(event_id) {
                if chain.insert(auth_event.clone()) {
                    open.push(auth_event);
                }
            }
        }
        chain
    }

    /// Every event on a path of auth events from one conflicted event to another, the ends
    /// included.
    fn subgraph<'a>(
        &'a self,
        conflicted: impl Iterator<Item = &'a OwnedEventId>,
    ) -> EventIdSet<OwnedEventId> {
        // Downward: what the conflicted events rest on, with the edges turned round.
        let conflicted: HashSet<&EventId> = conflicted.map(AsRef::as_ref).collect();
        let mut below: HashSet<&EventId> = conflicted.clone();
        let mut rest_on_it: HashMap<&EventId, Vec<&EventId>> = HashMap::new();
        let mut open: Vec<&EventId> = conflicted.iter().copied().collect();
        while let Some(event_id) = open.pop() {
            for auth_event in self.auth_events(event_id) {
                rest_on_it.entry(auth_event).or_default().push(event_id);
                if below.insert(auth_event) {
                    open.push(auth_event);
                }
            }
        }
        // Upward from the conflicted events, within what the first walk found.
        let mut on_path = conflicted.clone();
        let mut open: Vec<&EventId> = conflicted.into_iter().collect();
        while let Some(event_id) = open.pop() {
            for above in rest_on_it.get(event_id).into_iter().flatten().copied() {
                if on_path.insert(above) {
                    open.push(above);
                }
            }
        }
        on_path.into_iter().map(ToOwned::to_owned).collect()
    }

    fn auth_events(&self, event_id: &EventId) -> &[OwnedEventId] {
        self.events
            .get(event_id)
            .map_or(&[], |event| event.auth_events())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ruma::room_id;
    use serde_json::json;

    use super::*;

    fn id(name: &str) -> OwnedEventId {
        EventId::parse(format!("${name}")).unwrap()
    }

    /// Events and what they rest on.
    fn graph(edges: &[(&str, &[&str])]) -> AuthGraph {
        let event = |(name, auth): &(&str, &[&str])| {
            let json = json!({
                "auth_events": auth.iter().map(|name| id(name)).collect::<Vec<_>>(),
                "content": {}, "origin_server_ts": 1, "sender": "@a:here.org", "type": "m.x",
            });
            let room = room_id!("!room");
            let pdu = Pdu::parse(id(name), room, json.to_string(), false).unwrap();
            (id(name), Arc::new(pdu))
        };
        AuthGraph {
            events: edges.iter().map(event).collect(),
        }
    }

    fn subgraph(graph: &AuthGraph, conflicted: &[&str]) -> BTreeSet<OwnedEventId> {
        let ids: Vec<_> = conflicted.iter().map(|name| id(name)).collect();
        graph.subgraph(ids.iter()).into_iter().collect()
    }

    #[test]
    fn the_subgraph_is_what_lies_between_conflicted_events() {
        let graph = graph(&[
            ("create", &[]),
            ("power", &["create"]),
            ("low", &["power", "create"]),
            ("between", &["low", "power"]),
            ("also", &["low"]),
            ("aside", &["power"]),
            ("high", &["between", "also", "aside"]),
            ("above", &["high"]),
        ]);
        let ids = |names: &[&str]| names.iter().map(|name| id(name)).collect::<BTreeSet<_>>();
        assert_eq!(
            subgraph(&graph, &["high", "low"]),
            ids(&["high", "between", "also", "low"])
        );
        assert_eq!(
            subgraph(&graph, &["high", "aside"]),
            ids(&["high", "aside"])
        );
        assert_eq!(
            subgraph(&graph, &["between", "also"]),
            ids(&["between", "also"])
        );
        assert_eq!(subgraph(&graph, &["above"]), ids(&["above"]));
        assert!(subgraph(&graph, &[]).is_empty());
    }

    #[test]
    fn the_chain_of_a_state_is_below_it() {
        let graph = graph(&[
            ("create", &[]),
            ("power", &["create"]),
            ("topic", &["power"]),
            ("other", &["create"]),
        ]);
        let state = StateSet::from([((String::from("m.x").into(), String::new()), id("topic"))]);
        let chain: BTreeSet<_> = graph.chain(&state).into_iter().collect();
        assert_eq!(chain, BTreeSet::from([id("power"), id("create")]));
    }

    #[test]
    fn a_chain_of_fifty_thousand_events_is_no_matter_for_the_stack() {
        let names: Vec<String> = (0..50_000).map(|number| format!("e{number}")).collect();
        let below: Vec<Vec<&str>> = (0..names.len())
            .map(|number| number.checked_sub(1).map(|below| names[below].as_str()))
            .map(|below| below.into_iter().collect())
            .collect();
        let edges: Vec<(&str, &[&str])> = names
            .iter()
            .zip(&below)
            .map(|(name, below)| (name.as_str(), below.as_slice()))
            .collect();
        let graph = graph(&edges);
        assert_eq!(subgraph(&graph, &["e0", "e49999"]).len(), 50_000);
    }
}
