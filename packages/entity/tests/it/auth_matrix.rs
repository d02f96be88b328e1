//! Every auth rule, allowed and denied, in every room version that has it.
//! [Spec](https://spec.matrix.org/v1.19/rooms/v12/#authorization-rules)

use std::ops::RangeInclusive;

use matryx_entity::{auth, build::EventTemplate, room_versions::SUPPORTED};
use ruma::RoomVersionId;

use crate::{auth_cases, world::World};

/// What an event must get.
pub(crate) type Verdict = Result<(), &'static str>;

/// One row of the table.
pub(crate) struct Case {
    /// The rule, by the numbers of room version 11, and what happens.
    pub(crate) name: &'static str,
    /// The versions in which this is the outcome.
    pub(crate) versions: RangeInclusive<u8>,
    /// What happened in the room before; alice made it and has all power.
    pub(crate) before: fn(&mut World),
    /// The event and its sender.
    pub(crate) event: fn(&World) -> (&'static str, EventTemplate),
    /// What the auth rules say; a denial begins with this reason.
    pub(crate) verdict: Verdict,
}

pub(crate) fn number(version: &RoomVersionId) -> u8 {
    version.as_str().parse().unwrap()
}

#[test]
fn holds_in_every_version() {
    let cases = auth_cases::all();
    let mut judged = 0;
    for version in &SUPPORTED {
        for case in cases
            .iter()
            .filter(|case| case.versions.contains(&number(version)))
        {
            let mut world = World::new(version);
            (case.before)(&mut world);
            let (sender, template) = (case.event)(&world);
            let pdu = world.build(sender, template).unwrap();
            let verdict = auth::authorize(world.rules, &pdu, &world.room);
            let context = format!("{} in version {version}", case.name);
            match (case.verdict, verdict) {
                (Ok(()), Ok(())) => {}
                (Err(expected), Err(found)) => {
                    assert!(found.reason.starts_with(expected), "{context}: {found}");
                }
                (expected, found) => panic!("{context}: {expected:?}, but got {found:?}"),
            }
            judged += 1;
        }
    }
    // A filter that lets nothing through would pass silently.
    assert!(judged >= 400, "{judged}");
}

#[test]
fn every_rule_is_allowed_and_denied_in_every_version_that_has_it() {
    let cases = auth_cases::all();
    let rule = |case: &Case| case.name.split(':').next().unwrap().to_owned();
    for version in &SUPPORTED {
        let number = number(version);
        let in_version: Vec<_> = cases
            .iter()
            .filter(|case| case.versions.contains(&number))
            .collect();
        let mut rules: Vec<_> = in_version.iter().map(|case| rule(case)).collect();
        rules.dedup();
        for name in rules {
            let verdicts: Vec<_> = in_version
                .iter()
                .filter(|case| rule(case) == name)
                .map(|case| case.verdict.is_ok())
                .collect();
            assert!(
                verdicts.contains(&true),
                "{name} has no allowed case in {version}"
            );
            assert!(
                verdicts.contains(&false),
                "{name} has no denied case in {version}"
            );
        }
    }
}
