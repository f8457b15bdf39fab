//! Leader election: of several replicas the one that holds a Lease works, the others stand by.
//!
//! As Kubernetes' own controllers do it, with shorter times: whoever holds the Lease renews it, whoever sees it expired
//! (by its own clock, since it last saw a change) takes it. A holder that cannot renew in time must stop before anyone
//! else may start, so its process ends. On a clean exit the Lease is given back at once. Crates that do this follow
//! older versions of `kube`.

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use std::time::{Duration, Instant};
use warren_messaging::error_chain::Chain;

/// Nobody takes the Lease from a holder that renewed it within this time.
const DURATION: Duration = Duration::from_secs(10);
/// A holder that could not renew for this long counts the Lease as lost: well before another may take it.
const RENEW_DEADLINE: Duration = Duration::from_secs(7);
/// How often it is renewed, or looked at.
const PERIOD: Duration = Duration::from_secs(2);

/// A Lease to compete for.
pub struct Election {
    api: Api<Lease>,
    name: String,
    identity: String,
}

/// What a competitor saw of the Lease, and when it last saw a change.
struct Sighting {
    holder: String,
    renewed: Option<MicroTime>,
    since: Instant,
}

impl Election {
    /// A competitor called `identity` for the Lease `name`.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str) -> Self {
        Self { api: Api::namespaced(client, namespace), name: name.into(), identity: identity.into() }
    }

    /// Waits until this replica holds the Lease.
    pub async fn win(&self) {
        let mut sighting: Option<Sighting> = None;
        loop {
            match tokio::time::timeout(DURATION, self.try_win(&mut sighting)).await {
                Ok(Ok(true)) => return tracing::info!(lease = self.name, identity = self.identity, "leading"),
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::warn!(lease = self.name, "cannot compete for the Lease: {}", Chain(&error)),
                Err(_) => tracing::warn!(lease = self.name, "cannot compete: the API server does not answer"),
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    /// Renews the Lease for as long as that works. Returns when it is lost.
    pub async fn hold(&self) {
        let mut renewed = Instant::now();
        let attempt = async || {
            tokio::time::sleep(PERIOD).await;
            // Others count from the write, which comes after this.
            (Instant::now(), tokio::time::timeout(PERIOD, self.renew()).await)
        };
        while let Ok((begun, answer)) = tokio::time::timeout_at((renewed + RENEW_DEADLINE).into(), attempt()).await {
            match answer {
                Ok(Ok(true)) => renewed = begun,
                Ok(Ok(false)) => return tracing::error!(lease = self.name, "another replica holds the Lease"),
                Ok(Err(error)) => tracing::warn!(lease = self.name, "cannot renew the Lease: {}", Chain(&error)),
                Err(_) => tracing::warn!(lease = self.name, "cannot renew the Lease: the API server does not answer"),
            }
        }
    }

    /// Gives the Lease back, so that the next one need not wait for it to expire.
    pub async fn release(&self) {
        let released = tokio::time::timeout(PERIOD, async {
            let Some(mut lease) = self.api.get_opt(&self.name).await? else { return Ok(()) };
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() == Some(&self.identity) {
                spec.holder_identity = Some(String::new());
                self.api.replace(&self.name, &PostParams::default(), &lease).await?;
                tracing::info!(lease = self.name, "gave the Lease back");
            }
            Ok::<_, kube::Error>(())
        });
        match released.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(lease = self.name, "cannot give the Lease back: {}", Chain(&error)),
            Err(_) => tracing::warn!(lease = self.name, "cannot give the Lease back: the API server does not answer"),
        }
    }

    async fn try_win(&self, sighting: &mut Option<Sighting>) -> kube::Result<bool> {
        let Some(mut lease) = self.api.get_opt(&self.name).await? else {
            return won(self.api.create(&PostParams::default(), &self.fresh()).await);
        };
        let spec = lease.spec.get_or_insert_default();
        let holder = spec.holder_identity.clone().unwrap_or_default();
        let unchanged = sighting.as_ref().is_some_and(|seen| seen.holder == holder && seen.renewed == spec.renew_time);
        if !unchanged {
            *sighting =
                Some(Sighting { holder: holder.clone(), renewed: spec.renew_time.clone(), since: Instant::now() });
        }
        let expired = sighting.as_ref().is_some_and(|seen| seen.since.elapsed() >= DURATION);
        if !(holder.is_empty() || holder == self.identity || expired) {
            return Ok(false);
        }
        self.take(spec);
        // The version that was read goes along: of two that try, one is refused.
        won(self.api.replace(&self.name, &PostParams::default(), &lease).await)
    }

    async fn renew(&self) -> kube::Result<bool> {
        let mut lease = self.api.get(&self.name).await?;
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() != Some(&self.identity) {
            return Ok(false);
        }
        spec.renew_time = Some(MicroTime(Timestamp::now()));
        self.api.replace(&self.name, &PostParams::default(), &lease).await.map(|_| true)
    }

    fn fresh(&self) -> Lease {
        let mut spec = LeaseSpec::default();
        self.take(&mut spec);
        Lease { metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() }, spec: Some(spec) }
    }

    fn take(&self, spec: &mut LeaseSpec) {
        let now = MicroTime(Timestamp::now());
        if spec.holder_identity.as_deref() != Some(&self.identity) {
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0) + 1);
        }
        spec.holder_identity = Some(self.identity.clone());
        spec.lease_duration_seconds = i32::try_from(DURATION.as_secs()).ok();
        spec.acquire_time = Some(now.clone());
        spec.renew_time = Some(now);
    }
}

/// Another one that was faster is no error.
fn won(written: kube::Result<Lease>) -> kube::Result<bool> {
    match written {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => Ok(false),
        Err(error) => Err(error),
    }
}
