"""A few calls of the client-server API, and checks that print what they found."""

import json
import ssl
import sys
import time
import traceback
import urllib.error
import urllib.parse
import urllib.request

REQUEST_LIMIT = 30
"""Longest time for one answer, in seconds."""
PATIENCE = 15
"""Longest wait for something that another server has to bring about, in seconds."""
PASSWORD = "a password for two servers"


class MatrixError(Exception):
    """An answer that is an error."""

    def __init__(self, what, status, body):
        super().__init__(f"{what}: {status} {body}")
        self.status = status
        self.errcode = body.get("errcode") if isinstance(body, dict) else None


def segment(text):
    """One segment of a path."""
    return urllib.parse.quote(text, safe="")


class Wire:
    """Sends requests to one server."""

    def __init__(self, url, authority):
        self.url = url
        self.context = ssl.create_default_context(cafile=authority)

    def call(self, method, path, body=None, token=None, **query):
        """One request; the JSON of its answer."""
        pairs = [(name, value) for name, value in query.items() if value is not None]
        url = self.url + path
        if pairs:
            url += "?" + urllib.parse.urlencode(pairs, doseq=True)
        if body is None and method in ("POST", "PUT"):
            body = {}
        request = urllib.request.Request(url, method=method)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(
                request, timeout=REQUEST_LIMIT, context=self.context
            ) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            try:
                body = json.loads(text)
            except ValueError:
                body = text
            raise MatrixError(f"{method} {path}", error.code, body) from None


class User:
    """Somebody who is logged in."""

    def __init__(self, server, name):
        self.server = server
        body = {"username": name, "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
        account = server.wire.call("POST", "/_matrix/client/v3/register", body)
        self.id = account["user_id"]
        self.token = account["access_token"]
        self.transactions = 0

    def call(self, method, path, body=None, **query):
        return self.server.wire.call(
            method, f"/_matrix/client/v3{path}", body, self.token, **query
        )

    def room(self, method, room, path, body=None, **query):
        return self.call(method, f"/rooms/{segment(room)}{path}", body, **query)

    def create(self, version, **body):
        body["room_version"] = version
        return self.call("POST", "/createRoom", body)["room_id"]

    def join(self, room, *via):
        return self.call("POST", f"/join/{segment(room)}", via=list(via), server_name=list(via))

    def knock(self, room, *via):
        return self.call("POST", f"/knock/{segment(room)}", via=list(via), server_name=list(via))

    def leave(self, room):
        return self.room("POST", room, "/leave")

    def act(self, action, room, user, **body):
        """`invite`, `kick`, `ban` or `unban`."""
        return self.room("POST", room, f"/{action}", {"user_id": user.id, **body})

    def say(self, room, text):
        self.transactions += 1
        path = f"/send/m.room.message/{self.transactions}"
        return self.room("PUT", room, path, {"msgtype": "m.text", "body": text})["event_id"]

    def set(self, room, kind, content, key=""):
        path = f"/state/{segment(kind)}/{segment(key)}"
        return self.room("PUT", room, path, content)["event_id"]

    def get(self, room, kind, key=""):
        return self.room("GET", room, f"/state/{segment(kind)}/{segment(key)}")

    def state(self, room):
        """The event of every slot of the current state."""
        events = self.room("GET", room, "/state")
        return {(event["type"], event["state_key"]): event["event_id"] for event in events}

    def membership(self, room, user):
        """As this user's server has it now; none if it has none."""
        for event in self.room("GET", room, "/state"):
            if event["type"] == "m.room.member" and event["state_key"] == user.id:
                return event["content"]["membership"]
        return None

    def timeline(self, room):
        """Everything that can be read of the room, from old to new."""
        events, start = [], None
        for _ in range(100):
            page = self.room("GET", room, "/messages", dir="b", limit=100, **{"from": start})
            events.extend(page["chunk"])
            start = page.get("end")
            if not start:
                break
        return events[::-1]

    def messages(self, room):
        """The ids of the messages, from old to new."""
        return [
            event["event_id"]
            for event in self.timeline(room)
            if event["type"] == "m.room.message"
        ]

    def sync(self, since=None, timeout=0):
        return self.call("GET", "/sync", since=since, timeout=timeout)

    def rooms(self, section):
        """The rooms of this section of an initial sync."""
        return self.sync().get("rooms", {}).get(section, {})


def until(what, probe, limit=PATIENCE):
    """Asks again and again, because news travel; what it was at last, once it is something."""
    deadline = time.monotonic() + limit
    found = None
    while True:
        try:
            found = probe()
            if found:
                return found
        except MatrixError as error:
            found = error
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen in {limit} s: {found!r}")
        time.sleep(0.05)


def refused(call, *arguments, **named):
    """A request that must be refused."""
    try:
        answer = call(*arguments, **named)
    except MatrixError as error:
        # Synapse says so to who is banned.
        forbidden = error.errcode in ("M_FORBIDDEN", "M_BAD_STATE")
        assert error.status == 403 and forbidden, f"{error} instead of M_FORBIDDEN"
        return
    raise AssertionError(f"{answer} instead of M_FORBIDDEN")


class Checks:
    """Prints `ok NAME` or `not ok NAME: REASON` for each check."""

    def __init__(self):
        self.failed = 0

    def check(self, name, body, *arguments):
        try:
            body(*arguments)
        except Exception as error:
            self.failed += 1
            frames = traceback.extract_tb(error.__traceback__)
            here = [frame for frame in frames if frame.filename.endswith("scenarios.py")]
            lines = ", ".join(str(frame.lineno) for frame in here or frames)
            print(f"not ok {name}: {type(error).__name__} at line {lines}: {error}", flush=True)
            return
        print(f"ok {name}", flush=True)

    def end(self):
        sys.exit(1 if self.failed else 0)
