"""Drives the server with matrix-nio, which validates every answer against its JSON schemas.

Alice has two devices, Bob one. An answer that a schema refuses comes back as one of nio's error
types, so `expect` is a check of its own.
"""

import asyncio
import os
import sys
import time
import traceback

from nio import (
    AsyncClient,
    AsyncClientConfig,
    DevicesResponse,
    JoinedMembersResponse,
    JoinedRoomsResponse,
    JoinError,
    JoinResponse,
    LoginError,
    LoginResponse,
    LogoutResponse,
    MessageDirection,
    ProfileGetResponse,
    ProfileSetDisplayNameResponse,
    RegisterResponse,
    RoomContextResponse,
    RoomCreateResponse,
    RoomForgetResponse,
    RoomGetEventResponse,
    RoomGetStateEventResponse,
    RoomGetStateResponse,
    RoomInviteResponse,
    RoomLeaveResponse,
    RoomMessagesResponse,
    RoomPutAliasResponse,
    RoomPutStateResponse,
    RoomReadMarkersResponse,
    RoomRedactResponse,
    RoomResolveAliasResponse,
    RoomSendResponse,
    RoomTypingResponse,
    SyncResponse,
    UpdateReceiptMarkerResponse,
    UploadFilterResponse,
    WhoamiResponse,
)
from nio.api import Api

URL = os.environ["MATRYX_URL"]
PASSWORD = "a password for nio"
STAMP = format(int(time.time() * 1000), "x")
MESSAGES = 25


class Checks:
    """Prints `ok NAME` or `not ok NAME: REASON` for each check."""

    def __init__(self):
        self.failed = 0

    async def check(self, name, body):
        try:
            result = await body
        except Exception as error:
            self.failed += 1
            where = traceback.extract_tb(error.__traceback__)[-1]
            print(f"not ok {name}: {type(error).__name__} at line {where.lineno}: {error}", flush=True)
            return None
        print(f"ok {name}", flush=True)
        return result

    async def must(self, name, body):
        """Ends the script on a failure, because every later check needs this one."""
        failed = self.failed
        result = await self.check(name, body)
        if self.failed > failed:
            sys.exit(1)
        return result


def expect(answer, kind):
    """The answer, which must be of the kind that nio gives for a success."""
    assert isinstance(answer, kind), f"expected {kind.__name__}, got {answer}"
    return answer


def client(name):
    config = AsyncClientConfig(max_limit_exceeded=0, max_timeouts=0, encryption_enabled=False)
    return AsyncClient(URL, name, config=config)


class Interop:
    def __init__(self):
        self.alice = client(f"nio-alice-{STAMP}")
        self.alice2 = client(f"nio-alice-{STAMP}")
        self.bob = client(f"nio-bob-{STAMP}")
        self.room_id = None
        self.first = None

    async def register(self):
        for person in (self.alice, self.bob):
            answer = expect(await person.register(person.user, PASSWORD, "interop"), RegisterResponse)
            assert answer.user_id == f"@{person.user}:localhost", answer.user_id
            assert answer.access_token and answer.device_id

    async def login(self):
        wrong = await self.alice2.login("wrong")
        assert isinstance(wrong, LoginError) and wrong.status_code == "M_FORBIDDEN", wrong
        expect(await self.alice2.login(PASSWORD, device_name="second"), LoginResponse)
        first = expect(await self.alice.whoami(), WhoamiResponse)
        second = expect(await self.alice2.whoami(), WhoamiResponse)
        assert first.user_id == second.user_id
        assert first.device_id != second.device_id

    async def devices(self):
        answer = expect(await self.alice.devices(), DevicesResponse)
        assert {d.id for d in answer.devices} == {self.alice.device_id, self.alice2.device_id}
        assert {d.display_name for d in answer.devices} == {"interop", "second"}

    async def first_sync(self):
        for person in (self.alice, self.alice2, self.bob):
            expect(await person.sync(timeout=0, full_state=True), SyncResponse)

    async def create_room(self):
        created = await self.alice.room_create(name="nio", topic="schemas", alias=f"nio-{STAMP}")
        self.room_id = expect(created, RoomCreateResponse).room_id
        await self.synced(self.alice, lambda: self.room_id in self.alice.rooms)
        room = self.alice.rooms[self.room_id]
        assert room.name == "nio" and room.topic == "schemas", (room.name, room.topic)
        assert room.canonical_alias == f"#nio-{STAMP}:localhost", room.canonical_alias

    async def invite(self):
        refused = await self.bob.join(self.room_id)
        assert isinstance(refused, JoinError) and refused.status_code == "M_FORBIDDEN", refused
        expect(await self.alice.room_invite(self.room_id, self.bob.user_id), RoomInviteResponse)
        await self.synced(self.bob, lambda: self.room_id in self.bob.invited_rooms)
        assert self.bob.invited_rooms[self.room_id].inviter == self.alice.user_id

    async def join(self):
        expect(await self.bob.join(self.room_id), JoinResponse)
        await self.synced(self.bob, lambda: self.room_id in self.bob.rooms)
        await self.synced(
            self.alice, lambda: self.bob.user_id in self.alice.rooms[self.room_id].users
        )
        members = expect(await self.alice.joined_members(self.room_id), JoinedMembersResponse)
        assert {m.user_id for m in members.members} == {self.alice.user_id, self.bob.user_id}
        rooms = expect(await self.bob.joined_rooms(), JoinedRoomsResponse)
        assert rooms.rooms == [self.room_id], rooms.rooms

    async def send(self):
        waiting = asyncio.create_task(self.bob.sync(timeout=20_000))
        self.first = await self.say(self.alice, "hello from nio")
        answer = expect(await asyncio.wait_for(waiting, 15), SyncResponse)
        events = answer.rooms.join[self.room_id].timeline.events
        assert [e.body for e in events if e.event_id == self.first] == ["hello from nio"], events
        await self.sees(self.alice2, self.first)

    async def idempotent(self):
        content = {"msgtype": "m.text", "body": "only once"}
        sent = [
            await self.alice.room_send(self.room_id, "m.room.message", content, tx_id="same")
            for _ in range(2)
        ]
        ids = {expect(answer, RoomSendResponse).event_id for answer in sent}
        assert len(ids) == 1, ids

    async def edit(self):
        content = {
            "msgtype": "m.text",
            "body": "* hello again",
            "m.new_content": {"msgtype": "m.text", "body": "hello again"},
            "m.relates_to": {"rel_type": "m.replace", "event_id": self.first},
        }
        event = await self.sees(self.bob, await self.put(self.alice, "m.room.message", content))
        assert event.source["content"]["m.relates_to"]["event_id"] == self.first

    async def react(self):
        relation = {"rel_type": "m.annotation", "event_id": self.first, "key": "👍"}
        event_id = await self.put(self.bob, "m.reaction", {"m.relates_to": relation})
        event = await self.sees(self.alice, event_id)
        assert (event.reacts_to, event.key) == (self.first, "👍"), event

    async def redact(self):
        event_id = await self.say(self.alice, "said too much")
        await self.sees(self.bob, event_id)
        redaction = await self.alice.room_redact(self.room_id, event_id, reason="too much")
        redaction_id = expect(redaction, RoomRedactResponse).event_id
        event = await self.sees(self.bob, redaction_id)
        assert event.redacts == event_id, event.source
        answer = await self.bob.room_get_event(self.room_id, event_id)
        gone = expect(answer, RoomGetEventResponse).event.source
        assert gone["content"] == {}, gone
        assert gone["unsigned"]["redacted_because"]["event_id"] == redaction_id, gone

    async def two_devices(self):
        bodies = [f"message {n}" for n in range(MESSAGES)]
        shown = {self.alice: [], self.alice2: []}

        async def follow(person):
            while bodies[-1] not in shown[person]:
                answer = expect(await person.sync(timeout=20_000), SyncResponse)
                room = answer.rooms.join.get(self.room_id)
                events = room.timeline.events if room else []
                shown[person] += [e.body for e in events if getattr(e, "body", "") in bodies]

        followers = [asyncio.create_task(follow(person)) for person in shown]
        for body in bodies:
            await self.say(self.alice, body)
        await asyncio.wait_for(asyncio.gather(*followers), 20)
        assert shown[self.alice] == bodies, shown[self.alice]
        assert shown[self.alice2] == bodies, shown[self.alice2]

    async def paginate(self):
        walks = {}
        for direction in (MessageDirection.back, MessageDirection.front):
            events, start = [], None
            for _ in range(50):
                page = expect(
                    await self.bob.room_messages(
                        self.room_id, start=start, direction=direction, limit=10
                    ),
                    RoomMessagesResponse,
                )
                assert len(page.chunk) <= 10, len(page.chunk)
                events += page.chunk
                if not page.end or not page.chunk:
                    break
                start = page.end
            walks[direction] = [event.event_id for event in events]
            assert len(set(walks[direction])) == len(events), "a page repeats events"
            texts = [e.body for e in events if getattr(e, "body", "").startswith("message ")]
            assert len(texts) == MESSAGES, texts
            kinds = [event.source["type"] for event in events]
            assert "m.room.create" in kinds, kinds
        assert walks[MessageDirection.back] == walks[MessageDirection.front][::-1]

    async def context(self):
        answer = await self.bob.room_context(self.room_id, self.first, limit=4)
        around = expect(answer, RoomContextResponse)
        assert around.event.event_id == self.first
        assert len(around.events_before) + len(around.events_after) <= 4
        assert around.events_after and around.events_before

    async def state(self):
        put = await self.alice.room_put_state(self.room_id, "m.room.topic", {"topic": "changed"})
        expect(put, RoomPutStateResponse)
        one = await self.bob.room_get_state_event(self.room_id, "m.room.topic")
        assert expect(one, RoomGetStateEventResponse).content == {"topic": "changed"}
        everything = expect(await self.bob.room_get_state(self.room_id), RoomGetStateResponse)
        kinds = [event["type"] for event in everything.events]
        assert len(kinds) == len({(e["type"], e["state_key"]) for e in everything.events})
        assert {"m.room.create", "m.room.power_levels", "m.room.join_rules"} <= set(kinds), kinds
        await self.synced(self.bob, lambda: self.bob.rooms[self.room_id].topic == "changed")

    async def alias(self):
        alias = f"#nio-other-{STAMP}:localhost"
        expect(await self.alice.room_put_alias(alias, self.room_id), RoomPutAliasResponse)
        found = expect(await self.bob.room_resolve_alias(alias), RoomResolveAliasResponse)
        assert found.room_id == self.room_id and found.servers == ["localhost"], found

    async def typing(self):
        users = lambda: self.alice.rooms[self.room_id].typing_users
        expect(await self.bob.room_typing(self.room_id, True, 20_000), RoomTypingResponse)
        await self.synced(self.alice, lambda: self.bob.user_id in users())
        expect(await self.bob.room_typing(self.room_id, False), RoomTypingResponse)
        await self.synced(self.alice, lambda: self.bob.user_id not in users())

    async def receipts(self):
        last = await self.say(self.alice, "read me")
        await self.sees(self.bob, last)
        answer = await self.bob.update_receipt_marker(self.room_id, last)
        expect(answer, UpdateReceiptMarkerResponse)
        await self.synced(self.alice, lambda: self.read(self.alice, self.bob.user_id) == last)
        markers = await self.bob.room_read_markers(self.room_id, last, last)
        expect(markers, RoomReadMarkersResponse)
        await self.synced(self.bob, lambda: self.bob.rooms[self.room_id].fully_read_marker == last)

    async def profile(self):
        named = await self.bob.set_displayname("Bob of nio")
        expect(named, ProfileSetDisplayNameResponse)
        found = expect(await self.alice.get_profile(self.bob.user_id), ProfileGetResponse)
        assert found.displayname == "Bob of nio", found
        users = self.alice.rooms[self.room_id].users
        await self.synced(
            self.alice, lambda: users[self.bob.user_id].display_name == "Bob of nio"
        )

    async def account_data(self):
        kind, content = "org.matryx.nio", {"language": "en"}
        path = Api._build_path(["user", self.alice.user_id, "account_data", kind])
        headers = {"Authorization": f"Bearer {self.alice.access_token}"}
        answer = await self.alice.send("PUT", path, Api.to_json(content), headers)
        assert answer.status == 200, (answer.status, await answer.text())
        for _ in range(20):
            synced = expect(await self.alice2.sync(timeout=1000), SyncResponse)
            # nio names only the types that it knows; an unknown one still keeps its content.
            if any(getattr(e, "type", "") == kind for e in synced.account_data_events):
                found = [e for e in synced.account_data_events if getattr(e, "type", "") == kind]
                assert found[-1].content == content, found
                return
        raise AssertionError("the other device never saw the account data")

    async def filters(self):
        uploaded = await self.bob.upload_filter(room={"timeline": {"limit": 3}})
        filter_id = expect(uploaded, UploadFilterResponse).filter_id
        self.bob.next_batch = ""
        answer = await self.bob.sync(timeout=0, sync_filter=filter_id)
        timeline = expect(answer, SyncResponse).rooms.join[self.room_id].timeline
        assert len(timeline.events) == 3 and timeline.limited, timeline

    async def leave(self):
        expect(await self.bob.room_leave(self.room_id), RoomLeaveResponse)
        users = self.alice.rooms[self.room_id].users
        await self.synced(self.alice, lambda: self.bob.user_id not in users)
        expect(await self.bob.room_forget(self.room_id), RoomForgetResponse)
        rooms = expect(await self.bob.joined_rooms(), JoinedRoomsResponse)
        assert rooms.rooms == [], rooms.rooms

    async def logout(self):
        token = self.alice2.access_token
        expect(await self.alice2.logout(), LogoutResponse)
        stale = client(self.alice.user)
        stale.access_token = token
        answer = await stale.whoami()
        await stale.close()
        assert getattr(answer, "status_code", None) == "M_UNKNOWN_TOKEN", answer
        expect(await self.alice.whoami(), WhoamiResponse)

    async def put(self, person, kind, content):
        answer = await person.room_send(self.room_id, kind, content)
        return expect(answer, RoomSendResponse).event_id

    async def say(self, person, body):
        return await self.put(person, "m.room.message", {"msgtype": "m.text", "body": body})

    async def synced(self, person, condition):
        """Syncs until the client's own room model shows what is expected."""
        for _ in range(20):
            if condition():
                return
            expect(await person.sync(timeout=1000), SyncResponse)
        assert condition(), "twenty syncs did not bring it"

    async def sees(self, person, event_id):
        """Syncs until the timeline brings this event."""
        for _ in range(20):
            answer = expect(await person.sync(timeout=1000), SyncResponse)
            room = answer.rooms.join.get(self.room_id)
            for event in room.timeline.events if room else []:
                if event.event_id == event_id:
                    return event
        raise AssertionError(f"twenty syncs did not bring {event_id}")

    def read(self, person, user_id):
        """What this client knows of the other's receipt in the main timeline."""
        threads = person.rooms[self.room_id].threaded_read_receipts.get(user_id, {})
        return threads["main"].event_id if "main" in threads else None


async def main():
    checks, interop = Checks(), Interop()
    try:
        await checks.must("register", interop.register())
        await checks.must("log in on a second device", interop.login())
        await checks.check("devices", interop.devices())
        await checks.must("first sync", interop.first_sync())
        await checks.must("create a room with an alias", interop.create_room())
        await checks.must("invite", interop.invite())
        await checks.must("join", interop.join())
        await checks.must("send to a waiting sync", interop.send())
        await checks.check("a transaction id sends once", interop.idempotent())
        await checks.check("edit", interop.edit())
        await checks.check("react", interop.react())
        await checks.check("redact", interop.redact())
        await checks.check("two devices at once see the same messages", interop.two_devices())
        await checks.check("paginate both ways", interop.paginate())
        await checks.check("context", interop.context())
        await checks.check("state", interop.state())
        await checks.check("alias", interop.alias())
        await checks.check("typing", interop.typing())
        await checks.check("receipts and read markers", interop.receipts())
        await checks.check("profile", interop.profile())
        await checks.check("account data", interop.account_data())
        await checks.check("a stored filter limits the timeline", interop.filters())
        await checks.check("leave and forget", interop.leave())
        await checks.check("log out", interop.logout())
    finally:
        for person in (interop.alice, interop.alice2, interop.bob):
            await person.close()
    sys.exit(1 if checks.failed else 0)


asyncio.run(main())
