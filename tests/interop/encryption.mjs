// Drives one or two servers with matrix-js-sdk and its Rust crypto, as Element Web does.
//
// Alice is on the server at ALICE_URL, with up to four devices; Bob is on the one at BOB_URL, which
// may be the same, with one. What is checked is what their clients can read and whom they trust.

import { check, finish, must, until } from "./checks.mjs";
import { login, passwordStage, register, stamp, start } from "./people.mjs";
import { nextRequest, verify } from "./verification.mjs";
import assert from "node:assert/strict";
import { ClientEvent, EventType, KnownMembership, Preset } from "matrix-js-sdk";
import { decodeRecoveryKey } from "matrix-js-sdk/lib/crypto-api/index.js";

const aliceUrl = process.env.ALICE_URL;
const bobUrl = process.env.BOB_URL;
/** Longest wait for something that crosses servers. */
const PATIENCE = 20_000;

/** How a client gets the key of the secret storage: its user types it in. */
function keyring() {
    const held = { recoveryKey: undefined, asked: 0 };
    held.callbacks = {
        getSecretStorageKey: async ({ keys }) => {
            held.asked += 1;
            return held.recoveryKey ? [Object.keys(keys)[0], decodeRecoveryKey(held.recoveryKey)] : null;
        },
    };
    return held;
}

async function encrypting(opening, keys) {
    const client = await opening({ cryptoCallbacks: keys.callbacks });
    await client.initRustCrypto({ useIndexedDB: false });
    await start(client);
    return client;
}

/** Cross-signing, secret storage and a key backup, as a client sets them up for a new account. */
async function setUp(client, keys) {
    const crypto = client.getCrypto();
    let asked = 0;
    await crypto.bootstrapCrossSigning({
        authUploadDeviceSigningKeys: async (makeRequest) => {
            asked += 1;
            return makeRequest(null);
        },
    });
    assert.equal(asked, 1, "the keys were not uploaded once");
    await crypto.bootstrapSecretStorage({
        createSecretStorageKey: async () => {
            const created = await crypto.createRecoveryKeyFromPassphrase();
            keys.recoveryKey = created.encodedPrivateKey;
            return created;
        },
        setupNewKeyBackup: true,
    });
    await until("cross-signing", () => crypto.isCrossSigningReady(), PATIENCE);
    await until("secret storage", () => crypto.isSecretStorageReady(), PATIENCE);
}

/** Sends a message and returns its event id. */
async function say(client, text) {
    return (await client.sendTextMessage(roomId, text)).event_id;
}

/** A message that was sent encrypted and that this client reads. */
async function reads(client, eventId, text) {
    const event = await until(
        `event ${eventId}`,
        () => client.getRoom(roomId)?.findEventById(eventId),
        PATIENCE,
    );
    assert.equal(event.getWireType(), EventType.RoomMessageEncrypted);
    await until(`text of ${text}`, () => event.getContent().body === text, PATIENCE);
    return event;
}

/** The devices that a client knows of somebody, without asking the server again. */
async function devices(client, userId) {
    const known = await client.getCrypto().getUserDeviceInfo([userId]);
    return [...(known.get(userId)?.keys() ?? [])];
}

/** Waits until a client knows exactly these devices of somebody. */
function knows(client, userId, expected) {
    const wanted = expected.map((device) => device.getDeviceId()).sort();
    return until(
        `devices ${wanted} of ${userId}`,
        async () => {
            const known = (await devices(client, userId)).sort();
            return known.length === wanted.length && known.every((id, n) => id === wanted[n]);
        },
        PATIENCE,
    );
}

function membership(client, userId) {
    return client.getRoom(roomId)?.getMember(userId)?.membership;
}

const aliceKeys = keyring();
const bobKeys = keyring();
const alice = await must("Alice registers and uploads the keys of her device", () =>
    encrypting((options) => register(aliceUrl, `alice-${stamp}`, options), aliceKeys),
);
const bob = await must("Bob registers and uploads the keys of his device", () =>
    encrypting((options) => register(bobUrl, `bob-${stamp}`, options), bobKeys),
);
const aliceId = alice.getUserId();
const bobId = bob.getUserId();
await must("cross-signing, secret storage and key backup are set up without a password", async () => {
    await setUp(alice, aliceKeys);
    await setUp(bob, bobKeys);
});
await check("new cross-signing keys need the password", async () => {
    const asked = [];
    await bob.getCrypto().bootstrapCrossSigning({
        setupNewCrossSigning: true,
        authUploadDeviceSigningKeys: async (makeRequest) => {
            const refusal = await makeRequest(null).then(
                () => assert.fail("they were replaced without a password"),
                (error) => error,
            );
            assert.equal(refusal.httpStatus, 401);
            asked.push(refusal.data.session);
            return makeRequest({ ...passwordStage(bob), session: refusal.data.session });
        },
    });
    assert.equal(asked.length, 1);
    await until("cross-signing", () => bob.getCrypto().isCrossSigningReady(), PATIENCE);
});
await check("the secrets are in the account data, encrypted", async () => {
    const keyId = (await alice.getAccountDataFromServer("m.secret_storage.default_key")).key;
    for (const secret of ["m.cross_signing.master", "m.cross_signing.self_signing", "m.megolm_backup.v1"]) {
        const { encrypted } = await alice.getAccountDataFromServer(secret);
        assert.ok(encrypted[keyId].ciphertext && encrypted[keyId].mac && encrypted[keyId].iv, secret);
    }
});

const roomId = await must("Alice creates an encrypted room", async () => {
    const { room_id } = await alice.createRoom({
        preset: Preset.PrivateChat,
        invite: [bobId],
        initial_state: [
            { type: EventType.RoomEncryption, state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } },
        ],
    });
    return room_id;
});
await must("Bob is invited and joins", async () => {
    await until("invite", () => bob.getRoom(roomId)?.getMyMembership() === KnownMembership.Invite, PATIENCE);
    await bob.joinRoom(roomId);
    for (const client of [alice, bob]) {
        await until("join", () => membership(client, bobId) === KnownMembership.Join, PATIENCE);
    }
});
await check("each reads what the other says", async () => {
    await reads(bob, await say(alice, "hello Bob"), "hello Bob");
    await reads(alice, await say(bob, "hello Alice"), "hello Alice");
});

const alice2 = await must("Alice logs in on a second device", () =>
    encrypting((options) => login(aliceUrl, `alice-${stamp}`, options), keyring()),
);
await check("everybody sees the second device", async () => {
    for (const client of [alice, alice2, bob]) {
        await knows(client, aliceId, [alice, alice2]);
    }
});
await check("what Bob and Alice say now is read on all three devices", async () => {
    const fromBob = await say(bob, "to both of your devices");
    const fromAlice = await say(alice, "to everybody");
    for (const client of [alice, alice2, bob]) {
        await reads(client, fromBob, "to both of your devices");
        await reads(client, fromAlice, "to everybody");
    }
});
await check("the second device does not read what was said before it was there", async () => {
    const room = alice2.getRoom(roomId);
    await alice2.scrollback(room, 100);
    const events = room.getLiveTimeline().getEvents();
    const old = events.filter((event) => event.isDecryptionFailure());
    assert.equal(old.length, 2, `${old.length} events can't be read`);
});
await check("Alice's devices verify each other", async () => {
    const incoming = nextRequest(alice);
    const request = await alice2.getCrypto().requestOwnUserVerification();
    await verify(request, incoming, PATIENCE);
    for (const [client, device] of [[alice, alice2], [alice2, alice], [bob, alice2]]) {
        await until(
            "cross-signed device",
            async () => {
                const crypto = client.getCrypto();
                const status = await crypto.getDeviceVerificationStatus(aliceId, device.getDeviceId());
                return status?.signedByOwner;
            },
            PATIENCE,
        );
    }
});
await check("the verified device gets the secrets and reads the backup", async () => {
    const crypto = alice2.getCrypto();
    await until("cross-signing keys", () => crypto.isCrossSigningReady(), PATIENCE);
    await until("key of the backup", () => crypto.getSessionBackupPrivateKey(), PATIENCE);
    const failures = () => {
        const events = alice2.getRoom(roomId).getLiveTimeline().getEvents();
        return events.filter((event) => event.isDecryptionFailure()).length;
    };
    await until(
        "old messages",
        async () => {
            await crypto.restoreKeyBackup();
            return failures() === 0;
        },
        PATIENCE,
    );
});
await check("Alice and Bob verify each other in the room", async () => {
    await until(
        "Bob's identity",
        () => alice.getCrypto().userHasCrossSigningKeys(bobId, true),
        PATIENCE,
    );
    const incoming = nextRequest(bob);
    const request = await alice.getCrypto().requestVerificationDM(bobId, roomId);
    await verify(request, incoming, PATIENCE);
    for (const [client, userId] of [[alice, bobId], [bob, aliceId]]) {
        const trusted = async () => (await client.getCrypto().getUserVerificationStatus(userId)).isVerified();
        await until("verified user", trusted, PATIENCE);
    }
});
await check("Alice's other device learns that Bob is verified", () => {
    const trusted = async () => (await alice2.getCrypto().getUserVerificationStatus(bobId)).isVerified();
    return until("verified user", trusted, PATIENCE);
});

const typed = keyring();
typed.recoveryKey = aliceKeys.recoveryKey;
const alice3 = await must("Alice logs in on a third device", () =>
    encrypting((options) => login(aliceUrl, `alice-${stamp}`, options), typed),
);
await check("the third device restores the backup with the recovery key", async () => {
    const crypto = alice3.getCrypto();
    await crypto.loadSessionBackupPrivateKeyFromSecretStorage();
    await crypto.checkKeyBackupAndEnable();
    const { imported, total } = await crypto.restoreKeyBackup();
    assert.ok(total >= 2 && imported === total, `${imported} of ${total} keys`);
    assert.ok(typed.asked > 0, "nobody asked for the recovery key");
    const room = await until("room", () => alice3.getRoom(roomId), PATIENCE);
    await alice3.scrollback(room, 100);
    const all = () => room.getLiveTimeline().getEvents();
    const said = () => all().map((event) => event.getContent().body);
    await until("old messages", () => ["hello Bob", "hello Alice"].every((text) => said().includes(text)), PATIENCE);
    assert.ok(all().every((event) => !event.isDecryptionFailure()));
});
await check("the third device signs itself with the secrets of the storage", async () => {
    const crypto = alice3.getCrypto();
    assert.ok(await crypto.userHasCrossSigningKeys(aliceId, true));
    await crypto.bootstrapCrossSigning({
        authUploadDeviceSigningKeys: () => assert.fail("new keys were made"),
    });
    await until("cross-signing", () => crypto.isCrossSigningReady(), PATIENCE);
    await until(
        "cross-signed device at Bob",
        async () => {
            const known = await bob.getCrypto().getDeviceVerificationStatus(aliceId, alice3.getDeviceId());
            return known?.crossSigningVerified;
        },
        PATIENCE,
    );
});
await check("a device that logs out is gone for everybody", async () => {
    alice3.stopClient();
    await alice3.logout(true);
    for (const client of [alice, alice2, bob]) {
        await knows(client, aliceId, [alice, alice2]);
    }
});

/** What comes to Bob's device once he has left. */
const received = [];
await check("Bob leaves, and the next session is not shared with him", async () => {
    const last = await reads(alice2, await say(alice, "before he leaves"), "before he leaves");
    await bob.leave(roomId);
    bob.on(ClientEvent.ToDeviceEvent, (event) => received.push(event.getType()));
    for (const client of [alice, alice2]) {
        await until("departure", () => membership(client, bobId) === KnownMembership.Leave, PATIENCE);
    }
    const next = await reads(alice2, await say(alice, "after he left"), "after he left");
    assert.notEqual(next.getWireContent().session_id, last.getWireContent().session_id);
    await alice.sendToDevice("org.matryx.mark", new Map([[bobId, new Map([[bob.getDeviceId(), {}]])]]));
    await until("mark", () => received.at(-1) === "org.matryx.mark", PATIENCE);
    assert.deepEqual(received, ["org.matryx.mark"]);
    const keys = await bob.getCrypto().exportRoomKeys();
    assert.ok(keys.every((key) => key.session_id !== next.getWireContent().session_id));
    assert.ok(keys.some((key) => key.session_id === last.getWireContent().session_id));
});
await check("Bob comes back and reads again", async () => {
    await alice.invite(roomId, bobId);
    await until("invite", () => bob.getRoom(roomId)?.getMyMembership() === KnownMembership.Invite, PATIENCE);
    await bob.joinRoom(roomId);
    await until("return", () => membership(alice, bobId) === KnownMembership.Join, PATIENCE);
    await reads(bob, await say(alice, "welcome back"), "welcome back");
    await reads(alice2, await say(bob, "thank you"), "thank you");
    assert.ok(received.slice(1).includes("m.room_key"), `no key came to Bob, but ${received.slice(1)}`);
});

const returning = keyring();
returning.recoveryKey = aliceKeys.recoveryKey;
const alice4 = await check("a dehydrated device gets keys while Alice is logged in nowhere", async () => {
    assert.ok(await alice.getCrypto().isDehydrationSupported(), "the server has no dehydrated devices");
    await alice.getCrypto().startDehydration();
    await until("dehydrated device", async () => (await devices(bob, aliceId)).length === 3, PATIENCE);
    for (const client of [alice, alice2]) {
        client.stopClient();
        await client.logout(true);
    }
    const alone = async () => (await devices(bob, aliceId)).length === 1;
    await until("end of the others", alone, PATIENCE);
    const [used] = await devices(bob, aliceId);
    const away = await say(bob, "while you were away");
    const back = await encrypting((options) => login(aliceUrl, `alice-${stamp}`, options), returning);
    assert.ok(await back.getCrypto().userHasCrossSigningKeys(aliceId, true));
    await back.getCrypto().bootstrapCrossSigning({});
    await back.getCrypto().startDehydration();
    await reads(back, away, "while you were away");
    // The next one takes the place of the one that was used.
    const replaced = async () => {
        const known = await devices(bob, aliceId);
        return known.length === 2 && known.includes(back.getDeviceId()) && !known.includes(used);
    };
    await until("next dehydrated device", replaced, PATIENCE);
    return back;
});

for (const client of [alice, alice2, alice4, bob]) {
    client?.stopClient();
}
finish();
