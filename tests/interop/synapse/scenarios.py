"""What two servers do in shared rooms. Alice is on the server that has the room, Bob and Carol on
the one that comes to it.

Each scenario makes its own rooms. Where both are in a room, both must come to the same state,
event for event, and to the same messages in the same order.
"""

from wire import refused, segment, until

PAGE = 60
"""Messages before somebody comes: more than a page of a backfill."""


def of(version, host, guest):
    """The scenarios of a room version, in order."""
    number = int(version)
    chosen = [
        comes_by_id_speaks_and_goes,
        comes_by_alias_after_a_look_at_the_directory,
        is_invited_accepts_and_is_told_everything,
        is_invited_and_rejects,
        is_invited_and_uninvited,
        is_kicked_and_comes_back,
        is_banned_and_pardoned,
        follows_changes_of_the_room,
        reads_what_was_said_before,
        sees_what_passes,
        both_speak_at_once,
        both_go_on_apart_and_agree_afterwards,
        is_away_and_catches_up,
        comes_back_and_reads_what_was_said_meanwhile,
        is_of_a_server_that_is_shut_out,
    ]
    if number >= 7:
        chosen += [knocks_and_is_let_in, knocks_and_is_turned_away]
    if number >= 8:
        chosen += [comes_from_a_room_that_opens_another]
    return chosen


def cast(host, guest):
    return host.user("alice"), guest.user("bob")


def agree(room, *users):
    """All see the same state, and can say so within a while; the state."""

    def same():
        states = [user.state(room) for user in users]
        return states[0] if all(state == states[0] for state in states) else None

    try:
        return until("agreement", same)
    except AssertionError as error:
        first, second = (user.state(room) for user in users[:2])
        keys = first.keys() | second.keys()
        differ = {key: (first.get(key), second.get(key)) for key in keys}
        differ = {key: both for key, both in differ.items() if both[0] != both[1]}
        raise AssertionError(f"the states differ: {differ}") from error


def hears(user, room, event_id):
    """The event arrives."""
    return until(
        f"{user.server.kind} hears {event_id}",
        lambda: user.room("GET", room, f"/event/{segment(event_id)}"),
    )


def hear_alike(room, *users):
    """All have the same messages in the same order; them."""

    def same():
        told = [user.messages(room) for user in users]
        return told[0] if all(messages == told[0] for messages in told) else None

    try:
        return until("the same order", same)
    except AssertionError as error:
        told = [user.messages(room) for user in users]
        counts = [len(messages) for messages in told]
        first = next((at for at, pair in enumerate(zip(*told)) if len(set(pair)) > 1), None)
        raise AssertionError(f"{counts} messages, which differ from number {first} on") from error


def is_now(user, room, member, membership):
    """The user's server has this membership for somebody."""
    return until(
        f"{member.id} is {membership} for {user.server.kind}",
        lambda: user.membership(room, member) == membership,
    )


def meet(host, guest, version, **room):
    """A room of Alice that Bob has joined."""
    alice, bob = cast(host, guest)
    room = alice.create(version, preset="public_chat", **room)
    bob.join(room, host.name)
    agree(room, alice, bob)
    return alice, bob, room


def comes_by_id_speaks_and_goes(host, guest, version):
    alice, bob, room = meet(host, guest, version, name="Lobby")
    for number in range(3):
        hears(alice, room, bob.say(room, f"from Bob {number}"))
        hears(bob, room, alice.say(room, f"from Alice {number}"))
    assert len(hear_alike(room, alice, bob)) == 6
    assert bob.get(room, "m.room.name") == {"name": "Lobby"}
    bob.leave(room)
    is_now(alice, room, bob, "leave")
    assert room in bob.rooms("leave") or room not in bob.rooms("join")
    bob.join(room, host.name)
    is_now(alice, room, bob, "join")
    agree(room, alice, bob)
    hears(bob, room, alice.say(room, "again"))
    bob.leave(room)
    is_now(alice, room, bob, "leave")


def comes_by_alias_after_a_look_at_the_directory(host, guest, version):
    alice, bob = cast(host, guest)
    local = f"hall{version}-{host.kind}"
    room = alice.create(
        version, preset="public_chat", name=local, visibility="public", room_alias_name=local
    )
    listed = bob.call("POST", "/publicRooms", {"limit": 100}, server=host.name)
    assert room in [entry["room_id"] for entry in listed["chunk"]], listed
    alias = f"#{local}:{host.name}"
    found = bob.call("GET", f"/directory/room/{segment(alias)}")
    assert found["room_id"] == room and host.name in found["servers"], found
    assert bob.join(alias)["room_id"] == room
    agree(room, alice, bob)
    alice.call("PUT", f"/profile/{segment(alice.id)}/displayname", {"displayname": "Alice A."})
    profile = bob.call("GET", f"/profile/{segment(alice.id)}")
    assert profile["displayname"] == "Alice A.", profile


def is_invited_accepts_and_is_told_everything(host, guest, version):
    alice, bob = cast(host, guest)
    room = alice.create(version, preset="private_chat", name="Parlour")
    refused(bob.join, room, host.name)
    alice.act("invite", room, bob)
    invited = until("the invite", lambda: bob.rooms("invite").get(room))
    told = {event["type"]: event["content"] for event in invited["invite_state"]["events"]}
    assert told["m.room.name"] == {"name": "Parlour"}, told
    bob.join(room)
    is_now(alice, room, bob, "join")
    agree(room, alice, bob)
    hears(bob, room, alice.say(room, "welcome"))
    hears(alice, room, bob.say(room, "thank you"))
    hear_alike(room, alice, bob)
    # Somebody else of the same server, whom the guest invites.
    carol = guest.user("carol")
    bob.act("invite", room, carol)
    carol.join(room)
    is_now(alice, room, carol, "join")
    agree(room, alice, bob, carol)


def is_invited_and_rejects(host, guest, version):
    alice, bob = cast(host, guest)
    room = alice.create(version, preset="private_chat")
    alice.act("invite", room, bob)
    until("the invite", lambda: bob.rooms("invite").get(room))
    bob.leave(room)
    until("the invite goes", lambda: room not in bob.rooms("invite"))
    is_now(alice, room, bob, "leave")
    refused(bob.join, room, host.name)


def is_invited_and_uninvited(host, guest, version):
    alice, bob = cast(host, guest)
    room = alice.create(version, preset="private_chat")
    alice.act("invite", room, bob)
    until("the invite", lambda: bob.rooms("invite").get(room))
    alice.act("kick", room, bob, reason="a mistake")
    is_now(alice, room, bob, "leave")
    refused(bob.join, room, host.name)


def is_kicked_and_comes_back(host, guest, version):
    alice, bob, room = meet(host, guest, version)
    alice.act("kick", room, bob, reason="noise")
    until("the kick", lambda: room not in bob.rooms("join"))
    refused(bob.say, room, "more noise")
    bob.join(room, host.name)
    is_now(alice, room, bob, "join")
    agree(room, alice, bob)


def is_banned_and_pardoned(host, guest, version):
    alice, bob, room = meet(host, guest, version)
    carol = guest.user("carol")
    carol.join(room, host.name)
    agree(room, alice, bob, carol)
    alice.act("ban", room, bob)
    is_now(carol, room, bob, "ban")
    agree(room, alice, carol)
    refused(bob.join, room, host.name)
    refused(bob.say, room, "more noise")
    alice.act("unban", room, bob)
    is_now(carol, room, bob, "leave")
    bob.join(room, host.name)
    is_now(alice, room, bob, "join")
    agree(room, alice, bob, carol)
    # The guest acts on the host's user, with power and without.
    refused(bob.act, "kick", room, alice)
    dave = host.user("dave")
    dave.join(room)
    is_now(bob, room, dave, "join")
    levels = alice.get(room, "m.room.power_levels")
    levels.setdefault("users", {})[bob.id] = 60
    alice.set(room, "m.room.power_levels", levels)
    until("power", lambda: bob.get(room, "m.room.power_levels") == levels)
    bob.act("ban", room, dave)
    is_now(alice, room, dave, "ban")
    bob.act("unban", room, dave)
    is_now(alice, room, dave, "leave")
    agree(room, alice, bob, carol)


def follows_changes_of_the_room(host, guest, version):
    alice, bob, room = meet(host, guest, version)
    alice.set(room, "m.room.topic", {"topic": "weather"})
    until("the topic", lambda: bob.get(room, "m.room.topic")["topic"] == "weather")
    refused(bob.set, room, "m.room.topic", {"topic": "mine"})
    levels = alice.get(room, "m.room.power_levels")
    levels.setdefault("users", {})[bob.id] = 50
    alice.set(room, "m.room.power_levels", levels)
    until("power", lambda: bob.get(room, "m.room.power_levels") == levels)
    bob.set(room, "m.room.topic", {"topic": "mine"})
    until("the topic", lambda: alice.get(room, "m.room.topic")["topic"] == "mine")
    bob.set(room, "org.example.thing", {"it": 1}, key="a key")
    until("a thing", lambda: alice.get(room, "org.example.thing", key="a key") == {"it": 1})
    event_id = alice.say(room, "a secret")
    hears(bob, room, event_id)
    alice.transactions += 1
    path = f"/redact/{segment(event_id)}/{alice.transactions}"
    alice.room("PUT", room, path, {"reason": "told too much"})
    path = f"/event/{segment(event_id)}"
    until("the redaction", lambda: bob.room("GET", room, path)["content"] == {})
    # A change of a profile is a change of the member.
    bob.call("PUT", f"/profile/{segment(bob.id)}/displayname", {"displayname": f"Bob {room}"})
    until(
        "the name",
        lambda: alice.get(room, "m.room.member", key=bob.id).get("displayname") == f"Bob {room}",
    )
    agree(room, alice, bob)
    hear_alike(room, alice, bob)


def reads_what_was_said_before(host, guest, version):
    alice, bob = cast(host, guest)
    room = alice.create(version, preset="public_chat")
    said = [alice.say(room, f"before {number}") for number in range(PAGE)]
    bob.join(room, host.name)
    assert hear_alike(room, alice, bob) == said
    context = bob.room("GET", room, f"/context/{segment(said[3])}", limit=4)
    around = [event["event_id"] for event in context["events_after"]]
    assert around[0] == said[4], context
    # What was said to those who were there stays theirs.
    room = alice.create(
        version,
        preset="public_chat",
        initial_state=[
            {"type": "m.room.history_visibility", "content": {"history_visibility": "joined"}}
        ],
    )
    secret = alice.say(room, "between us")
    bob.join(room, host.name)
    after = alice.say(room, "for all")
    hears(bob, room, after)
    assert secret not in bob.messages(room)


def sees_what_passes(host, guest, version):
    alice, bob, room = meet(host, guest, version)
    event_id = alice.say(room, "read this")
    hears(bob, room, event_id)

    def ephemeral(user, kind):
        joined = user.sync()["rooms"]["join"][room]
        events = joined.get("ephemeral", {}).get("events", [])
        found = [event["content"] for event in events if event["type"] == kind]
        return found[0] if found else {}

    for here, there in ((alice, bob), (bob, alice)):
        here.room("PUT", room, f"/typing/{segment(here.id)}", {"typing": True, "timeout": 30000})
        until("typing", lambda: here.id in ephemeral(there, "m.typing").get("user_ids", []))
        here.room("PUT", room, f"/typing/{segment(here.id)}", {"typing": False})
        until("a pause", lambda: here.id not in ephemeral(there, "m.typing").get("user_ids", []))
    bob.room("POST", room, f"/receipt/m.read/{segment(event_id)}")
    until(
        "the receipt",
        lambda: bob.id in ephemeral(alice, "m.receipt").get(event_id, {}).get("m.read", {}),
    )


def both_speak_at_once(host, guest, version):
    alice, bob, room = meet(host, guest, version)
    said = []
    for number in range(10):
        said.append(alice.say(room, f"from Alice {number}"))
        said.append(bob.say(room, f"from Bob {number}"))
    for user in (alice, bob):
        until("all of it", lambda: set(user.messages(room)) == set(said))
    agree(room, alice, bob)


def apart(host, guest):
    host.link.cut()
    guest.link.cut()


def together(host, guest):
    host.link.heal()
    guest.link.heal()


def both_go_on_apart_and_agree_afterwards(host, guest, version):
    alice, bob, room = meet(host, guest, version)
    levels = alice.get(room, "m.room.power_levels")
    levels.setdefault("users", {})[bob.id] = 50
    alice.set(room, "m.room.power_levels", levels)
    until("power", lambda: bob.get(room, "m.room.power_levels") == levels)
    carol = guest.user("carol")
    carol.join(room, host.name)
    agree(room, alice, bob, carol)
    apart(host, guest)
    try:
        said = []
        for number in range(5):
            said.append(alice.say(room, f"Alice alone {number}"))
            said.append(bob.say(room, f"Bob alone {number}"))
        alice.set(room, "m.room.topic", {"topic": "Alice's"})
        bob.set(room, "m.room.topic", {"topic": "Bob's"})
        bob.set(room, "org.example.thing", {"of": "Bob"})
        # Power is taken from Bob while he uses it.
        levels["users"][bob.id] = 0
        alice.set(room, "m.room.power_levels", levels)
        bob.act("kick", room, carol)
    finally:
        together(host, guest)
    # A sign of life from each, so that nobody waits for a retry.
    said.append(alice.say(room, "Alice is back"))
    said.append(bob.say(room, "Bob is back"))
    agree(room, alice, bob)
    for user in (alice, bob):
        until("all of it", lambda: set(user.messages(room)) >= set(said))


def is_away_and_catches_up(host, guest, version):
    alice, bob, room = meet(host, guest, version)
    guest.stop()
    said = [alice.say(room, f"to nobody {number}") for number in range(PAGE)]
    alice.set(room, "m.room.topic", {"topic": "who is not there"})
    guest.start()
    # Any sign of life ends the wait for the next attempt.
    bob.room("PUT", room, f"/typing/{segment(bob.id)}", {"typing": True, "timeout": 1000})
    said.append(alice.say(room, "welcome back"))
    hears(bob, room, said[-1])
    agree(room, alice, bob)
    assert hear_alike(room, alice, bob) == said
    host.stop()
    lonely = bob.say(room, "to nobody")
    host.start()
    hears(alice, room, lonely)
    agree(room, alice, bob)


def comes_back_and_reads_what_was_said_meanwhile(host, guest, version):
    alice, bob, room = meet(host, guest, version)
    said = [alice.say(room, "to Bob")]
    hears(bob, room, said[-1])
    said.append(bob.say(room, "to Alice"))
    hears(alice, room, said[-1])
    bob.leave(room)
    is_now(alice, room, bob, "leave")
    said += [alice.say(room, f"to nobody {number}") for number in range(PAGE)]
    bob.join(room, host.name)
    said.append(bob.say(room, "I am back"))
    hears(alice, room, said[-1])
    agree(room, alice, bob)
    assert hear_alike(room, alice, bob) == said


def is_of_a_server_that_is_shut_out(host, guest, version):
    alice, bob, room = meet(host, guest, version)
    rules = {"allow": ["*"], "deny": [guest.name.rsplit(":", 1)[0]], "allow_ip_literals": True}
    shut = alice.set(room, "m.room.server_acl", rules)
    hears(bob, room, shut)
    unheard = [bob.say(room, "can you hear me?") for _ in range(5)]
    alice.say(room, "among us")
    assert not set(unheard) & set(alice.messages(room))
    rules["deny"] = []
    hears(bob, room, alice.set(room, "m.room.server_acl", rules))
    hears(alice, room, bob.say(room, "and now?"))
    agree(room, alice, bob)


def knocks_and_is_let_in(host, guest, version):
    alice, bob, room = knocking(host, guest, version)
    alice.act("invite", room, bob)
    until("the invite", lambda: bob.rooms("invite").get(room))
    bob.join(room)
    is_now(alice, room, bob, "join")
    agree(room, alice, bob)


def knocks_and_is_turned_away(host, guest, version):
    alice, bob, room = knocking(host, guest, version)
    alice.act("kick", room, bob)
    is_now(alice, room, bob, "leave")
    # And thinks better of it. Synapse tells nobody then.
    alice, bob, room = knocking(host, guest, version)
    bob.leave(room)
    if guest.kind != "synapse":
        is_now(alice, room, bob, "leave")


def knocking(host, guest, version):
    """A room at whose door Bob stands."""
    alice, bob = cast(host, guest)
    rule = {"type": "m.room.join_rules", "content": {"join_rule": "knock"}}
    room = alice.create(version, preset="private_chat", name="Club", initial_state=[rule])
    refused(bob.join, room, host.name)
    bob.knock(room, host.name)
    is_now(alice, room, bob, "knock")
    knocked = until("the knock", lambda: bob.rooms("knock").get(room))
    told = {event["type"]: event["content"] for event in knocked["knock_state"]["events"]}
    assert told["m.room.name"] == {"name": "Club"}, told
    return alice, bob, room


def comes_from_a_room_that_opens_another(host, guest, version):
    alice, bob = cast(host, guest)
    door = alice.create(version, preset="public_chat")
    allow = [{"type": "m.room_membership", "room_id": door}]
    rule = {"join_rule": "restricted", "allow": allow}
    initial = [{"type": "m.room.join_rules", "content": rule}]
    room = alice.create(version, preset="private_chat", initial_state=initial)
    refused(bob.join, room, host.name)
    bob.join(door, host.name)
    agree(door, alice, bob)
    bob.join(room, host.name)
    is_now(alice, room, bob, "join")
    agree(room, alice, bob)
    # Inside, the guest's own server can let others of its users in: it has nobody who may invite,
    # so it asks.
    carol = guest.user("carol")
    refused(carol.join, room, host.name)
    carol.join(door, host.name)
    carol.join(room, host.name)
    is_now(alice, room, carol, "join")
    agree(room, alice, bob, carol)
