//! Hashing passwords: argon2id on the blocking threads, a few at a time.
//!
//! A hash takes tens of milliseconds and megabytes, so no request computes one on an async worker,
//! at most `password.max_concurrent_hashes` run at once, and at most [`MAX_WAITING`] wait.
//! Verifying takes the same time whether the account exists or not.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use argon2::{
    Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version,
    password_hash::{self, SaltString, rand_core::OsRng},
};
use tokio::sync::Semaphore;

use super::error::UserError;
use crate::config;

/// How many hashes may wait for their turn: a few seconds of work.
const MAX_WAITING: usize = 256;

/// The longest password, in bytes, as Synapse.
pub const MAX_PASSWORD_BYTES: usize = 512;

/// The pool. Cheap to clone.
#[derive(Clone)]
pub(super) struct Passwords {
    inner: Arc<Inner>,
}

struct Inner {
    argon2: Argon2<'static>,
    /// A hash that no password has, at the configured cost: verified in place of a missing one.
    dummy: String,
    /// One permit per hash that may run.
    running: Semaphore,
    waiting: AtomicUsize,
}

/// Counts a waiting hash for as long as it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize) -> Result<Self, UserError> {
        let guard = Self(count);
        if count.fetch_add(1, Ordering::Relaxed) >= MAX_WAITING {
            return Err(UserError::Busy);
        }
        Ok(guard)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Passwords {
    /// A pool of this cost. Computes one hash.
    ///
    /// # Errors
    /// The cost is outside of what argon2 can do.
    pub(super) fn new(config: &config::Password) -> Result<Self, UserError> {
        let cost = &config.argon2;
        let memory_kib = u32::try_from(cost.memory.as_bytes() / 1024).unwrap_or(u32::MAX);
        let params = Params::new(memory_kib, cost.iterations, cost.parallelism, None)
            .map_err(|error| UserError::Hash(error.into()))?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let dummy = hash(&argon2, &super::secret::token(""))?;
        let running = usize::try_from(config.max_concurrent_hashes).unwrap_or(1);
        Ok(Self {
            inner: Arc::new(Inner {
                argon2,
                dummy,
                running: Semaphore::new(running.max(1)),
                waiting: AtomicUsize::new(0),
            }),
        })
    }

    /// Hashes a new password.
    ///
    /// # Errors
    /// The password is empty or too long, or the pool is full.
    pub(super) async fn hash(&self, password: String) -> Result<String, UserError> {
        if password.is_empty() {
            return Err(UserError::WeakPassword("The password is empty"));
        }
        if password.len() > MAX_PASSWORD_BYTES {
            return Err(UserError::WeakPassword("The password is too long"));
        }
        self.run(move |inner| hash(&inner.argon2, &password)).await
    }

    /// Does the password belong to the hash? Never where there is none, after the same time.
    ///
    /// # Errors
    /// The pool is full.
    pub(super) async fn verify(
        &self,
        password: String,
        hash: Option<String>,
    ) -> Result<bool, UserError> {
        let possible = hash.is_some() && !password.is_empty();
        self.run(move |inner| {
            let hash = hash.as_deref().unwrap_or(&inner.dummy);
            let hash = PasswordHash::new(hash).map_err(UserError::Hash)?;
            // The cost is the one that the hash was made with.
            match inner.argon2.verify_password(password.as_bytes(), &hash) {
                Ok(()) => Ok(possible),
                Err(password_hash::Error::Password) => Ok(false),
                Err(error) => Err(UserError::Hash(error)),
            }
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, UserError> + Send + 'static,
    ) -> Result<T, UserError> {
        let waiting = Waiting::enter(&self.inner.waiting)?;
        // The semaphore is never closed.
        let Ok(_permit) = self.inner.running.acquire().await else {
            return Err(UserError::Busy);
        };
        drop(waiting);
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || work(&inner)).await?
    }
}

fn hash(argon2: &Argon2<'_>, password: &str) -> Result<String, UserError> {
    let salt = SaltString::generate(&mut OsRng);
    argon2
        .hash_password(password.as_bytes(), &salt)
        .map(|hash| hash.to_string())
        .map_err(UserError::Hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Argon2Cost, ByteSize};

    fn pool() -> Passwords {
        let argon2 = Argon2Cost {
            memory: ByteSize::kib(64),
            iterations: 1,
            parallelism: 1,
        };
        let config = config::Password {
            max_concurrent_hashes: 1,
            argon2,
        };
        Passwords::new(&config).unwrap()
    }

    #[tokio::test]
    async fn accepts_the_password_and_nothing_else() {
        let pool = pool();
        let hash = pool.hash("secret".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$"));
        let verify = |password: &str| pool.verify(password.to_owned(), Some(hash.clone()));
        assert!(verify("secret").await.unwrap());
        assert!(!verify("Secret").await.unwrap());
        assert!(!verify("").await.unwrap());
        assert!(!pool.verify("secret".to_owned(), None).await.unwrap());
    }

    #[tokio::test]
    async fn refuses_empty_and_endless_passwords() {
        let pool = pool();
        assert!(pool.hash(String::new()).await.is_err());
        assert!(pool.hash("x".repeat(512)).await.is_ok());
        assert!(pool.hash("x".repeat(513)).await.is_err());
    }

    #[tokio::test]
    async fn bounds_the_queue() {
        let pool = pool();
        let guards: Vec<_> = (0..MAX_WAITING)
            .map(|_| Waiting::enter(&pool.inner.waiting).unwrap())
            .collect();
        let refused = pool.hash("secret".to_owned()).await;
        assert!(matches!(refused, Err(UserError::Busy)));
        drop(guards);
        assert!(pool.hash("secret".to_owned()).await.is_ok());
    }
}
