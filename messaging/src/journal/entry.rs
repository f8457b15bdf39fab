//! A request, as the journal has it.

use crate::{
    message::{self, Incoming, Request},
    request_id::RequestId,
};
use jiff::Timestamp;
use lapin::{BasicProperties, message::Delivery};

/// A request, as the journal has it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its place in the stream; grows, with gaps.
    pub offset: u64,
    /// When it was published, by its sender's clock, in whole seconds. A foreign sender may not tell: as read from a range
    /// it then has the time of the one before, if that one has any.
    pub published_at: Option<Timestamp>,
    /// The body, as it came.
    pub body: Vec<u8>,
    /// Properties and headers, as they came.
    pub properties: BasicProperties,
}

impl Entry {
    /// Which request it is, unless nobody can read it: that one went to the dead letters.
    #[must_use]
    pub fn request_id(&self) -> Option<RequestId> {
        message::read::<Request<'_>>(&self.body).ok().map(|request| request.request_id)
    }

    /// Whether it is the request as it was first sent: retries that fall due and replays come through the journal, too.
    #[must_use]
    pub fn is_original(&self) -> bool {
        let incoming = Incoming(&self.properties);
        incoming.attempt() == 1 && incoming.replay().unwrap_or(0) == 0
    }
}

impl From<Delivery> for Entry {
    fn from(delivery: Delivery) -> Self {
        let Delivery { data, properties, .. } = delivery;
        let seconds = properties.timestamp().and_then(|seconds| i64::try_from(seconds).ok());
        Self {
            offset: Incoming(&properties).stream_offset().unwrap_or_default(),
            published_at: seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()),
            body: data,
            properties,
        }
    }
}
