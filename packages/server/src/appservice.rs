//! Application services: their registrations, read from a folder of YAML files at start.
//!
//! [Spec](https://spec.matrix.org/v1.19/application-service-api/#registration)
//!
//! Invariants: ids and tokens are unique among registrations, and an `as_token` names exactly one
//! application service. Namespace expressions match from the start of an id, as Synapse does.

use std::{
    collections::{BTreeMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use regex::Regex;
use ruma::{
    OwnedUserId, RoomAliasId, RoomId, ServerName, UserId,
    api::appservice::{Namespace, Namespaces, Registration},
};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// Why the registrations could not be loaded.
#[derive(Debug, Error)]
pub enum RegistrationError {
    /// The folder or a file in it can't be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not a registration.
    #[error("{} is not an application service registration", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_yaml_ng::Error,
    },
    /// A namespace's expression does not compile.
    #[error("application service {id}: invalid namespace expression `{expression}`")]
    Expression {
        /// The registration's id.
        id: String,
        /// The expression.
        expression: String,
        /// Why.
        source: Box<regex::Error>,
    },
    /// The sender is not a user of this server.
    #[error("application service {id}: invalid sender_localpart `{localpart}`")]
    Sender {
        /// The registration's id.
        id: String,
        /// The localpart.
        localpart: String,
        /// Why.
        source: ruma::IdParseError,
    },
    /// A token is empty.
    #[error("application service {id}: `{field}` is empty")]
    EmptyToken {
        /// The registration's id.
        id: String,
        /// Which token.
        field: &'static str,
    },
    /// Two registrations share an id or a token.
    #[error("application service {id}: its {field} is used by another registration too")]
    Duplicate {
        /// The registration's id.
        id: String,
        /// What they share.
        field: &'static str,
    },
}

/// One registered application service.
#[derive(Debug)]
pub struct Appservice {
    /// The registration as its file has it.
    pub registration: Registration,
    /// The user that the application service is when it names no other.
    pub sender: OwnedUserId,
    users: Vec<Pattern>,
    aliases: Vec<Pattern>,
    rooms: Vec<Pattern>,
}

#[derive(Debug)]
struct Pattern {
    regex: Regex,
    exclusive: bool,
}

impl Appservice {
    fn new(
        registration: Registration,
        server_name: &ServerName,
    ) -> Result<Self, RegistrationError> {
        let id = &registration.id;
        for (field, token) in [
            ("as_token", &registration.as_token),
            ("hs_token", &registration.hs_token),
        ] {
            if token.trim().is_empty() {
                return Err(RegistrationError::EmptyToken {
                    id: id.clone(),
                    field,
                });
            }
        }
        let localpart = &registration.sender_localpart;
        let sender = UserId::parse(format!("@{localpart}:{server_name}")).map_err(|source| {
            RegistrationError::Sender {
                id: id.clone(),
                localpart: localpart.clone(),
                source,
            }
        })?;
        let Namespaces {
            users,
            aliases,
            rooms,
            ..
        } = &registration.namespaces;
        Ok(Self {
            users: patterns(id, users)?,
            aliases: patterns(id, aliases)?,
            rooms: patterns(id, rooms)?,
            sender,
            registration,
        })
    }

    /// May the application service act as this user? Its own sender, or one in its namespace.
    pub fn owns_user(&self, user_id: &UserId) -> bool {
        self.sender == user_id || matches(&self.users, user_id.as_str())
    }

    /// Is this user reserved for the application service?
    pub fn reserves_user(&self, user_id: &UserId) -> bool {
        self.sender == user_id || reserves(&self.users, user_id.as_str())
    }

    /// Is this alias in the application service's namespace?
    pub fn owns_alias(&self, alias: &RoomAliasId) -> bool {
        matches(&self.aliases, alias.as_str())
    }

    /// Is this alias reserved for the application service?
    pub fn reserves_alias(&self, alias: &RoomAliasId) -> bool {
        reserves(&self.aliases, alias.as_str())
    }

    /// Is this room in the application service's namespace?
    pub fn owns_room(&self, room_id: &RoomId) -> bool {
        matches(&self.rooms, room_id.as_str())
    }

    /// Do rate limits hold for the application service's users? The specification's default is
    /// that they do.
    pub fn is_rate_limited(&self) -> bool {
        self.registration.rate_limited.unwrap_or(true)
    }
}

fn patterns(id: &str, namespaces: &[Namespace]) -> Result<Vec<Pattern>, RegistrationError> {
    namespaces
        .iter()
        .map(|namespace| {
            let regex = Regex::new(&format!(r"\A(?:{})", namespace.regex)).map_err(|source| {
                RegistrationError::Expression {
                    id: id.to_owned(),
                    expression: namespace.regex.clone(),
                    source: Box::new(source),
                }
            })?;
            Ok(Pattern {
                regex,
                exclusive: namespace.exclusive,
            })
        })
        .collect()
}

fn matches(patterns: &[Pattern], id: &str) -> bool {
    patterns.iter().any(|pattern| pattern.regex.is_match(id))
}

fn reserves(patterns: &[Pattern], id: &str) -> bool {
    patterns
        .iter()
        .any(|pattern| pattern.exclusive && pattern.regex.is_match(id))
}

/// All registered application services.
#[derive(Clone, Debug, Default)]
pub struct Appservices {
    /// By the SHA-256 of the token, so that a lookup does not compare secrets byte by byte.
    by_token: BTreeMap<[u8; 32], Arc<Appservice>>,
    all: Vec<Arc<Appservice>>,
}

impl Appservices {
    /// Reads every `*.yaml` and `*.yml` file of a folder, in the order of their names.
    ///
    /// # Errors
    /// When a file can't be read or understood, or two registrations share an id or a token.
    pub fn load(folder: &Path, server_name: &ServerName) -> Result<Self, RegistrationError> {
        let read = |path: &Path| {
            let path = path.to_owned();
            move |source| RegistrationError::Read { path, source }
        };
        let mut files = Vec::new();
        for entry in fs::read_dir(folder).map_err(read(folder))? {
            let path = entry.map_err(read(folder))?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "yaml" || extension == "yml")
            {
                files.push(path);
            }
        }
        files.sort();
        let mut registrations = Vec::new();
        for path in files {
            let text = fs::read_to_string(&path).map_err(read(&path))?;
            registrations.push(
                serde_yaml_ng::from_str(&text)
                    .map_err(|source| RegistrationError::Parse { path, source })?,
            );
        }
        Self::new(registrations, server_name)
    }

    /// Registers these application services.
    ///
    /// # Errors
    /// When a registration is unusable, or two share an id or a token.
    pub fn new(
        registrations: Vec<Registration>,
        server_name: &ServerName,
    ) -> Result<Self, RegistrationError> {
        let mut ids = HashSet::new();
        let mut hs_tokens = HashSet::new();
        let mut loaded = Self::default();
        for registration in registrations {
            let appservice = Arc::new(Appservice::new(registration, server_name)?);
            let Registration {
                id,
                as_token,
                hs_token,
                ..
            } = &appservice.registration;
            let duplicate = |field| RegistrationError::Duplicate {
                id: id.clone(),
                field,
            };
            if !ids.insert(id.clone()) {
                return Err(duplicate("id"));
            }
            if !hs_tokens.insert(hs_token.clone()) {
                return Err(duplicate("hs_token"));
            }
            let known = loaded
                .by_token
                .insert(digest(as_token), Arc::clone(&appservice));
            if known.is_some() {
                return Err(duplicate("as_token"));
            }
            loaded.all.push(appservice);
        }
        Ok(loaded)
    }

    /// The application service that this `as_token` belongs to.
    pub fn lookup(&self, token: &str) -> Option<&Arc<Appservice>> {
        self.by_token.get(&digest(token))
    }

    /// All of them, in the order of their files.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Appservice>> {
        self.all.iter()
    }

    /// The application service that reserves this user, if one does.
    pub fn reserver_of_user(&self, user_id: &UserId) -> Option<&Arc<Appservice>> {
        self.iter()
            .find(|appservice| appservice.reserves_user(user_id))
    }

    /// The application service that reserves this alias, if one does.
    pub fn reserver_of_alias(&self, alias: &RoomAliasId) -> Option<&Arc<Appservice>> {
        self.iter()
            .find(|appservice| appservice.reserves_alias(alias))
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests;
