//! Answering for other servers: what a notary hands on.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use matryx_entity::canonical;
use matryx_surrealdb::StoreError;
use ruma::{CanonicalJsonObject, MilliSecondsSinceUnixEpoch, OwnedServerName};
use tokio::time::timeout;

use super::{ring::KeyRing, want::Want};

/// The most servers of one question; further ones are not answered.
pub const MAX_QUERIED: usize = 200;

/// How many of them are looked up at once.
const AT_ONCE: usize = 16;

/// How long one look-up may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// One server of a question to a notary.
#[derive(Clone, Debug)]
pub struct Queried {
    /// The server.
    pub server_name: OwnedServerName,
    /// Ids of the keys that are asked for; none for any.
    pub ids: Vec<String>,
    /// Until when the answer should be valid at least.
    pub minimum_valid_until_ts: Option<MilliSecondsSinceUnixEpoch>,
}

impl KeyRing {
    /// What these servers last published, signed by us as well. Servers of which nothing is known,
    /// and nothing can be had, are left out.
    ///
    /// # Errors
    /// The database is away or damaged.
    pub async fn query(
        &self,
        queried: Vec<Queried>,
    ) -> Result<Vec<CanonicalJsonObject>, StoreError> {
        let queried = queried.into_iter().take(MAX_QUERIED);
        let answers = queried.map(async |queried| {
            let answer = timeout(PATIENCE, self.answer_for(queried)).await;
            answer.unwrap_or(Ok(None))
        });
        let mut answers = stream::iter(answers).buffered(AT_ONCE);
        let mut signed = Vec::new();
        while let Some(answer) = answers.next().await {
            signed.extend(answer?);
        }
        Ok(signed)
    }

    async fn answer_for(
        &self,
        queried: Queried,
    ) -> Result<Option<CanonicalJsonObject>, StoreError> {
        let inner = self.inner();
        let now = inner.clock.now();
        let own = self.own();
        if queried.server_name == own.server_name() {
            return Ok(own.published(now).ok());
        }
        let at = queried.minimum_valid_until_ts.unwrap_or(now);
        let mut ids = queried.ids;
        if ids.is_empty() {
            let known = inner.load(&queried.server_name).await?;
            ids = known.map_or_else(Vec::new, |known| known.keys.keys().cloned().collect());
        }
        if ids.is_empty() {
            // Nothing is known: any key would do.
            ids = vec!["ed25519:".to_owned()];
        }
        let want = Want { ids, at };
        let Some(found) = self.published(&queried.server_name, &want).await? else {
            return Ok(None);
        };
        let Ok(mut answer) = canonical::parse_object(&found.answer) else {
            return Ok(None);
        };
        Ok(own.sign(&mut answer).is_ok().then_some(answer))
    }
}
