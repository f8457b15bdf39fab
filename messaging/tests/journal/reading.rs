//! Reading a range of the journal.

use super::{WEEK, kept};
use crate::{address, declared};
use jiff::{SignedDuration, Timestamp};
use lapin::{BasicProperties, options::BasicPublishOptions};
use warren_messaging::{
    journal::{Entry, JournalError, Range, Reader},
    link::{Frames, connect},
    message::{Request, retry},
    request_id::RequestId,
    topology::declare::declare,
};
use warren_testkit::{
    broker::{self, Vhost},
    eventually,
};

fn ago(seconds: i64) -> Timestamp {
    Timestamp::now() - SignedDuration::from_secs(seconds)
}

fn range(since: Timestamp, until: Timestamp) -> Range {
    Range { since, until, resume_at: None }
}

/// Everything that there may be.
fn all() -> Range {
    range(ago(3600), Timestamp::now())
}

fn id(text: &str) -> RequestId {
    RequestId::from_text(text).expect("is an id")
}

async fn request(vhost: &Vhost, text: &str) {
    let data = serde_json::value::to_raw_value("data").expect("is JSON");
    let message = Request { request_id: id(text), request_data: &data }.to_message();
    vhost.publish_with("p", "request", message.body, message.properties).await;
}

/// A request whose sender's clock says that time, or nothing.
async fn request_at(vhost: &Vhost, text: &str, at: Option<Timestamp>) {
    let body = format!(r#"{{"requestId":"{text}","requestData":1}}"#);
    let second = at.map(|at| u64::try_from(at.as_second()).expect("is after 1970"));
    let properties = BasicProperties::default().with_delivery_mode(2);
    let properties = second.into_iter().fold(properties, |properties, second| properties.with_timestamp(second));
    vhost.publish_with("p", "request", body, properties).await;
}

async fn read(vhost: &Vhost, range: Range) -> Vec<Entry> {
    let mut reader = Reader::open(&address(vhost), "test", "p.journal", range).await.expect("opens");
    let mut entries = Vec::new();
    while let Some(entry) = reader.next().await.expect("is read") {
        entries.push(entry);
    }
    assert!(reader.next().await.expect("the end stays").is_none());
    reader.close().await;
    entries
}

fn ids(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| entry.request_id().expect("has one").to_string()).collect()
}

#[tokio::test]
async fn requests_come_in_order_with_body_time_and_place_and_a_retry_is_told() {
    let (vhost, _connection, _) = declared(&kept(WEEK)).await;
    for text in ["a", "b"] {
        request(&vhost, text).await;
    }
    let tried = vhost.get("p.requests").await.expect("is there");
    let again = retry(&id("a"), &tried.data, &tried.properties, 2, std::time::Duration::from_secs(1));
    vhost.publish_with("p", "request", again.body, again.properties).await;

    let entries = read(&vhost, all()).await;
    assert_eq!(ids(&entries), ["a", "b", "a"]);
    assert_eq!(entries.iter().map(Entry::is_original).collect::<Vec<_>>(), [true, true, false]);
    assert!(entries.windows(2).all(|pair| pair[0].offset < pair[1].offset), "{entries:?}");
    assert_eq!(entries[0].body, br#"{"requestId":"a","requestData":"data"}"#);
    assert!(entries[0].published_at.is_some_and(|at| at.duration_since(ago(60)).is_positive()));
    assert_eq!(ids(&read(&vhost, all()).await), ["a", "b", "a"], "reading takes nothing away");
}

#[tokio::test]
async fn a_range_is_of_the_senders_times_and_a_request_without_one_counts_as_of_the_one_before() {
    let (vhost, _connection, _) = declared(&kept(WEEK)).await;
    for (text, at) in [("a", Some(200)), ("b", Some(100)), ("c", None), ("d", Some(50)), ("e", Some(10))] {
        request_at(&vhost, text, at.map(ago)).await;
    }
    assert_eq!(ids(&read(&vhost, range(ago(120), ago(40))).await), ["b", "c", "d"]);
    assert_eq!(ids(&read(&vhost, range(ago(20), Timestamp::now())).await), ["e"]);
    assert!(read(&vhost, range(ago(3600), ago(1800))).await.is_empty());
}

#[tokio::test]
async fn a_range_that_only_the_senders_clock_knows_of_is_found() {
    let (vhost, _connection, _) = declared(&kept(WEEK)).await;
    request_at(&vhost, "a", Some(ago(-3600))).await;
    assert_eq!(ids(&read(&vhost, range(ago(-1800), ago(-7200))).await), ["a"]);
}

#[tokio::test]
async fn where_no_sender_tells_a_time_the_brokers_counts() {
    let (vhost, _connection, _) = declared(&kept(WEEK)).await;
    request_at(&vhost, "a", None).await;
    assert_eq!(ids(&read(&vhost, all()).await), ["a"]);
    assert!(read(&vhost, range(ago(3600), ago(1800))).await.is_empty());
}

#[tokio::test]
async fn reading_goes_on_where_it_ended() {
    let (vhost, _connection, _) = declared(&kept(WEEK)).await;
    let numbers: Vec<_> = (0..300).map(|number: u32| number.to_string()).collect();
    futures::future::join_all(numbers.iter().map(|number| request_at(&vhost, number, Some(ago(5))))).await;
    let entries = read(&vhost, all()).await;
    assert_eq!(entries.len(), 300);
    let resumed = read(&vhost, Range { resume_at: Some(entries[200].offset + 1), ..all() }).await;
    assert_eq!(ids(&resumed), ids(&entries[201..]));
    let behind = Range { resume_at: Some(entries[299].offset + 1), ..all() };
    assert!(read(&vhost, behind).await.is_empty());
}

#[tokio::test]
async fn it_ends_where_the_stream_ended_although_requests_go_on_coming_in() {
    let (vhost, _connection, _) = declared(&kept(WEEK)).await;
    for text in ["a", "b"] {
        request(&vhost, text).await;
    }
    let mut reader =
        Reader::open(&address(&vhost), "test", "p.journal", range(ago(3600), ago(-3600))).await.expect("opens");
    let mut seen = Vec::new();
    while let Some(entry) = reader.next().await.expect("is read") {
        seen.push(entry);
        request(&vhost, "later").await;
    }
    assert_eq!(ids(&seen), ["a", "b"]);
}

#[tokio::test]
async fn clocks_that_are_fast_hide_nothing_however_much_was_written_since() {
    let (vhost, _connection, _) = declared(&kept(WEEK)).await;
    for text in ["a", "b"] {
        request_at(&vhost, text, Some(ago(-3600))).await;
        // What is there ends a part of the stream: the next request begins another.
        read(&vhost, all()).await;
    }
    assert_eq!(ids(&read(&vhost, range(ago(-1800), ago(-7200))).await), ["a", "b"]);
}

#[tokio::test]
async fn one_clock_that_is_fast_hides_nothing_of_what_came_behind() {
    let (vhost, _connection, _) = declared(&kept(WEEK)).await;
    for (text, at) in [("a", ago(10)), ("b", ago(-3600)), ("c", ago(5))] {
        request_at(&vhost, text, Some(at)).await;
    }
    assert_eq!(ids(&read(&vhost, all()).await), ["a", "c"]);
}

#[tokio::test]
async fn silence_where_reading_had_begun_is_no_end() {
    let (vhost, _connection, _) = declared(&kept(WEEK)).await;
    let on = Range { resume_at: Some(5), ..all() };
    let refusal = Reader::open(&address(&vhost), "test", "p.journal", on).await.err().expect("is silent");
    assert!(matches!(&refusal, JournalError::Silent { stream } if stream == "p.journal"), "{refusal:?}");
}

#[tokio::test]
async fn an_empty_journal_has_an_end_and_a_missing_one_is_told() {
    let (vhost, _connection, _) = declared(&kept(WEEK)).await;
    assert!(read(&vhost, all()).await.is_empty());
    let refusal = Reader::open(&address(&vhost), "test", "q.journal", all()).await.err().expect("is missing");
    assert!(matches!(&refusal, JournalError::Missing { stream } if stream == "q.journal"), "{refusal:?}");
}

#[tokio::test]
async fn after_a_restart_of_the_broker_reading_goes_on_at_the_next_request() {
    let mut node = broker::private().await;
    let url: warren_messaging::broker::Broker = node.url().parse().expect("is an address");
    let connection = connect(&url, "test", Frames::Small).await.expect("connects");
    declare(&connection, &kept(WEEK).plan()).await.expect("is declared");
    let channel = connection.create_channel().await.expect("opens");
    channel.confirm_select(Default::default()).await.expect("confirms");
    for number in 0..200 {
        let body = format!(r#"{{"requestId":{number},"requestData":1}}"#);
        let options = BasicPublishOptions::default();
        let sent = channel.basic_publish("p".into(), "request".into(), options, body.as_bytes(), Default::default());
        sent.await.expect("is sent").await.expect("is confirmed");
    }
    let mut reader = Reader::open(&url, "test", "p.journal", all()).await.expect("opens");
    let first = reader.next().await.expect("is read").expect("is there");
    node.stop().await.expect("stops");
    let (mut seen, mut place) = (1, first.offset);
    let lost = loop {
        match reader.next().await {
            // What had arrived already.
            Ok(entry) => {
                place = entry.expect("has not ended").offset;
                seen += 1;
            }
            Err(error) => break error,
        }
    };
    assert!(matches!(lost, JournalError::Link(_)), "{lost:?}");
    node.start_again().await.expect("starts");
    let url: warren_messaging::broker::Broker = node.url().parse().expect("is an address");
    let on = Range { resume_at: Some(place + 1), ..all() };
    // A broker that has just started says for a moment that there is no such stream.
    let open = async || Reader::open(&url, "test", "p.journal", on).await;
    let mut reader = eventually("the stream", std::time::Duration::from_secs(60), open).await;
    while let Some(_entry) = reader.next().await.expect("is read") {
        seen += 1;
    }
    assert_eq!(seen, 200);
}
