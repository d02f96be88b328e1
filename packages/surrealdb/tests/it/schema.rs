//! One entity is one table is one section of the migrations.

use std::{collections::BTreeSet, fs, path::Path};

use matryx_entity::{
    access_token::AccessToken,
    account_data::AccountData,
    backed_up_key::BackedUpKey,
    chore::Chore,
    cross_signing_key::CrossSigningKey,
    dehydrated_device::DehydratedDevice,
    delivery_mark::DeliveryMark,
    destination::Destination,
    device::Device,
    device_activity::DeviceActivity,
    device_keys::DeviceKeys,
    device_list::DeviceList,
    early_redaction::EarlyRedaction,
    erasure::Erasure,
    event::{EventPointer, EventRow},
    fallback_key::FallbackKey,
    filter::Filter,
    issued_key::IssuedKey,
    key_backup_version::KeyBackupVersion,
    key_signature::KeySignature,
    log::LogRow,
    member::Member,
    member_delta::MemberDelta,
    node::{Bell, Node},
    old_signing_key::OldSigningKey,
    one_time_key::OneTimeKey,
    open_id_token::OpenIdToken,
    pending_join::PendingJoin,
    presence::PresenceRecord,
    profile::Profile,
    queued_edu::QueuedEdu,
    receipt::Receipt,
    received_message::ReceivedMessage,
    refresh_token::RefreshToken,
    registration_token::{RegistrationToken, RegistrationTokenUse},
    room::{Alias, PublishedRoom, Room, RoomPointer},
    server_identity::ServerIdentity,
    server_keys::ServerKeys,
    setup::Setup,
    staged_event::StagedEvent,
    state::{StateGroup, StateRow},
    stored::Stored,
    to_device::ToDeviceMessage,
    uia_session::UiaSession,
    user::User,
};
use matryx_surrealdb::{Database, StoreConfig, migrate};

/// The tables of the entities.
fn entities() -> BTreeSet<String> {
    macro_rules! tables {
        ($($entity:ty),+ $(,)?) => { [$(<$entity as Stored>::TABLE),+] };
    }
    let tables = tables![
        Node,
        Bell,
        LogRow,
        Room,
        RoomPointer,
        EventRow,
        EventPointer,
        StateRow,
        StateGroup,
        Member,
        PendingJoin,
        Alias,
        PublishedRoom,
        Receipt,
        User,
        Device,
        DeviceActivity,
        Erasure,
        AccessToken,
        RefreshToken,
        Profile,
        AccountData,
        Filter,
        RegistrationToken,
        RegistrationTokenUse,
        UiaSession,
        OpenIdToken,
        Chore,
        ServerIdentity,
        ServerKeys,
        OldSigningKey,
        Setup,
        Destination,
        DeliveryMark,
        StagedEvent,
        BackedUpKey,
        CrossSigningKey,
        DehydratedDevice,
        DeviceKeys,
        DeviceList,
        FallbackKey,
        IssuedKey,
        EarlyRedaction,
        KeyBackupVersion,
        KeySignature,
        MemberDelta,
        OneTimeKey,
        PresenceRecord,
        QueuedEdu,
        ReceivedMessage,
        ToDeviceMessage,
    ];
    tables.into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn every_table_has_an_entity_and_every_entity_a_table() {
    let database = Database::connect(&StoreConfig::new("mem://"))
        .await
        .unwrap();
    migrate::up(&database).await.unwrap();
    let mut tables: BTreeSet<String> = migrate::tables(&database)
        .await
        .unwrap()
        .into_iter()
        .collect();
    // The migration runner's own.
    assert!(tables.remove("migration"));
    assert_eq!(tables, entities());
    assert_eq!(tables, migrate::described().into_iter().collect());
    assert_eq!(migrate::undescribed(), [""; 0]);
}

#[test]
fn the_schema_document_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schema.md");
    let text = migrate::document();
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == text,
        "docs/schema.md is not what the migrations say: cargo xtask gen"
    );
}
