//! `started` and `retrying`: progress, for a record that says more than "queued". Hardly load-bearing: if an event is
//! lost, a person sees less meanwhile, and of a request that waits for its next attempt there is no copy, or an old one.

use super::{Outgoing, Spare, to_json};
use crate::{request_id::RequestId, topology};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One step of a request between queue and result.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// The request's id, as it came.
    pub request_id: RequestId,
    /// The attempt that this is about, counted from 1.
    pub attempt: u32,
    /// The replay that the attempt belongs to; a sender of another make may not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<u32>,
    /// What happened.
    #[serde(flatten)]
    pub progress: Progress,
}

/// What happened.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Progress {
    /// The attempt has run for a second; shorter work is not announced.
    Started {
        /// When it began.
        started_at: Timestamp,
    },
    /// The attempt failed for now.
    Retrying {
        /// What went wrong.
        error: String,
        /// When the next attempt falls due.
        next_attempt_at: Timestamp,
        /// A copy of the request. Earlier versions send none, and nobody sends a large one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        spare: Option<Spare>,
    },
}

impl Event {
    /// Its message. Not mandatory: nobody listens where the web side is somebody else's.
    #[must_use]
    pub fn to_message(&self) -> Outgoing {
        let kind = match self.progress {
            Progress::Started { .. } => "started",
            Progress::Retrying { .. } => "retrying",
        };
        let mut message = Outgoing::new(topology::EVENT_KEY, kind, &self.request_id, to_json(self));
        message.mandatory = false;
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::retry;
    use lapin::BasicProperties;
    use std::time::Duration;

    #[test]
    fn an_event_reads_back_as_it_was_written() {
        let (id, wait) = (RequestId::from_json("7").expect("is an id"), Duration::from_secs(1));
        let event = Event {
            request_id: id.clone(),
            attempt: 2,
            replay: Some(1),
            progress: Progress::Retrying {
                error: "busy".into(),
                next_attempt_at: Timestamp::UNIX_EPOCH,
                spare: Spare::of(&retry(&id, b"{}", &BasicProperties::default(), 3, wait), wait, wait),
            },
        };
        let body = event.to_message().body;
        let text = String::from_utf8(body.clone()).expect("is UTF-8");
        assert!(text.contains(r#""event":"retrying""#) && text.contains("nextAttemptAt"), "{text}");
        assert_eq!(serde_json::from_slice::<Event>(&body).expect("reads back"), event);
    }
}
