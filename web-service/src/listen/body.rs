//! Bodies of requests, within time and memory.

use super::settings::{ListenSettings, passage};
use axum::{body::Body, http::Request};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use prometheus_client::metrics::gauge::Gauge;
use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep_until},
};

/// Why a body did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum BodyFault {
    /// It took too long.
    #[error("the body did not come within {0:?}")]
    TooSlow(Duration),
    /// There is no memory for it now.
    #[error("too many bodies are in memory")]
    Overloaded,
    /// The client or the network broke it off.
    #[error("the body broke off")]
    Broken(#[source] hyper::Error),
}

impl BodyFault {
    /// The fault behind what an extractor of axum's says.
    #[must_use]
    pub fn behind<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        let mut link = Some(error);
        while let Some(error) = link {
            if let Some(fault) = error.downcast_ref() {
                return Some(fault);
            }
            link = error.source();
        }
        None
    }
}

/// The memory that a request's body takes, until its answer is there.
#[derive(Clone)]
pub(super) struct Held(Arc<Kept>);

struct Kept {
    permit: Mutex<Option<OwnedSemaphorePermit>>,
    counted: Gauge,
}

impl Held {
    /// Only for bytes that came: who announces much and sends nothing takes nothing.
    fn take(&self, memory: &Arc<Semaphore>, bytes: usize) -> Result<(), BodyFault> {
        let bytes = u32::try_from(bytes).map_err(|_| BodyFault::Overloaded)?;
        let more = memory.clone().try_acquire_many_owned(bytes).map_err(|_| BodyFault::Overloaded)?;
        let mut permit = self.0.permit.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *permit {
            Some(permit) => permit.merge(more),
            None => *permit = Some(more),
        }
        self.0.counted.inc_by(i64::from(bytes));
        Ok(())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let permit = self.permit.get_mut().unwrap_or_else(PoisonError::into_inner);
        let bytes = permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        self.counted.dec_by(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}

/// A body on its way.
pub(super) struct Arriving {
    body: Incoming,
    begun: Instant,
    allowed: Duration,
    arrived: u64,
    late: Option<Pin<Box<Sleep>>>,
    held: Held,
    memory: Arc<Semaphore>,
}

impl Arriving {
    /// The request, and what to keep until it is answered.
    pub(super) fn wrap(
        request: Request<Incoming>,
        settings: &ListenSettings,
        memory: Arc<Semaphore>,
        counted: Gauge,
    ) -> (Request<Body>, Held) {
        let held = Held(Arc::new(Kept { permit: Mutex::default(), counted }));
        let (begun, allowed) = (Instant::now(), settings.body_timeout);
        let request = request
            .map(|body| Body::new(Self { body, begun, allowed, arrived: 0, late: None, held: held.clone(), memory }));
        (request, held)
    }

    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<BodyFault> {
        let allowed = passage(self.allowed, self.arrived);
        let deadline = self.begun + allowed;
        let late = self.late.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if late.deadline() != deadline {
            late.as_mut().reset(deadline);
        }
        late.as_mut().poll(cx).map(|()| BodyFault::TooSlow(allowed))
    }
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let frame = match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(BodyFault::Broken(error)))),
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => return self.poll_late(cx).map(|fault| Some(Err(fault))),
        };
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        self.arrived += bytes as u64;
        Poll::Ready(Some(self.held.take(&self.memory, bytes).map(|()| frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
