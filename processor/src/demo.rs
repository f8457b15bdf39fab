//! The original demo's handler: waits, then appends `-processed`.

use crate::{Handler, Outcome, Work};
use std::{borrow::Cow, time::Duration};

/// Waits, then appends `-processed`.
#[derive(Debug)]
pub(crate) struct Demo {
    pub(crate) delay: Duration,
}

impl Handler for Demo {
    async fn handle(&self, work: Work<'_>) -> Outcome {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        // A text is taken as text; anything else as the JSON that it is.
        let text = work.parse::<String>().map_or(Cow::Borrowed(work.data.get()), Cow::Owned);
        Outcome::done(&format!("{text}-processed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::value::RawValue;
    use warren_messaging::request_id::RequestId;

    async fn processed(data: &str) -> String {
        let id = RequestId::from_json("1").expect("is an id");
        let data: &RawValue = serde_json::from_str(data).expect("is JSON");
        let work = Work { request_id: &id, attempt: 1, data, traceparent: None, deadline: None };
        match (Demo { delay: Duration::ZERO }).handle(work).await {
            Outcome::Done(json) => json.get().to_owned(),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn texts_and_other_values_get_the_same_ending() {
        assert_eq!(processed(r#""my \"data\"""#).await, r#""my \"data\"-processed""#);
        assert_eq!(processed(r#"{"a":[1]}"#).await, r#""{\"a\":[1]}-processed""#);
        assert_eq!(processed("null").await, r#""null-processed""#);
    }
}
