//! What holds for every input, whoever made it: messages, ids, durations and addresses.

use crate::{
    broker_url::BrokerUrl,
    duration,
    message::{self, Event, FailureReason, Incoming, Order, Report, Request, ResultBody, failure, failure_reason},
    request_id::{MAX_BYTES, RequestId},
    topology::orders,
};
use proptest::prelude::*;
use std::time::Duration;
use warren_testkit::inputs;

const REQUESTS: &[&str] = &[
    r#"{"requestId":"0198c0de-0000-7000-8000-000000000000","requestData":{"n": 1.50}}"#,
    r#"{"requestId":1,"requestData":"my data"}"#,
    r#"[1,"my data"]"#,
];
const RESULTS: &[&str] = &[r#"{"requestId":"a","processingResults":{"a":[1,null]}}"#, r#"["a",1]"#];
const EVENTS: &[&str] = &[
    r#"{"requestId":7,"attempt":1,"event":"started","startedAt":"2026-01-01T00:00:00Z"}"#,
    r#"{"requestId":"a","attempt":2,"event":"retrying","error":"busy","nextAttemptAt":"2999-01-01T00:00:00Z"}"#,
    r#"{"requestId":1,"attempt":1,"event":"retrying","error":"","nextAttemptAt":"2999-01-01T00:00:00Z","spare":{"body":"{\"requestId\":1}","attempt":2,"missedAfterMs":604000,"vanished":1,"traceparent":"00-1","deadline":"2999-01-01T00:00:00Z"}}"#,
];
const REPORTS: &[&str] = &[
    r#"{"worker":"a","role":"processor","inFlight":1,"capacity":4,"processedTotal":7,"busySecondsTotal":1.5}"#,
    r#"{"worker":"w","role":"web","inFlight":0,"capacity":0,"processedTotal":1,"busySecondsTotal":0.0,"wake":true}"#,
];
const ORDERS: &[&str] = &[r#"{"takeNothingFor":"10s"}"#, r#"{"takeNothingFor":"0s"}"#];
const IDS: &[&str] = &[r#""0198c0de""#, "17", "-7", r#""\u0061""#, "123456789012345678901234567890"];
const DURATIONS: &[&str] = &["500ms", "90s", "5m", "24h", "1h30m", "99999999999999999999h"];
const ADDRESSES: &[&str] = &[
    "amqp://user:password@host:5672/vhost",
    "amqps://we%40b:p%23@[::1]/%2f?heartbeat=5",
    "amqp://h?connection_timeout=10",
];

/// What a message's body says, if it is one: then it can be written, and read back.
fn is_object(body: &[u8]) -> bool {
    body.trim_ascii_start().first() == Some(&b'{')
}

proptest! {
    #[test]
    fn a_request_is_refused_or_reads_back_as_it_was(body in inputs::bodies(REQUESTS)) {
        if let Ok(request) = message::read::<Request<'_>>(&body) {
            prop_assert!(is_object(&body));
            let written = request.to_message();
            let again: Request<'_> = message::read(&written.body).expect("what was written can be read");
            prop_assert_eq!(&again.request_id, &request.request_id);
            prop_assert_eq!(again.request_data.get(), request.request_data.get());
        }
    }

    #[test]
    fn a_result_is_refused_or_reads_back_as_it_was(body in inputs::bodies(RESULTS)) {
        if let Ok(result) = message::read::<ResultBody<'_>>(&body) {
            prop_assert!(is_object(&body));
            let written = message::result(&result.request_id, result.processing_results, 1, 0);
            let again: ResultBody<'_> = message::read(&written.body).expect("what was written can be read");
            prop_assert_eq!(&again.request_id, &result.request_id);
            prop_assert_eq!(again.processing_results.get(), result.processing_results.get());
        }
    }

    #[test]
    fn an_event_is_refused_or_reads_back_as_it_was(body in inputs::bodies(EVENTS)) {
        if let Ok(event) = message::read::<Event>(&body) {
            prop_assert_eq!(message::read::<Event>(&event.to_message().body).expect("reads back"), event);
        }
    }

    #[test]
    fn a_report_is_refused_or_reads_back_as_it_was(body in inputs::bodies(REPORTS)) {
        if let Ok(report) = message::read::<Report>(&body) {
            prop_assert_eq!(message::read::<Report>(&report.to_message().body).expect("reads back"), report);
        }
    }

    #[test]
    fn an_order_is_refused_or_reads_back_to_the_millisecond(
        body in inputs::bodies(ORDERS), properties in inputs::properties(),
    ) {
        let _ = orders::address(&properties);
        if let Ok(order) = message::read::<Order>(&body) {
            prop_assert_eq!(message::read::<Order>(&order.to_message("a").body).expect("reads back"), order);
        }
    }

    #[test]
    fn an_id_is_refused_or_one_json_value_that_reads_back(text in inputs::texts(IDS)) {
        if let Ok(id) = RequestId::from_json(&text) {
            let written = serde_json::to_string(&id).expect("is JSON");
            prop_assert_eq!(&RequestId::from_json(&written), &Ok(id.clone()));
            prop_assert_eq!(&serde_json::from_str::<RequestId>(&written).expect("is one"), &id);
            prop_assert!((1..=MAX_BYTES).contains(&id.to_string().len()));
        }
        if let Ok(id) = RequestId::from_text(&text) {
            prop_assert_eq!(id.to_string(), text);
            prop_assert_eq!(RequestId::from_json(id.as_json()), Ok(id));
        }
    }

    #[test]
    fn headers_of_any_kind_can_be_read_and_carried_on(
        properties in inputs::properties(), body in prop::collection::vec(any::<u8>(), 0..20), attempt in any::<u32>(),
    ) {
        let incoming = Incoming(&properties);
        prop_assert!(incoming.attempt() >= 1);
        let _ = (incoming.delivery_count(), incoming.vanished(), incoming.deadline(), incoming.death_reason());
        let _ = (incoming.traceparent(), failure_reason(&properties));
        let id = RequestId::from_text("a").expect("is an id");
        let delay = Duration::from_secs(1);
        for message in [
            message::retry(&id, &body, &properties, attempt, delay),
            message::alone(&id, &body, &properties, attempt, Some(delay)),
            message::untouched(&body, &properties),
            failure(None, &body, &properties, attempt, FailureReason::Rejected, "no luck"),
        ] {
            prop_assert_eq!(&message.body, &body);
            let headers = message.properties.headers().as_ref().expect("has some").inner();
            for name in headers.keys() {
                prop_assert!(!["x-death", "x-delivery-count", "CC"].contains(&name.as_str()), "{}", name);
            }
        }
    }

    #[test]
    fn a_failures_reason_and_error_read_back(properties in inputs::properties(), error in "\\PC{0,30}") {
        let message = failure(None, b"", &properties, 1, FailureReason::Expired, &error);
        prop_assert_eq!(failure_reason(&message.properties), (FailureReason::Expired, error));
    }

    #[test]
    fn a_duration_is_refused_or_reads_back_to_the_millisecond(text in inputs::texts(DURATIONS)) {
        if let Ok(duration) = duration::parse(&text) {
            prop_assert_eq!(duration::parse(&duration::format(duration)), Ok(duration));
        }
    }

    #[test]
    fn every_duration_can_be_written_and_read(millis in any::<u64>()) {
        let duration = Duration::from_millis(millis);
        prop_assert_eq!(duration::parse(&duration::format(duration)), Ok(duration));
    }

    #[test]
    fn no_text_makes_the_reader_of_addresses_panic(text in inputs::texts(ADDRESSES)) {
        if let Ok(url) = text.parse::<BrokerUrl>() {
            prop_assert!(!url.vhost().is_empty() && !url.host_and_port().is_empty());
        }
    }

    #[test]
    fn no_password_shows_whatever_stands_around_it(
        before in "[a-z0-9#/?%@:&=\\[\\]]{0,6}", after in "[a-z0-9#/?%@:&=\\[\\]]{0,6}", end in "(/v|/|\\?heartbeat=5|)",
    ) {
        let text = format!("amqp://user:{before}s3cret{after}@host:5672{end}");
        let shown = match text.parse::<BrokerUrl>() {
            Ok(url) => format!("{url} {url:?} {}", url.host_and_port()),
            Err(error) => format!("{error} {error:?}"),
        };
        prop_assert!(!shown.contains("s3cret"), "{}: {}", text, shown);
    }
}
