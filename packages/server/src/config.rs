//! The configuration: one typed struct, merged from defaults, file, environment and flags.
//!
//! Every key is declared once, in the file of its section, with type, default and documentation;
//! the example file, the reference and `matryx config explain` are made from the declarations.
//! Unknown keys are errors, so a key that does nothing cannot exist by misspelling.

mod appearance;
mod check;
mod file;
mod load;
mod setting;
mod source;
mod value;

mod cache;
mod database;
mod feature;
mod federation;
mod http;
mod listen;
mod log;
mod outbound;
mod password;
mod public_key;
mod rate_limit;
mod registration;
mod session;
mod store;
mod well_known;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use ruma::{OwnedServerName, RoomVersionId};

use self::setting::settings;
pub use self::{
    appearance::{example, explain, reference, show},
    cache::Cache,
    database::{Database, Durability},
    feature::{Guests, Media, Presence, Publication, RoomDirectory},
    federation::{Federation, Retry},
    http::Http,
    listen::{Listener, Service, Tls},
    load::{Flag, Loaded, Sources, load, sections},
    log::{Log, LogFormat},
    outbound::{Appservices, Push, TlsTrust},
    password::{Argon2Cost, Password},
    public_key::PublicKey,
    rate_limit::RateLimit,
    registration::{Flow, Policy, Registration, Stage},
    session::Session,
    setting::{Key, Section},
    source::{ConfigError, Leaf, Problem, Source},
    value::{ByteSize, Rate, Secret},
    well_known::{Contact, ContactRole, WellKnown},
};

/// The name that a developer's server takes when nothing at all is configured.
pub const DEVELOPER_SERVER_NAME: &str = "localhost";

fn default_listeners() -> Vec<Listener> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 8008));
    let services = vec![Service::Client, Service::Federation, Service::Media];
    vec![Listener {
        services,
        address,
        tls: None,
    }]
}

settings! {
    /// The whole configuration. Only `server_name` is required.
    pub struct Config {
        /// The name of the homeserver: the part after the colon in user ids. It can never change.
        server_name: OwnedServerName,
        /// Folder for everything that the server keeps: database, signing key, lock. Created at the
        /// first start.
        data_dir: PathBuf = PathBuf::from("./matryx-data"),
        /// Addresses on which to listen, each with what it serves (`client`, `federation`, `media`,
        /// `admin`, `metrics`, joined by `+`) and, for TLS, the files of certificate and key. Several
        /// in one environment variable are separated by blanks.
        listen: Vec<Listener> = default_listeners(),
        /// Version of new rooms whose creator does not ask for one.
        default_room_version: RoomVersionId = RoomVersionId::V12,
        tables {
            database: Database,
            http: Http,
            registration: Registration,
            password: Password,
            session: Session,
            rate_limit: RateLimit,
            guests: Guests,
            presence: Presence,
            room_directory: RoomDirectory,
            media: Media,
            federation: Federation,
            push: Push,
            appservice: Appservices,
            tls: TlsTrust,
            well_known: WellKnown,
            cache: Cache,
            log: Log,
        }
    }
}
