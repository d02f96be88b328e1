//! Finding servers, step by step, on a network that follows a script.

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, header};
use matryx_client::{
    federation::{Resolver, Step},
    outbound::{Host, OutboundError, Route, Target},
};
use ruma::ServerName;

use crate::script::{Script, StillClock, answer, refused, target};

struct World {
    network: Arc<Script>,
    clock: Arc<StillClock>,
    resolver: Resolver,
}

impl World {
    fn new() -> Self {
        let network = Arc::<Script>::default();
        let clock = Arc::<StillClock>::default();
        let resolver = Resolver::new(network.clone(), network.clone(), clock.clone());
        Self {
            network,
            clock,
            resolver,
        }
    }

    async fn route(&self, server: &str) -> Route {
        let server = <&ServerName>::try_from(server).unwrap();
        self.resolver.resolve(server).await.route.clone()
    }
}

fn route(authority: &str, name: &str, targets: &[Target]) -> Route {
    Route {
        authority: authority.to_owned(),
        name: Host::parse(name),
        targets: targets.to_vec(),
    }
}

const WELL_KNOWN: &str = "https://a.test/.well-known/matrix/server";
const FED: &str = "_matrix-fed._tcp.a.test";
const OLD: &str = "_matrix._tcp.a.test";

#[tokio::test]
async fn addresses_and_ports_are_taken_as_they_are() {
    let world = World::new();
    for (server, host, port) in [
        ("192.0.2.1", "192.0.2.1", 8448),
        ("192.0.2.1:443", "192.0.2.1", 443),
        ("[2001:db8::1]", "[2001:db8::1]", 8448),
        ("[2001:db8::1]:80", "[2001:db8::1]", 80),
        ("a.test:1", "a.test", 1),
    ] {
        let expected = route(server, host, &[target(host, port)]);
        assert_eq!(world.route(server).await, expected);
    }
    assert_eq!(world.network.asked(), [""; 0]);
}

#[tokio::test]
async fn a_well_known_file_leads_to_an_address_or_a_port() {
    for (delegated, host, port) in [
        ("192.0.2.1", "192.0.2.1", 8448),
        ("192.0.2.1:1", "192.0.2.1", 1),
        ("m.test:443", "m.test", 443),
    ] {
        let world = World::new();
        let file = format!(r#"{{"m.server":"{delegated}"}}"#);
        world.network.well_known("a.test", &file);
        let expected = route(delegated, host, &[target(host, port)]);
        assert_eq!(world.route("a.test").await, expected);
        assert_eq!(world.network.asked(), [WELL_KNOWN]);
    }
}

#[tokio::test]
async fn a_well_known_file_leads_to_the_services_of_another_name() {
    let world = World::new();
    let file = r#"{"m.server":"m.test"}"#;
    world.network.well_known("a.test", file);
    let expected = route("m.test", "m.test", &[target("m.test", 8448)]);
    assert_eq!(world.route("a.test").await, expected);

    let world = World::new();
    world.network.well_known("a.test", file);
    world
        .network
        .service("_matrix._tcp.m.test", &[("old.test", 2)]);
    let expected = route("m.test", "m.test", &[target("old.test", 2)]);
    assert_eq!(world.route("a.test").await, expected);

    let world = World::new();
    world.network.well_known("a.test", file);
    world
        .network
        .service("_matrix-fed._tcp.m.test", &[("x.test", 1), ("y.test", 2)]);
    world
        .network
        .service("_matrix._tcp.m.test", &[("old.test", 3)]);
    let targets = [target("x.test", 1), target("y.test", 2)];
    assert_eq!(
        world.route("a.test").await,
        route("m.test", "m.test", &targets)
    );
}

#[tokio::test]
async fn without_a_well_known_file_the_name_has_services_or_the_default_port() {
    let world = World::new();
    world.network.service(FED, &[("x.test", 1)]);
    let expected = route("a.test", "a.test", &[target("x.test", 1)]);
    assert_eq!(world.route("a.test").await, expected);
    assert_eq!(world.network.asked(), [WELL_KNOWN, FED, OLD]);

    let world = World::new();
    let expected = route("a.test", "a.test", &[target("a.test", 8448)]);
    assert_eq!(world.route("a.test").await, expected);

    // Name servers that do not answer end in the same place.
    let world = World::new();
    world.network.no_name_server(FED);
    world.network.no_name_server(OLD);
    assert_eq!(world.route("a.test").await, expected);
}

#[tokio::test]
async fn what_is_no_well_known_file_is_passed_over_and_remembered() {
    let expected = route("a.test", "a.test", &[target("a.test", 8448)]);
    let redirect = |to: &'static str| {
        let mut answer = answer(302, "");
        let to = HeaderValue::from_static(to);
        answer.headers_mut().insert(header::LOCATION, to);
        answer
    };
    for reply in [
        Ok(answer(404, "{}")),
        Ok(answer(500, r#"{"m.server":"m.test"}"#)),
        Ok(answer(200, "<html>")),
        Ok(answer(200, r#"{"m.server":"m.test/path"}"#)),
        Ok(answer(200, r#"{"m.server":"user@m.test"}"#)),
        Ok(answer(200, r#"{"m.server":"m.test:0"}"#)),
        Ok(redirect("http://m.test/")),
        Ok(redirect("/.well-known/matrix/server")),
        Err(OutboundError::TooLarge(1)),
        Err(OutboundError::Denied("127.0.0.1".parse().unwrap())),
        Err(refused()),
    ] {
        let world = World::new();
        world.network.reply(WELL_KNOWN, reply);
        assert_eq!(world.route("a.test").await, expected);
        // At most the first request and four redirects.
        let asked = world.network.asked();
        let times = asked.iter().filter(|asked| *asked == WELL_KNOWN).count();
        assert!((1..=5).contains(&times), "{asked:?}");
        assert_eq!(world.route("a.test").await, expected);
        assert_eq!(world.network.asked(), [""; 0]);
    }
}

#[tokio::test]
async fn redirects_of_a_well_known_file_are_followed() {
    let world = World::new();
    let mut there = answer(301, "");
    let to = HeaderValue::from_static("https://b.test:1/file");
    there.headers_mut().insert(header::LOCATION, to);
    world.network.reply(WELL_KNOWN, Ok(there));
    let file = answer(200, r#"{"m.server":"m.test:1"}"#);
    world.network.reply("https://b.test:1/file", Ok(file));
    let expected = route("m.test:1", "m.test", &[target("m.test", 1)]);
    assert_eq!(world.route("a.test").await, expected);
    let exchanges = world.network.exchanges.lock();
    assert_eq!(
        exchanges[1].0,
        Route::direct("b.test:1", Host::parse("b.test"), 1)
    );
}

#[tokio::test]
async fn a_route_is_remembered_and_found_once_for_all_who_ask() {
    let world = World::new();
    let mut file = answer(200, r#"{"m.server":"m.test:1"}"#);
    let hour = HeaderValue::from_static("max-age=3600");
    file.headers_mut().insert(header::CACHE_CONTROL, hour);
    world.network.reply(WELL_KNOWN, Ok(file));
    tokio::join!(
        world.route("a.test"),
        world.route("a.test"),
        world.route("a.test")
    );
    assert_eq!(world.network.asked(), [WELL_KNOWN]);
    world.clock.advance(Duration::from_mins(59));
    world.route("a.test").await;
    assert_eq!(world.network.asked(), [""; 0]);
    world.clock.advance(Duration::from_mins(2));
    world.route("a.test").await;
    assert_eq!(world.network.asked(), [WELL_KNOWN]);
}

#[tokio::test]
async fn a_well_known_file_counts_while_its_host_is_away() {
    let world = World::new();
    world
        .network
        .well_known("a.test", r#"{"m.server":"m.test:1"}"#);
    let delegated = route("m.test:1", "m.test", &[target("m.test", 1)]);
    assert_eq!(world.route("a.test").await, delegated);
    world.network.reply(WELL_KNOWN, Err(refused()));
    world.clock.advance(Duration::from_hours(25));
    assert_eq!(world.route("a.test").await, delegated);
    let server = <&ServerName>::try_from("a.test").unwrap();
    let steps = &world.resolver.resolve(server).await.steps;
    assert!(
        matches!(steps[..], [Step::StillDelegated(..), Step::Port]),
        "{steps:?}"
    );
    world.clock.advance(Duration::from_hours(24));
    let expected = route("a.test", "a.test", &[target("a.test", 8448)]);
    assert_eq!(world.route("a.test").await, expected);
}
