// Drives the server with matrix-js-sdk, the library beneath Element Web.
//
// Two people: Alice on two devices at once, Bob on one and later on a second. Every check is made on
// what the SDK's own room model shows after it has synced.

import { check, finish, must, refused, until } from "./checks.mjs";
import { login, quiet, register, seen, stamp, start, texts } from "./people.mjs";
import assert from "node:assert/strict";
import {
    Direction,
    EventTimeline,
    EventType,
    KnownMembership,
    MsgType,
    NotificationCountType,
    Preset,
    RelationType,
} from "matrix-js-sdk";

const url = process.env.MATRYX_URL;
const MESSAGES = 40;

const alice = await must("register Alice through user-interactive auth", () => register(url, `alice-${stamp}`));
const bob = await must("register Bob", () => register(url, `bob-${stamp}`));

await check("a taken user id is refused", async () => {
    const auth = { type: "m.login.dummy" };
    const again = quiet(url).registerRequest({ username: `bob-${stamp}`, password: "another", auth });
    await refused(again, 400, "M_USER_IN_USE");
});
await check("a wrong password is refused", async () => {
    const identifier = { type: "m.id.user", user: `alice-${stamp}` };
    const wrong = { type: "m.login.password", identifier, password: "wrong" };
    await refused(quiet(url).loginRequest(wrong), 403, "M_FORBIDDEN");
});
const alice2 = await must("log in on a second device", () => login(url, `alice-${stamp}`));
await check("each device has its own id", async () => {
    const [first, second] = await Promise.all([alice.whoami(), alice2.whoami()]);
    assert.equal(first.user_id, second.user_id);
    assert.notEqual(first.device_id, second.device_id);
});
await must("start syncing three clients", () => Promise.all([start(alice), start(alice2), start(bob)]));
await check("default push rules come with the first sync", () => {
    const rules = alice.pushRules?.global?.underride ?? [];
    assert.ok(rules.some((rule) => rule.rule_id === ".m.rule.message"));
});

const roomId = await must("create a room", async () => {
    const { room_id } = await alice.createRoom({
        name: "Interop",
        topic: "real clients",
        preset: Preset.PrivateChat,
    });
    return room_id;
});
await check("both devices of Alice see the room and its name", async () => {
    for (const client of [alice, alice2]) {
        await until("room", () => client.getRoom(roomId)?.name === "Interop");
    }
});
await check("a stranger cannot join a private room", () => refused(bob.joinRoom(roomId), 403, "M_FORBIDDEN"));
await must("invite", async () => {
    await alice.invite(roomId, bob.getUserId());
    const room = await until("invite", () => bob.getRoom(roomId));
    assert.equal(room.getMyMembership(), KnownMembership.Invite);
    assert.equal(room.name, "Interop");
    const invite = room.getMember(bob.getUserId()).events.member;
    assert.equal(invite.getSender(), alice.getUserId());
});
await must("join", async () => {
    await bob.joinRoom(roomId);
    await until("Bob in Alice's room", () => {
        return alice.getRoom(roomId).getMember(bob.getUserId())?.membership === KnownMembership.Join;
    });
    await until("joined room", () => bob.getRoom(roomId)?.getMyMembership() === KnownMembership.Join);
});

const first = await must("send", async () => {
    const { event_id } = await alice.sendTextMessage(roomId, "hello Bob");
    const event = await seen(bob, roomId, event_id);
    assert.equal(event.getContent().body, "hello Bob");
    assert.equal(event.getSender(), alice.getUserId());
    return event_id;
});
await check("a sender's local echo becomes the event", async () => {
    await seen(alice, roomId, first);
    assert.equal(texts(alice.getRoom(roomId)).filter((body) => body === "hello Bob").length, 1);
});
await check("the sender's other device sees the message", () => seen(alice2, roomId, first));
await check("the message counts as unread", async () => {
    const room = bob.getRoom(roomId);
    await until("unread count", () => room.getUnreadNotificationCount(NotificationCountType.Total) > 0);
});
await check("a read receipt reaches the sender and clears the count", async () => {
    const room = bob.getRoom(roomId);
    await bob.sendReadReceipt(room.findEventById(first));
    await until("receipt", () => alice.getRoom(roomId).hasUserReadEvent(bob.getUserId(), first));
    await until("count of 0", () => room.getUnreadNotificationCount(NotificationCountType.Total) === 0);
});
await check("typing is seen and ends", async () => {
    const typing = () => alice.getRoom(roomId).getMember(bob.getUserId())?.typing === true;
    await bob.sendTyping(roomId, true, 20_000);
    await until("typing", typing);
    await bob.sendTyping(roomId, false, 0);
    await until("end of typing", () => !typing());
});

await check("edit", async () => {
    await alice.sendEvent(roomId, EventType.RoomMessage, {
        "msgtype": MsgType.Text,
        "body": "* hello Bob!",
        "m.new_content": { msgtype: MsgType.Text, body: "hello Bob!" },
        "m.relates_to": { rel_type: RelationType.Replace, event_id: first },
    });
    const event = bob.getRoom(roomId).findEventById(first);
    await until("edited text", () => event.getContent().body === "hello Bob!");
});
await check("react", async () => {
    await bob.sendEvent(roomId, EventType.Reaction, {
        "m.relates_to": { rel_type: RelationType.Annotation, event_id: first, key: "👍" },
    });
    await until("reaction", () => {
        const relations = alice.getRoom(roomId).relations;
        const found = relations.getChildEventsForEvent(first, RelationType.Annotation, EventType.Reaction);
        return found?.getRelations().some((event) => event.getRelation().key === "👍");
    });
});
await check("redact", async () => {
    const { event_id } = await alice.sendTextMessage(roomId, "said too much");
    const event = await seen(bob, roomId, event_id);
    await alice.redactEvent(roomId, event_id, undefined, { reason: "too much" });
    await until("redaction", () => event.isRedacted());
    const fetched = await bob.fetchRoomEvent(roomId, event_id);
    assert.equal(fetched.content.body, undefined);
    assert.equal(fetched.unsigned.redacted_because.content.reason, "too much");
});
await check("a member without power cannot redact another's message", () => {
    return refused(bob.redactEvent(roomId, first), 403, "M_FORBIDDEN");
});

const bodies = Array.from({ length: MESSAGES }, (_, n) => `message ${n}`);
await must("send many messages in order", async () => {
    for (const body of bodies) {
        await alice.sendTextMessage(roomId, body);
    }
});
await check("two devices syncing at once see the same messages in the same order", async () => {
    for (const client of [alice, alice2]) {
        await until("last message", () => texts(client.getRoom(roomId)).includes(bodies.at(-1)));
    }
    const shown = [alice, alice2].map((client) => texts(client.getRoom(roomId)).slice(-MESSAGES));
    assert.deepEqual(shown[0], bodies);
    assert.deepEqual(shown[1], bodies);
});
await check("paginate a new device back to the room's beginning", async () => {
    const bob2 = await login(url, `bob-${stamp}`);
    await start(bob2, { initialSyncLimit: 5 });
    const room = await until("room", () => bob2.getRoom(roomId));
    const timeline = room.getLiveTimeline();
    assert.ok(texts(room).length <= 5, `an initial sync of 5 events has ${texts(room).length}`);
    for (let page = 0; page < 20 && timeline.getPaginationToken(Direction.Backward); page += 1) {
        await bob2.scrollback(room, 10);
    }
    const events = timeline.getEvents();
    assert.equal(new Set(events.map((event) => event.getId())).size, events.length);
    assert.deepEqual(texts(room).slice(-MESSAGES), bodies);
    const types = events.map((event) => event.getType());
    assert.ok(types.includes(EventType.RoomCreate), `no create event among ${types}`);
    bob2.stopClient();
});
await check("lazily loaded members are complete when asked for", async () => {
    const room = alice2.getRoom(roomId);
    await room.loadMembersIfNeeded();
    assert.equal(room.getJoinedMembers().length, 2);
});

await check("account data reaches the other device", async () => {
    await alice.setAccountData("org.matryx.interop", { theme: "dark" });
    await until("account data", () => {
        return alice2.getAccountData("org.matryx.interop")?.getContent().theme === "dark";
    });
    const stored = await alice2.getAccountDataFromServer("org.matryx.interop");
    assert.deepEqual(stored, { theme: "dark" });
});
await check("room tags and room account data reach the other device", async () => {
    await alice.setRoomTag(roomId, "m.favourite", { order: 0.25 });
    await alice.setRoomAccountData(roomId, "org.matryx.room", { pinned: true });
    const room = alice2.getRoom(roomId);
    await until("tag", () => room.tags["m.favourite"]?.order === 0.25);
    await until("room data", () => room.getAccountData("org.matryx.room")?.getContent().pinned);
});
await check("a display name changes the member in the room", async () => {
    await bob.setDisplayName("Bob the Tester");
    await until("new name", () => {
        return alice.getRoom(roomId).getMember(bob.getUserId()).rawDisplayName === "Bob the Tester";
    });
    assert.equal((await alice.getProfileInfo(bob.getUserId())).displayname, "Bob the Tester");
});
await check("a room name changes for everybody", async () => {
    await alice.setRoomName(roomId, "Interop renamed");
    await until("new name", () => bob.getRoom(roomId).name === "Interop renamed");
    const state = bob.getRoom(roomId).getLiveTimeline().getState(EventTimeline.FORWARDS);
    assert.equal(state.getStateEvents(EventType.RoomTopic, "").getContent().topic, "real clients");
});
await check("leave", async () => {
    await bob.leave(roomId);
    await until("departure", () => {
        return alice.getRoom(roomId).getMember(bob.getUserId()).membership === KnownMembership.Leave;
    });
    await until("own departure", () => bob.getRoom(roomId)?.getMyMembership() === KnownMembership.Leave);
    await refused(bob.sendTextMessage(roomId, "too late"), 403, "M_FORBIDDEN");
});

await check("log out ends one device and not the other", async () => {
    alice2.stopClient();
    const token = alice2.getAccessToken();
    await alice2.logout(true);
    const ended = quiet(url, { userId: alice.getUserId(), accessToken: token, deviceId: "gone" });
    await refused(ended.whoami(), 401, "M_UNKNOWN_TOKEN");
    const { devices } = await alice.getDevices();
    assert.ok(devices.every((device) => device.device_id !== alice2.getDeviceId()));
    await alice.whoami();
});

alice.stopClient();
bob.stopClient();
finish();
