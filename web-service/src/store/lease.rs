//! What only one replica may do at a time: whoever holds the lease. It ends by itself when its owner is gone.

use super::{
    Store, StoreError,
    statements::{Statements, Work},
};
use std::time::Duration;

/// How long a lease lasts unless it is renewed.
pub(crate) const LEASE: Duration = Duration::from_secs(15);

struct Take {
    name: String,
    owner: String,
}

struct Renew(Take);

struct Release(Take);

impl Work for Take {
    type Answer = bool;

    async fn run(&self, on: &mut Statements<'_>) -> sqlx::Result<bool> {
        let now = on.now().await?;
        let take = "INSERT INTO leases (name, owner, ends_at) VALUES ($1, $2, $3)
                    ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, ends_at = excluded.ends_at
                    WHERE leases.owner = excluded.owner OR leases.ends_at < $4 OR leases.ends_at > $5";
        // One that would end much later than any that begins now was taken before the clock was set back.
        let latest = ends(ends(now));
        let values =
            [self.name.as_str().into(), self.owner.as_str().into(), ends(now).into(), now.into(), latest.into()];
        Ok(on.run(take, &values).await? > 0)
    }
}

impl Work for Renew {
    type Answer = bool;

    async fn run(&self, on: &mut Statements<'_>) -> sqlx::Result<bool> {
        let now = on.now().await?;
        let values = [ends(now).into(), self.0.name.as_str().into(), self.0.owner.as_str().into()];
        Ok(on.run("UPDATE leases SET ends_at = $1 WHERE name = $2 AND owner = $3", &values).await? > 0)
    }
}

impl Work for Release {
    type Answer = ();

    async fn run(&self, on: &mut Statements<'_>) -> sqlx::Result<()> {
        let values = [self.0.name.as_str().into(), self.0.owner.as_str().into()];
        on.run("DELETE FROM leases WHERE name = $1 AND owner = $2", &values).await.map(drop)
    }
}

/// When a lease that begins now ends.
pub(super) fn ends(now: i64) -> i64 {
    now.saturating_add(i64::try_from(LEASE.as_micros()).unwrap_or(i64::MAX))
}

impl Store {
    /// Takes the lease of this name, or renews it; `false` while somebody else has it.
    ///
    /// # Errors
    /// [`StoreError::Write`], [`StoreError::Postgres`] or [`StoreError::Closed`].
    pub async fn take_lease(&self, name: &str, owner: &str) -> Result<bool, StoreError> {
        self.transact(Take { name: name.into(), owner: owner.into() }).await
    }

    /// Renews the lease of this name; `false` if it is this owner's no more: somebody else may have had it meanwhile, though
    /// it is free by now.
    ///
    /// # Errors
    /// [`StoreError::Write`], [`StoreError::Postgres`] or [`StoreError::Closed`].
    pub async fn renew_lease(&self, name: &str, owner: &str) -> Result<bool, StoreError> {
        self.transact(Renew(Take { name: name.into(), owner: owner.into() })).await
    }

    /// Gives it back, if it is this owner's.
    ///
    /// # Errors
    /// [`StoreError::Write`], [`StoreError::Postgres`] or [`StoreError::Closed`].
    pub async fn release_lease(&self, name: &str, owner: &str) -> Result<(), StoreError> {
        self.transact(Release(Take { name: name.into(), owner: owner.into() })).await
    }
}
