//! Messages for users of other servers, put into EDUs.

use std::collections::BTreeMap;

use rand::Rng;
use ruma::{
    OwnedServerName, OwnedUserId, UserId,
    api::federation::transactions::edu::{DirectDeviceContent, Edu},
};

use super::Contents;

/// From how many bytes of contents on a further EDU is begun.
const FULL: usize = 32 << 10;

/// The EDUs that carry messages to other servers, as JSON: each small, unless a single message is
/// large.
pub(super) fn pack(
    sender: &UserId,
    kind: &str,
    contents: Contents,
) -> impl Iterator<Item = (OwnedServerName, String)> {
    let mut servers: BTreeMap<OwnedServerName, Contents> = BTreeMap::new();
    for (user, of_user) in contents {
        let server = user.server_name().to_owned();
        servers.entry(server).or_default().insert(user, of_user);
    }
    let (sender, kind) = (sender.to_owned(), kind.to_owned());
    let parcels = servers.into_iter().flat_map(|(server, contents)| {
        split(contents)
            .into_iter()
            .map(move |it| (server.clone(), it))
    });
    parcels.filter_map(move |(server, contents)| {
        let edu = edu(sender.clone(), &kind, contents);
        // A message that came as JSON can be written as JSON.
        Some((server, serde_json::to_string(&edu).ok()?))
    })
}

fn split(contents: Contents) -> Vec<Contents> {
    let mut parcels = Vec::new();
    let (mut parcel, mut bytes) = (Contents::new(), 0);
    for (user, of_user) in contents {
        for (device, content) in of_user {
            let size = content.json().get().len();
            if bytes > 0 && bytes + size > FULL {
                parcels.push(std::mem::take(&mut parcel));
                bytes = 0;
            }
            bytes += size;
            let of_user = parcel.entry(user.clone()).or_default();
            of_user.insert(device, content);
        }
    }
    if !parcel.is_empty() {
        parcels.push(parcel);
    }
    parcels
}

fn edu(sender: OwnedUserId, kind: &str, contents: Contents) -> Edu {
    let message_id = format!("{:032x}", rand::rng().random::<u128>());
    let mut edu = DirectDeviceContent::new(sender, kind.into(), message_id.into());
    edu.messages = contents;
    Edu::DirectToDevice(edu)
}

#[cfg(test)]
mod tests {
    use ruma::{serde::Raw, to_device::DeviceIdOrAllDevices, user_id};
    use serde_json::{Value, json};

    use super::*;

    fn content(bytes: usize) -> Raw<ruma::events::AnyToDeviceEventContent> {
        Raw::new(&json!({ "a": "x".repeat(bytes) }))
            .unwrap()
            .cast_unchecked()
    }

    #[test]
    fn each_server_gets_its_own_in_small_parcels() {
        let mut contents = Contents::new();
        for (user, devices) in [("@a:one", 30), ("@b:one", 5), ("@c:two", 1)] {
            let of_user = contents.entry(user.try_into().unwrap()).or_default();
            for nth in 0..devices {
                let device = DeviceIdOrAllDevices::DeviceId(format!("D{nth}").into());
                of_user.insert(device, content(2_000));
            }
        }
        let large = contents.entry("@d:two".try_into().unwrap()).or_default();
        large.insert(
            DeviceIdOrAllDevices::AllDevices,
            content(super::super::MAX_CONTENT - 10),
        );
        let parcels: Vec<_> = pack(user_id!("@me:here"), "m.test", contents).collect();
        let mut seen = std::collections::BTreeSet::new();
        let mut ids = std::collections::BTreeSet::new();
        for (server, text) in &parcels {
            assert!(text.len() <= 64 << 10);
            let edu: Value = serde_json::from_str(text).unwrap();
            assert_eq!(edu["edu_type"], "m.direct_to_device");
            let edu = &edu["content"];
            assert_eq!(
                (&edu["sender"], &edu["type"]),
                (&json!("@me:here"), &json!("m.test"))
            );
            let id = edu["message_id"].as_str().unwrap();
            assert!(id.len() <= 32 && ids.insert(id.to_owned()));
            for (user, devices) in edu["messages"].as_object().unwrap() {
                assert!(user.ends_with(server.as_str()));
                for device in devices.as_object().unwrap().keys() {
                    assert!(seen.insert(format!("{user} {device}")));
                }
            }
        }
        assert_eq!(seen.len(), 37);
        assert!(seen.contains("@d:two *"));
        let of_one = parcels.iter().filter(|(server, _)| server == "one").count();
        assert_eq!(of_one, 3);
    }
}
