//! Drives one or two servers with the Rust SDK, the library beneath Element X.
//!
//! Alice is on the server at `ALICE_URL`, with up to three devices; Bob is on the one at `BOB_URL`,
//! which may be the same, with one. Each check prints `ok NAME` or `not ok NAME: REASON`.

// The futures of the SDK are deep.
#![recursion_limit = "256"]

mod people;
mod verification;

use std::{env, future::Future, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use matrix_sdk::{
    Client, RoomState,
    ruma::{
        EventId, OwnedEventId, OwnedRoomId, RoomId,
        api::client::room::create_room::v3::{Request as CreateRoom, RoomPreset},
        events::{InitialStateEvent, room::encryption::RoomEncryptionEventContent},
    },
};

use tokio::time::timeout;

use people::{Opening, Person, until};

/// Longest time that one check may take.
const LIMIT: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> ExitCode {
    match play().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The check that ended the script has told why.
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one check and tells how it went. Every later check needs it.
async fn check<T>(name: &str, body: impl Future<Output = Result<T>>) -> Result<T> {
    let outcome = timeout(LIMIT, Box::pin(body)).await;
    let outcome = outcome.unwrap_or_else(|_| bail!("it is not done after {LIMIT:?}"));
    match &outcome {
        Ok(_) => println!("ok {name}"),
        Err(error) => println!(
            "not ok {name}: {}",
            format!("{error:#}").replace('\n', " | ")
        ),
    }
    outcome
}

async fn play() -> Result<()> {
    let here = env::var("ALICE_URL").context("ALICE_URL")?;
    let there = env::var("BOB_URL").context("BOB_URL")?;
    let opening = Opening::new()?;
    let name = "Alice registers and sets up cross-signing";
    let alice = check(name, opening.register(&here, "alice")).await?;
    let name = "Bob registers and sets up cross-signing";
    let bob = check(name, opening.register(&there, "bob")).await?;
    let room = check("they meet in an encrypted room", meet(&alice, &bob)).await?;
    let name = "each reads what the other says";
    let first = check(name, talk(&alice, &bob, &room)).await?;
    let name = "Alice makes a backup and a recovery key";
    let key = check(name, async {
        let recovery = alice.client.encryption().recovery();
        Ok(recovery.enable().wait_for_backups_to_upload().await?)
    });
    let key = key.await?;

    let name = "Alice logs in on a second device";
    let alice2 = check(name, opening.login(&here, &alice)).await?;
    let name = "everybody sees it, and it reads only what is said from now on";
    check(name, talk_to_both(&alice, &alice2, &bob, &room, &first)).await?;
    let name = "Alice's devices verify each other";
    check(name, verification::of_devices(&alice2, &alice)).await?;
    let name = "the verified device gets the key of the backup and reads the rest";
    check(name, catch_up(&alice2, &room, &first)).await?;
    let name = "Bob sees that Alice signed it";
    check(name, sees_signature(&bob, &alice2)).await?;
    let name = "Alice and Bob verify each other";
    check(name, verification::of_users(&alice, &bob, &room)).await?;

    let name = "a third device restores the backup with the recovery key";
    let alice3 = check(name, async {
        let alice3 = opening.login(&here, &alice).await?;
        alice3.client.encryption().recovery().recover(&key).await?;
        catch_up(&alice3, &room, &first).await?;
        Ok(alice3)
    });
    let alice3 = alice3.await?;
    let name = "it signs itself with the secrets of the storage";
    check(name, sees_signature(&bob, &alice3)).await?;
    let name = "a device that logs out is gone for everybody";
    check(name, async {
        alice3.log_out().await?;
        all_know(&[&alice, &alice2, &bob], &[&alice, &alice2]).await
    })
    .await?;
    let name = "Bob leaves, and the next session is not shared with him";
    check(name, leave(&alice, &alice2, &bob, &room)).await
}

/// Alice and Bob say something; what she said.
async fn talk(alice: &Person, bob: &Person, room: &RoomId) -> Result<OwnedEventId> {
    let first = alice.say(room, "hello Bob").await?;
    bob.reads(room, &first, "hello Bob").await?;
    let answer = bob.say(room, "hello Alice").await?;
    alice.reads(room, &answer, "hello Alice").await?;
    Ok(first)
}

/// Waits until each of them knows exactly these devices of Alice.
async fn all_know(everybody: &[&Person], devices: &[&Person]) -> Result<()> {
    for person in everybody {
        person.knows(devices).await?;
    }
    Ok(())
}

/// Bob talks to Alice's old device and to her new one, which does not read what was said before.
async fn talk_to_both(
    alice: &Person,
    alice2: &Person,
    bob: &Person,
    room: &RoomId,
    before: &EventId,
) -> Result<()> {
    all_know(&[alice, alice2, bob], &[alice, alice2]).await?;
    let said = bob.say(room, "to both").await?;
    for person in [alice, alice2] {
        person.reads(room, &said, "to both").await?;
    }
    alice2.does_not_read(room, before).await
}

/// A device that has the key of the backup, or gets it now, reads what Alice said first.
async fn catch_up(device: &Person, room: &RoomId, first: &EventId) -> Result<()> {
    let backups = device.client.encryption().backups();
    until("key of the backup", async || {
        Ok(backups.are_enabled().await)
    })
    .await?;
    backups.download_room_keys_for_room(room).await?;
    device.reads(room, first, "hello Bob").await
}

/// Waits until Bob knows that a device is signed by its owner.
async fn sees_signature(bob: &Person, device: &Person) -> Result<()> {
    let encryption = bob.client.encryption();
    until("signature", async || {
        let known = encryption.get_device(device.id(), device.device()).await?;
        Ok(known.is_some_and(|known| known.is_cross_signed_by_owner()))
    })
    .await
}

/// Alice makes a room and Bob joins it.
async fn meet(alice: &Person, bob: &Person) -> Result<OwnedRoomId> {
    let mut request = CreateRoom::new();
    request.preset = Some(RoomPreset::PrivateChat);
    request.is_direct = true;
    request.invite = vec![bob.id().to_owned()];
    let encryption = RoomEncryptionEventContent::with_recommended_defaults();
    let encryption = InitialStateEvent::with_empty_state_key(encryption);
    request.initial_state = vec![encryption.to_raw_any()];
    let room = alice
        .client
        .create_room(request)
        .await?
        .room_id()
        .to_owned();
    let state = |client: &Client| client.get_room(&room).map(|room| room.state());
    until("invite", async || {
        Ok(state(&bob.client) == Some(RoomState::Invited))
    })
    .await?;
    bob.client.join_room_by_id(&room).await?;
    until("join", async || {
        Ok(state(&bob.client) == Some(RoomState::Joined))
    })
    .await?;
    alice.sees(&room, bob, true).await?;
    Ok(room)
}

async fn leave(alice: &Person, alice2: &Person, bob: &Person, room: &RoomId) -> Result<()> {
    let last = alice.say(room, "before he leaves").await?;
    bob.reads(room, &last, "before he leaves").await?;
    bob.client
        .get_room(room)
        .context("Bob's room")?
        .leave()
        .await?;
    alice.sees(room, bob, false).await?;
    let next = alice.say(room, "after he left").await?;
    alice2.reads(room, &next, "after he left").await?;
    let (last, next) = (
        alice.session(room, &last).await?,
        alice.session(room, &next).await?,
    );
    ensure!(last != next, "the session is still the same");
    // What comes to Bob comes in order: a message of another room is later than the key would be.
    let other = check_in(alice, bob).await?;
    let held = bob.sessions().await?;
    ensure!(held.contains(&other), "Bob has not the key that came later");
    ensure!(
        held.contains(&last),
        "Bob has not the key of the time before"
    );
    ensure!(
        !held.contains(&next),
        "Bob has the key of what was said after he left"
    );
    Ok(())
}

/// Alice and Bob meet elsewhere; the session of what she says there.
async fn check_in(alice: &Person, bob: &Person) -> Result<String> {
    let room = meet(alice, bob).await?;
    let said = alice.say(&room, "are you there?").await?;
    bob.reads(&room, &said, "are you there?").await?;
    alice.session(&room, &said).await
}
