//! Answers, within time and memory.

use super::pace::{Owed, Pace};
use axum::{body::Body, http::Response};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Up to this an answer is not worth counting: least of all one that says there is no memory.
const SMALL: u64 = 8 * 1024;

/// What is given back once nothing of an answer is left in this process.
struct Receipt {
    _owed: Owed,
    _memory: Option<OwnedSemaphorePermit>,
}

/// An answer that counts until the client's side of the connection has taken it.
pub(super) struct Answer {
    body: Body,
    receipt: Arc<Receipt>,
}

/// A part of it.
struct Part {
    bytes: Bytes,
    _receipt: Arc<Receipt>,
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Answer {
    /// `None` when there is no memory for it now. One that is larger than all the memory needs all of it.
    pub(super) fn wrap(
        response: Response<Body>,
        memory: &Arc<Semaphore>,
        all: usize,
        pace: &Arc<Pace>,
    ) -> Option<Response<Self>> {
        let size = response.body().size_hint();
        let size = size.upper().unwrap_or_else(|| size.lower());
        let memory = match u32::try_from(size.min(all as u64)) {
            Ok(bytes) if size > SMALL => Some(memory.clone().try_acquire_many_owned(bytes).ok()?),
            _ => None,
        };
        let receipt = Arc::new(Receipt { _owed: pace.owe(size), _memory: memory });
        Some(response.map(|body| Self { body, receipt }))
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let part = |bytes| Bytes::from_owner(Part { bytes, _receipt: self.receipt.clone() });
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
