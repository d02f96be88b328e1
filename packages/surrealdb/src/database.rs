//! The connection: one enum over the engines, one way to ask.
//!
//! Query texts are `&'static str` and everything else is a bound variable, so that no input can
//! become part of a query. Futures of the engine run where they are polled; a remote engine that
//! does not answer in time counts as unavailable, because its driver keeps requests for as long
//! as it takes to reconnect.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use futures_util::{StreamExt, stream::BoxStream};
use metrics::{counter, histogram};
use serde::de::DeserializeOwned;
use surrealdb::{
    IndexedResults, Surreal,
    engine::{local::Db, remote::ws},
    opt::auth,
};
use surrealdb_core::kvs::Datastore;
use surrealdb_types::{ErrorDetails, Value, Variables};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::{codec, config::StoreConfig, embedded, error::StoreError, failure::Failure, meter};

/// How long a remote database may take to answer one query.
const REMOTE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a read is tried again when its snapshot conflicts with a commit.
const CONFLICT_TRIES: u32 = 8;

const KILL: &str = "KILL $id";

/// Where the driver logs, with every live query that is dropped, that it cannot end it: it tries
/// in a session that has no namespace. [`Database::kill`] has ended it by then; logs may leave
/// such warnings out.
pub const FALSE_ALARMS: &str = "surrealdb::method::live";

/// A connection to a database. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    /// Empty once it was closed: an embedded engine releases its files with the last reference.
    engine: Arc<ArcSwapOption<Engine>>,
    config: Arc<StoreConfig>,
    embedded: bool,
}

enum Engine {
    Embedded {
        db: Surreal<Db>,
        datastore: embedded::Handle,
        /// Ends the live queries, which hold the engine.
        closing: CancellationToken,
    },
    Remote(Surreal<ws::Client>),
}

impl Database {
    /// Connects to the database, and makes it if it does not exist. Its schema is not looked at.
    ///
    /// # Errors
    /// The URL names no engine of this build, or the database cannot be opened.
    pub async fn connect(config: &StoreConfig) -> Result<Self, StoreError> {
        let engine = if matches!(config.url.split_once("://"), Some(("ws" | "wss", _))) {
            Engine::Remote(connect_remote(config).await?)
        } else {
            let (db, datastore) = embedded::open(config).await?;
            let closing = CancellationToken::new();
            Engine::Embedded {
                db,
                datastore,
                closing,
            }
        };
        let embedded = matches!(engine, Engine::Embedded { .. });
        let database = Self {
            engine: Arc::new(ArcSwapOption::from_pointee(engine)),
            config: Arc::new(config.clone()),
            embedded,
        };
        database.select(config).await?;
        Ok(database)
    }

    /// Opens an embedded database anew, for all who share this connection. An engine that has
    /// failed to write once, because the disk was full, never writes again.
    ///
    /// # Errors
    /// There is still no space, or the database cannot be opened; queries fail until a later try.
    pub(crate) async fn reopen(&self) -> Result<(), StoreError> {
        embedded::check_space(&self.config)?;
        self.close().await;
        let fresh = Box::pin(Self::connect(&self.config)).await?;
        self.engine.store(fresh.engine.load_full());
        Ok(())
    }

    /// Whether the database lives in this process and has no other.
    pub(crate) fn is_embedded(&self) -> bool {
        self.embedded
    }

    /// Closes the database for all who share this connection, and waits until the files of an
    /// embedded one are released. Queries fail from now on.
    pub async fn close(&self) {
        let Some(engine) = self.engine.swap(None) else {
            return;
        };
        let handle = match &*engine {
            Engine::Embedded {
                datastore, closing, ..
            } => {
                closing.cancel();
                datastore.clone()
            }
            Engine::Remote(_) => return,
        };
        drop(engine);
        handle.closed().await;
    }

    /// What it means that a query as a whole has no answer. Of a remote database that is the
    /// connection, whatever the driver calls it, unless the database says that it refuses.
    fn unanswered(&self, error: surrealdb::Error) -> Failure {
        let refused = matches!(
            error.details(),
            ErrorDetails::Validation(_) | ErrorDetails::NotAllowed(_)
        );
        match Failure::from(error) {
            Failure::Refused(error) if !self.embedded && !refused => {
                Failure::Unavailable(error.message().into())
            }
            failure => failure,
        }
    }

    fn engine(&self) -> Result<Arc<Engine>, Failure> {
        self.engine
            .load_full()
            .ok_or_else(|| Failure::Unavailable("the database is closed".into()))
    }

    /// Runs a text as an operator would who repairs a database. The program itself has a typed
    /// way for everything.
    ///
    /// # Errors
    /// A statement is refused, or the database is away.
    pub async fn execute(&self, text: &'static str) -> Result<(), StoreError> {
        self.query(text, Variables::new()).await.map(drop)
    }

    /// Runs one query text. An error of any statement is the error of the query.
    pub(crate) async fn query(
        &self,
        text: &'static str,
        variables: Variables,
    ) -> Result<Response, StoreError> {
        let mut tries = 0;
        loop {
            match self.try_query(text, variables.clone()).await {
                Err(Failure::Conflict) if tries < CONFLICT_TRIES => {
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(1 << tries.min(6))).await;
                }
                result => return result.map_err(StoreError::from),
            }
        }
    }

    /// Runs one query text once, and tells what kind of failure it was.
    pub(crate) async fn try_query(
        &self,
        text: &'static str,
        variables: Variables,
    ) -> Result<Response, Failure> {
        let started = Instant::now();
        let engine = self.engine()?;
        let result = match &*engine {
            Engine::Embedded { db, .. } => db.query(text).bind(variables).await,
            Engine::Remote(db) => {
                match timeout(REMOTE_TIMEOUT, async {
                    db.query(text).bind(variables).await
                })
                .await
                {
                    Ok(result) => result,
                    Err(elapsed) => return Err(Failure::Unavailable(elapsed.to_string().into())),
                }
            }
        };
        Self::note_query(started);
        let mut results = result.map_err(|error| self.unanswered(error))?;
        match Failure::of_statements(&mut results) {
            Some(failure) => Err(failure),
            None => Ok(Response(results)),
        }
    }

    /// Counts a query that has been answered.
    pub(crate) fn note_query(started: Instant) {
        let took = started.elapsed();
        counter!("matryx_database_queries_total").increment(1);
        histogram!("matryx_database_query_seconds").record(took);
        meter::count(took);
    }

    /// The engine in this process, and the names of the namespace and the database.
    pub(crate) fn datastore(&self) -> Result<(Arc<Datastore>, [&str; 2]), Failure> {
        let datastore = match &*self.engine()? {
            Engine::Embedded { datastore, .. } => datastore.get(),
            Engine::Remote(_) => None,
        };
        let datastore = datastore
            .ok_or_else(|| Failure::Unavailable("there is no database in this process".into()))?;
        Ok((datastore, [&self.config.namespace, &self.config.database]))
    }

    /// Runs a LIVE statement.
    pub(crate) async fn live(&self, text: &'static str) -> Result<LiveQuery, StoreError> {
        let closing = match &*self.engine()? {
            Engine::Embedded { closing, .. } => closing.clone(),
            Engine::Remote(_) => CancellationToken::new(),
        };
        let mut response = self.query(text, Variables::new()).await?;
        let id = response.take(0)?;
        let stream = response.0.stream::<Value>(0).map_err(Failure::from)?;
        let rings = stream
            .take_while(|notification| std::future::ready(notification.is_ok()))
            .filter_map(|notification| std::future::ready(notification.ok()))
            .map(|notification| notification.data)
            .take_until(closing.cancelled_owned())
            .boxed();
        Ok(LiveQuery { id, rings })
    }

    /// Ends a live query; dropping it does not.
    pub(crate) async fn kill(&self, live: LiveQuery) -> Result<(), StoreError> {
        let id = variables([("id", live.id)]);
        self.query(KILL, id).await.map(drop)
    }

    async fn select(&self, config: &StoreConfig) -> Result<(), StoreError> {
        let names = variables([
            ("namespace", Value::String(config.namespace.clone())),
            ("database", Value::String(config.database.clone())),
        ]);
        self.query("DEFINE NAMESPACE IF NOT EXISTS $namespace", names.clone())
            .await?;
        self.use_names(&config.namespace, None).await?;
        self.query("DEFINE DATABASE IF NOT EXISTS $database STRICT", names)
            .await?;
        self.use_names(&config.namespace, Some(&config.database))
            .await
    }

    async fn use_names(&self, namespace: &str, database: Option<&str>) -> Result<(), StoreError> {
        macro_rules! select {
            ($db:expr) => {
                match database {
                    None => $db.use_ns(namespace).await.map(drop),
                    Some(database) => $db.use_ns(namespace).use_db(database).await.map(drop),
                }
            };
        }
        let engine = self.engine()?;
        let result = match &*engine {
            Engine::Embedded { db, .. } => select!(db),
            Engine::Remote(db) => select!(db),
        };
        result.map_err(|error| StoreError::from(Failure::from(error)))
    }
}

async fn connect_remote(config: &StoreConfig) -> Result<Surreal<ws::Client>, StoreError> {
    let unavailable = |error: surrealdb::Error| StoreError::from(Failure::from(error));
    let (scheme, address) = config.url.split_once("://").unwrap_or_default();
    let connected = timeout(REMOTE_TIMEOUT, async {
        if scheme == "wss" {
            Surreal::new::<ws::Wss>(address).await
        } else {
            Surreal::new::<ws::Ws>(address).await
        }
    });
    let db = match connected.await {
        Ok(db) => db.map_err(unavailable)?,
        Err(elapsed) => {
            return Err(StoreError::Unavailable {
                reason: elapsed.to_string().into(),
            });
        }
    };
    if let (Some(username), Some(password)) = (&config.username, &config.password) {
        let root = auth::Root {
            username: username.clone(),
            password: password.clone(),
        };
        db.signin(root).await.map_err(unavailable)?;
    }
    Ok(db)
}

/// A live query that is subscribed.
pub(crate) struct LiveQuery {
    id: Value,
    /// Yields once for every notification and ends when the subscription is lost.
    pub(crate) rings: BoxStream<'static, Value>,
}

/// What the database answered, one slot per statement.
pub(crate) struct Response(IndexedResults);

impl Response {
    /// The value of one statement.
    pub(crate) fn take(&mut self, slot: usize) -> Result<Value, StoreError> {
        self.0
            .take::<Value>(slot)
            .map_err(|error| Failure::from(error).into())
    }

    /// The rows of one statement.
    pub(crate) fn rows<T: DeserializeOwned>(
        &mut self,
        slot: usize,
        table: &'static str,
    ) -> Result<Vec<T>, StoreError> {
        match self.take(slot)? {
            Value::Array(rows) => rows
                .into_inner()
                .into_iter()
                .map(|row| read(row, table))
                .collect(),
            Value::None | Value::Null => Ok(Vec::new()),
            row => Ok(vec![read(row, table)?]),
        }
    }

    /// The only row of one statement, if there is one.
    pub(crate) fn row<T: DeserializeOwned>(
        &mut self,
        slot: usize,
        table: &'static str,
    ) -> Result<Option<T>, StoreError> {
        match self.take(slot)? {
            Value::None | Value::Null => Ok(None),
            row => read(row, table).map(Some),
        }
    }
}

/// Reads one row as a record.
pub(crate) fn read<T: DeserializeOwned>(row: Value, table: &'static str) -> Result<T, StoreError> {
    codec::from_value(row).map_err(|source| StoreError::Inconsistent {
        table,
        source: Arc::new(source),
    })
}

/// Variables from pairs.
pub(crate) fn variables<const N: usize>(pairs: [(&str, Value); N]) -> Variables {
    pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
