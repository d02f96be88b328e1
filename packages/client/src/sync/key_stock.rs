//! How many one-time keys a device has left, and which fallback keys nobody was given yet.

use std::{collections::BTreeMap, sync::Arc};

use matryx_entity::{fallback_key::FallbackKey, one_time_key::OneTimeKey};
use matryx_surrealdb::KeyRange;
use ruma::{OneTimeKeyAlgorithm, UInt};

use super::{cache::Weigh, engine::SyncEngine, error::SyncError, inbox::DeviceName};

/// The keys that a device has left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyStock {
    /// One-time keys by algorithm. A client without any must learn that it has none, or it never
    /// uploads any: the algorithm that all use is always here.
    pub(crate) counts: BTreeMap<OneTimeKeyAlgorithm, UInt>,
    /// The algorithms of unused fallback keys.
    pub(crate) unused_fallback: Vec<OneTimeKeyAlgorithm>,
}

impl SyncEngine {
    /// The keys that a device has left: one cache look-up, or two queries on a miss.
    pub(crate) async fn key_stock(&self, device: &DeviceName) -> Result<Arc<KeyStock>, SyncError> {
        let load = || async { self.load_key_stock(device).await.map(Some) };
        let stock = self.inner.key_stocks.get_or_load(device, load).await?;
        Ok(stock.unwrap_or_default())
    }

    async fn load_key_stock(&self, (user, device): &DeviceName) -> Result<KeyStock, SyncError> {
        let store = &self.inner.store;
        let range = KeyRange::prefix(&OneTimeKey::prefix(user, device));
        let keys: Vec<OneTimeKey> = store.range(range).await?;
        let range = KeyRange::prefix(&FallbackKey::prefix(user, device));
        let fallback: Vec<FallbackKey> = store.range(range).await?;
        let mut stock = KeyStock::default();
        for key in keys {
            let algorithm = OneTimeKeyAlgorithm::from(key.algorithm);
            let count = stock.counts.entry(algorithm).or_default();
            *count = count.saturating_add(UInt::from(1_u32));
        }
        let unused = fallback.into_iter().filter(|key| !key.used);
        stock.unused_fallback = unused.map(|key| key.algorithm.into()).collect();
        Ok(stock)
    }
}

impl Default for KeyStock {
    fn default() -> Self {
        Self {
            counts: [(OneTimeKeyAlgorithm::SignedCurve25519, UInt::from(0_u32))].into(),
            unused_fallback: Vec::new(),
        }
    }
}

impl Weigh for KeyStock {
    fn weigh(&self) -> u64 {
        (300 + 60 * (self.counts.len() + self.unused_fallback.len())) as u64
    }
}
