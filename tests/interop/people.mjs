// People and their devices, as matrix-js-sdk sees them.

import { until } from "./checks.mjs";
import assert from "node:assert/strict";
import { ClientEvent, EventType, MatrixError, createClient } from "matrix-js-sdk";

const PASSWORD = "a password for the js sdk";

/** Makes names that no earlier run has taken. */
export const stamp = Date.now().toString(36);

/** A client of the server at `url` that gives up on what takes too long. */
export function quiet(url, options = {}) {
    return createClient({ baseUrl: url, localTimeoutMs: 20_000, ...options });
}

/** Registers somebody through user-interactive authentication. */
export async function register(url, username, options = {}) {
    const client = quiet(url);
    const first = await client.registerRequest({ username, password: PASSWORD }).then(
        () => assert.fail("registration without an auth stage succeeded"),
        (error) => error,
    );
    assert.ok(first instanceof MatrixError, String(first));
    assert.equal(first.httpStatus, 401);
    assert.ok(first.data.flows.some((flow) => flow.stages.includes("m.login.dummy")));
    const auth = { type: "m.login.dummy", session: first.data.session };
    const answer = await client.registerRequest({ username, password: PASSWORD, auth });
    return session(url, answer, options);
}

/** A further device of somebody. */
export async function login(url, username, options = {}) {
    const answer = await quiet(url).loginRequest({
        type: "m.login.password",
        identifier: { type: "m.id.user", user: username },
        password: PASSWORD,
        initial_device_display_name: "interop",
    });
    return session(url, answer, options);
}

/** What the stage `m.login.password` sends. */
export function passwordStage(client) {
    const identifier = { type: "m.id.user", user: client.getUserId() };
    return { type: "m.login.password", identifier, password: PASSWORD };
}

function session(url, { user_id, access_token, device_id }, options) {
    assert.ok(user_id && access_token && device_id, "an answer without user, token or device");
    const known = { userId: user_id, accessToken: access_token, deviceId: device_id };
    return quiet(url, { ...known, ...options });
}

/** Starts to sync, and waits for the first answer. */
export async function start(client, options = {}) {
    const prepared = new Promise((resolve) => {
        client.on(ClientEvent.Sync, (state) => state === "PREPARED" && resolve(true));
    });
    await client.startClient({ lazyLoadMembers: true, ...options });
    await until("first sync", () => Promise.race([prepared, settled()]));
}

function settled() {
    return new Promise((resolve) => setTimeout(resolve, 10, false));
}

/** The texts of a room's messages, from old to new. */
export function texts(room) {
    const events = room.getLiveTimeline().getEvents();
    return events.filter((e) => e.getType() === EventType.RoomMessage).map((e) => e.getContent().body);
}

/** An event, once the client has it. */
export function seen(client, roomId, eventId) {
    return until(`event ${eventId}`, () => client.getRoom(roomId)?.findEventById(eventId));
}
