//! Memory for large answers: so much in all, however many come at once.
//!
//! A small answer is read as it comes. One that turns out to be large waits until there is room for
//! as much as it may become, and is not read meanwhile, so that its sender has to wait as well. It
//! claims all of that at once: nobody waits while holding what others wait for.

use std::{error::Error, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::OutboundError;

/// How much memory large answers may have.
#[derive(Clone, Copy, Debug)]
pub struct MemoryLimits {
    /// Bytes up to which an answer is small.
    pub small: usize,
    /// Bytes of all answers beyond that which are being read, or worked on.
    pub large: usize,
    /// How long one waits for its part of it.
    pub patience: Duration,
}

impl Default for MemoryLimits {
    /// Two joins of the largest rooms at once, or many of usual ones.
    fn default() -> Self {
        Self {
            small: 4 << 20,
            large: 512 << 20,
            patience: Duration::from_mins(2),
        }
    }
}

/// The memory of a large answer: others have to wait for it as long as this or a clone lives.
#[derive(Clone, Debug)]
pub struct Claim(Arc<OwnedSemaphorePermit>);

impl Claim {
    /// How many bytes that is.
    pub fn bytes(&self) -> usize {
        self.0.num_permits()
    }
}

/// What large answers share. One permit per byte.
pub(super) struct Memory {
    limits: MemoryLimits,
    free: Arc<Semaphore>,
}

impl Memory {
    pub(super) fn new(limits: MemoryLimits) -> Self {
        Self {
            limits,
            free: Arc::new(Semaphore::new(limits.large)),
        }
    }

    /// Reads a body of at most `limit` bytes.
    pub(super) async fn read<B>(
        &self,
        mut body: B,
        limit: usize,
    ) -> Result<(Bytes, Option<Claim>), OutboundError>
    where
        B: BodyExt<Data = Bytes> + Unpin,
        B::Error: Error + Send + Sync + 'static,
    {
        let told = body.size_hint().exact();
        let told = told.map(|told| usize::try_from(told).unwrap_or(usize::MAX));
        let most = told.unwrap_or(limit);
        if most > limit {
            return Err(OutboundError::TooLarge(limit));
        }
        let mut bytes = BytesMut::new();
        let mut permit = None;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| OutboundError::Broken(Arc::new(error)))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            let length = bytes.len() + data.len();
            if length > limit {
                return Err(OutboundError::TooLarge(limit));
            }
            if length > self.limits.small && permit.is_none() {
                permit = Some(self.claim(most).await?);
                bytes.reserve(told.unwrap_or(length).saturating_sub(bytes.len()));
            }
            bytes.extend_from_slice(&data);
        }
        if let Some(permit) = &mut permit {
            let unused = permit.num_permits().saturating_sub(bytes.len());
            drop(permit.split(unused));
        }
        let claim = permit.map(|permit| Claim(Arc::new(permit)));
        Ok((bytes.freeze(), claim))
    }

    async fn claim(&self, bytes: usize) -> Result<OwnedSemaphorePermit, OutboundError> {
        let count = u32::try_from(bytes.min(self.limits.large)).unwrap_or(u32::MAX);
        let free = Arc::clone(&self.free).acquire_many_owned(count);
        match timeout(self.limits.patience, free).await {
            Ok(Ok(permit)) => Ok(permit),
            // Nobody closes the semaphore.
            Ok(Err(_)) | Err(_) => Err(OutboundError::Crowded),
        }
    }
}
