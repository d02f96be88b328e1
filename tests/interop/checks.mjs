// Names each check, prints its outcome, and stops the script where nothing further can work.

let failed = 0;

// The SDK tells its story on the console; the checks are all that is to be read here.
for (const level of ["debug", "error", "info", "log", "trace", "warn"]) {
    console[level] = () => {};
}

function say(line) {
    process.stdout.write(`${line}\n`);
}

/** Runs one check and prints `ok NAME` or `not ok NAME: REASON`. Returns what the check returns. */
export async function check(name, body) {
    try {
        const result = await body();
        say(`ok ${name}`);
        return result;
    } catch (error) {
        failed += 1;
        say(`not ok ${name}: ${reason(error)}`);
        return undefined;
    }
}

/** Like `check`; a failure ends the script, because every later check needs this one. */
export async function must(name, body) {
    const before = failed;
    const result = await check(name, body);
    if (failed > before) {
        finish();
    }
    return result;
}

/** Waits until `condition` gives something; fails after five seconds, saying what was missing. */
export async function until(what, condition, limit = 5000) {
    const end = Date.now() + limit;
    for (;;) {
        const found = await condition();
        if (found) {
            return found;
        }
        if (Date.now() > end) {
            throw new Error(`after ${limit} ms there is still no ${what}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 20));
    }
}

/** Expects a Matrix error with this status and errcode. */
export async function refused(promise, status, errcode) {
    let answer;
    try {
        answer = await promise;
    } catch (error) {
        if (error.httpStatus !== status || error.errcode !== errcode) {
            throw new Error(`expected ${status} ${errcode}, not ${reason(error)}`);
        }
        return error;
    }
    throw new Error(`expected ${status} ${errcode}, not success: ${JSON.stringify(answer)}`);
}

/** Ends the script. */
export function finish() {
    process.exit(failed === 0 ? 0 : 1);
}

function reason(error) {
    return String(error?.stack ?? error).replaceAll("\n", " | ");
}
