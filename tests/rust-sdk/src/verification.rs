//! Two devices that compare emoji.

use anyhow::{Context as _, Result, ensure};
use matrix_sdk::{
    encryption::verification::VerificationRequest,
    ruma::{RoomId, UserId},
};

use crate::people::{Person, until};

/// A new device asks one that its user has already.
pub async fn of_devices(new: &Person, known: &Person) -> Result<()> {
    let encryption = new.client.encryption();
    let identity = encryption.request_user_identity(new.id()).await?;
    let identity = identity.context("no identity of its own")?;
    let request = identity.request_verification().await?;
    carry_through(&request, known, new.id()).await?;
    let complete = async || {
        let status = new.client.encryption().cross_signing_status().await;
        Ok(status.is_some_and(|status| status.is_complete()))
    };
    until("cross-signing keys on the new device", complete).await
}

/// Two people do, in a room that they share.
pub async fn of_users(one: &Person, other: &Person, room: &RoomId) -> Result<()> {
    let identity = one
        .client
        .encryption()
        .request_user_identity(other.id())
        .await?;
    let identity = identity.context("no identity of the other")?;
    // Else the request would make a room of its own.
    until("direct room", async || {
        let direct = one.client.get_dm_room(other.id());
        Ok(direct.is_some_and(|direct| direct.room_id() == room))
    })
    .await?;
    let request = identity.request_verification().await?;
    carry_through(&request, other, one.id()).await?;
    for (person, somebody) in [(one, other), (other, one)] {
        let trusts = async || {
            let identity = person
                .client
                .encryption()
                .get_user_identity(somebody.id())
                .await?;
            Ok(identity.is_some_and(|identity| identity.is_verified()))
        };
        until("verified user", trusts).await?;
    }
    Ok(())
}

/// Carries a request through on both sides; both must show the same emoji.
async fn carry_through(
    request: &VerificationRequest,
    other: &Person,
    asker: &UserId,
) -> Result<()> {
    let flow = request.flow_id().to_owned();
    let theirs = other.client.encryption();
    let received = async || {
        Ok(theirs
            .get_verification_request(asker, &flow)
            .await
            .is_some())
    };
    until("request for a verification", received).await?;
    let received = theirs.get_verification_request(asker, &flow).await;
    received.context("no request")?.accept().await?;
    until("acceptance", async || Ok(request.is_ready())).await?;
    let first = request.start_sas().await?.context("it can't start")?;
    let started = async || Ok(theirs.get_verification(asker, &flow).await.is_some());
    until("start of the verification", started).await?;
    let second = theirs.get_verification(asker, &flow).await;
    let second = second.and_then(|second| second.sas()).context("no emoji")?;
    second.accept().await?;
    let shown = async || Ok(first.emoji().is_some() && second.emoji().is_some());
    until("emoji", shown).await?;
    let symbols = |emoji: Option<[_; 7]>| {
        let emoji: [matrix_sdk::encryption::verification::Emoji; 7] = emoji?;
        Some(emoji.map(|emoji| emoji.symbol))
    };
    ensure!(
        symbols(first.emoji()) == symbols(second.emoji()),
        "they see different emoji"
    );
    first.confirm().await?;
    second.confirm().await?;
    until("end of the verification", async || {
        Ok(first.is_done() && second.is_done())
    })
    .await
}
