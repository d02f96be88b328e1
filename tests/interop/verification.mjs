// Two devices that verify each other by comparing emoji.

import { until } from "./checks.mjs";
import assert from "node:assert/strict";
import {
    CryptoEvent,
    VerificationPhase,
    VerifierEvent,
} from "matrix-js-sdk/lib/crypto-api/index.js";

/** The next request for a verification that a client gets. */
export function nextRequest(client) {
    return new Promise((resolve) => client.once(CryptoEvent.VerificationRequestReceived, resolve));
}

/** Carries a request through on both sides; both must show the same emoji. */
export async function verify(request, incoming, limit) {
    const received = await until("request for a verification", () => Promise.race([incoming, soon()]), limit);
    await received.accept();
    await until("acceptance", () => request.phase === VerificationPhase.Ready, limit);
    const first = await request.startVerification("m.sas.v1");
    const second = await until("start of the verification", () => received.verifier, limit);
    const shown = Promise.all([emoji(first), emoji(second)]);
    const done = Promise.all([first.verify(), second.verify()]);
    const early = done.then(() => assert.fail("nothing was shown"));
    const [ours, theirs] = await within("emoji", Promise.race([shown, early]), limit);
    assert.equal(ours.sas.emoji.length, 7);
    assert.deepEqual(ours.sas.emoji, theirs.sas.emoji);
    await Promise.all([ours.confirm(), theirs.confirm()]);
    await within("agreement", done, limit);
    for (const side of [request, received]) {
        await until("end of the verification", () => side.phase === VerificationPhase.Done, limit);
    }
}

/** What a promise gives, unless it takes too long. */
function within(what, promise, limit) {
    return until(what, () => Promise.race([promise.then((value) => [value]), soon()]), limit).then(
        ([value]) => value,
    );
}

function emoji(verifier) {
    return new Promise((resolve) => verifier.on(VerifierEvent.ShowSas, resolve));
}

function soon() {
    return new Promise((resolve) => setTimeout(resolve, 10, undefined));
}
