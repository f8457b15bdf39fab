//! Dead letters that are put back on the queue.

mod handled;
mod letters;
mod processes;

use crate::fixture::{self, SOON, StoreKind, TestStore, Web, declare_on, on_each_store, problem, result, web_on};
pub use handled::Handled;
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable},
};
pub use letters::{counts, job_when};
use letters::{dead_letters, fail, failed, replay};
pub use processes::Side;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use warren_messaging::{
    message::{FailureReason, Incoming},
    topology::Topology,
};
use warren_testkit::{
    broker::{self, Vhost},
    eventually,
};

on_each_store!(
    dead_letters_are_listed_newest_first_by_reason_and_time,
    a_replayed_request_keeps_its_id_and_history_and_its_copy_leaves_the_dead_letters,
    a_request_that_fails_again_can_be_replayed_again,
    a_foreign_processors_answer_without_the_header_ends_the_replay,
    what_is_not_failed_or_not_known_is_counted_and_left_alone,
    a_job_waits_for_room_in_the_queue_and_goes_on,
    a_fifth_job_says_that_it_waits_for_its_turn,
    a_cancelled_job_begins_nothing_more,
    a_job_that_waits_for_room_can_be_ended_and_what_it_had_in_hand_is_a_dead_letter_still,
    what_can_be_no_replays_id_is_no_replay,
);

async fn dead_letters_are_listed_newest_first_by_reason_and_time(kind: StoreKind) {
    let (vhost, web) = web_on(kind, "letters").await;
    for (id, reason) in [("a", FailureReason::Rejected), ("b", FailureReason::Expired), ("c", FailureReason::Rejected)]
    {
        fail(&vhost, id, 0, reason).await;
        web.record_when(id, "failed").await;
    }
    result(&vhost, &json!("fine"), json!(1)).await;
    web.record_when("fine", "succeeded").await;
    assert_eq!(dead_letters(&web, "").await, ["c", "b", "a"]);
    assert_eq!(dead_letters(&web, "?reason=rejected").await, ["c", "a"]);
    let first = web.get_json("/api/v1/dead-letters?limit=2").await;
    let cursor = first["nextCursor"].as_str().expect("there is more");
    assert_eq!(dead_letters(&web, &format!("?limit=2&cursor={cursor}")).await, ["a"]);
    let failed_at = first["deadLetters"][1]["failedAt"].as_str().expect("is text");
    assert_eq!(dead_letters(&web, &format!("?until={failed_at}")).await, ["a"]);
    assert_eq!(dead_letters(&web, &format!("?since={failed_at}")).await, ["c", "b"]);
    let letter = &first["deadLetters"][1];
    assert_eq!(
        (&letter["reason"], &letter["message"], &letter["attempts"], &letter["replays"]),
        (&json!("expired"), &json!("no luck in 0"), &json!(5), &json!(0))
    );
}

async fn a_replayed_request_keeps_its_id_and_history_and_its_copy_leaves_the_dead_letters(kind: StoreKind) {
    let (vhost, web) = web_on(kind, "replayed").await;
    let id = web.submit(json!("x")).await;
    vhost.get("p.requests").await.expect("is on the queue");
    failed(&web, &vhost, "other").await;
    failed(&web, &vhost, &id).await;
    let location = replay(&web.http, &web.base, json!({"requestIds": [id]})).await;
    let job = job_when(&web, &location, "done").await;
    assert_eq!(counts(&job), [1, 1, 0, 0], "{job}");
    assert!(job["finishedAt"].is_string() && job.get("waitingFor").is_none(), "{job}");

    let queued = vhost.get("p.requests").await.expect("is on the queue");
    assert_eq!(queued.data, json!({"requestId": id, "requestData": {"n": 1}}).to_string().into_bytes());
    let incoming = Incoming(&queued.properties);
    assert_eq!((incoming.attempt(), incoming.replay(), incoming.text("x-reason")), (1, Some(1), None));
    assert_eq!(incoming.text("traceparent"), Some("00-1-2-03"));
    assert_eq!(queued.properties.message_id().as_ref().map(|id| id.as_str()), Some(id.as_str()));

    let record = web.record(&id).await;
    assert_eq!((&record["status"], &record["replays"], &record["attempts"]), (&json!("queued"), &json!(1), &json!(0)));
    assert_eq!(record["history"][0]["reason"], "attempts_exhausted", "{record}");
    assert_eq!(dead_letters(&web, "").await, ["other"]);

    // A late duplicate of the failure is not the replay's.
    fail(&vhost, &id, 0, FailureReason::AttemptsExhausted).await;
    result(&vhost, &json!("marker"), json!(0)).await;
    web.record_when("marker", "succeeded").await;
    assert_eq!(web.record(&id).await["status"], "queued");
    let mut headers = FieldTable::default();
    headers.insert("x-replay".into(), AMQPValue::LongLongInt(1));
    let answer = json!({"requestId": id, "processingResults": 7}).to_string();
    vhost.publish_with("p", "result", answer, BasicProperties::default().with_headers(headers)).await;
    let record = web.record_when(&id, "succeeded").await;
    assert_eq!((&record["replays"], &record["result"]), (&json!(1), &json!(7)));
    assert_eq!(record["history"].as_array().map(Vec::len), Some(1), "{record}");

    vhost
        .queue_when("p.dead", "the replayed one's copies to be gone", SOON, |queue| {
            queue.ready == 1 && queue.messages == 1
        })
        .await;
    let left = vhost.get("p.dead").await.expect("is left");
    assert!(String::from_utf8_lossy(&left.data).contains("other"));
}

async fn a_request_that_fails_again_can_be_replayed_again(kind: StoreKind) {
    let (vhost, web) = web_on(kind, "again").await;
    failed(&web, &vhost, "a").await;
    for number in 1..=2 {
        let location = replay(&web.http, &web.base, json!({"filter": {"reason": "attempts_exhausted"}})).await;
        assert_eq!(counts(&job_when(&web, &location, "done").await), [1, 1, 0, 0]);
        let queued = vhost.get("p.requests").await.expect("is on the queue");
        assert_eq!(Incoming(&queued.properties).replay(), Some(number));
        fail(&vhost, "a", number, FailureReason::AttemptsExhausted).await;
        let record = web.record_when("a", "failed").await;
        assert_eq!(
            (&record["replays"], &record["error"]["message"]),
            (&json!(number), &json!(format!("no luck in {number}")))
        );
        assert_eq!(record["history"].as_array().map(Vec::len), Some(number as usize), "{record}");
    }
    assert_eq!(dead_letters(&web, "").await, ["a"], "once, as it is now");
    let listed = web.get_json("/api/v1/replays").await;
    assert_eq!(listed["replays"].as_array().map(Vec::len), Some(2), "{listed}");
}

async fn a_foreign_processors_answer_without_the_header_ends_the_replay(kind: StoreKind) {
    let (vhost, web) = web_on(kind, "foreign").await;
    failed(&web, &vhost, "a").await;
    let location = replay(&web.http, &web.base, json!({"requestIds": ["a"]})).await;
    job_when(&web, &location, "done").await;
    result(&vhost, &json!("a"), json!("done")).await;
    let record = web.record_when("a", "succeeded").await;
    assert_eq!((&record["replays"], &record["result"]), (&json!(1), &json!("done")));
}

async fn what_is_not_failed_or_not_known_is_counted_and_left_alone(kind: StoreKind) {
    let (vhost, web) = web_on(kind, "counted").await;
    failed(&web, &vhost, "a").await;
    result(&vhost, &json!("fine"), json!(1)).await;
    web.record_when("fine", "succeeded").await;
    let location = replay(&web.http, &web.base, json!({"requestIds": ["a", "fine", "unknown", "a"]})).await;
    assert_eq!(counts(&job_when(&web, &location, "done").await), [3, 1, 1, 1]);
    let location = replay(&web.http, &web.base, json!({"requestIds": ["a"]})).await;
    assert_eq!(counts(&job_when(&web, &location, "done").await), [1, 0, 1, 0], "it is replayed already");
    let location = replay(&web.http, &web.base, json!({"filter": {}})).await;
    assert_eq!(counts(&job_when(&web, &location, "done").await), [0, 0, 0, 0]);
    vhost.queue_when("p.requests", "one request", SOON, |queue| queue.messages == 1).await;
}

/// A job that waits for room, with its location.
async fn waiting_job(kind: StoreKind) -> (Vhost, Web, String, Value) {
    let vhost = broker::vhost("room").await;
    declare_on(&vhost.url(), &Topology { max_length: Some(5), ..Topology::named("p") }).await;
    let web = Web::start_in(TestStore::new(kind).await, &vhost.url(), &[]).await;
    web.ready().await;
    for number in 0..60 {
        fail(&vhost, &format!("r{number}"), 0, FailureReason::Rejected).await;
    }
    eventually("all to be listed", SOON, async || dead_letters(&web, "?limit=100").await.len() == 60).await;
    let location = replay(&web.http, &web.base, json!({"filter": {}, "rate": 1000})).await;
    let waiting = eventually("the job to wait", SOON, async || {
        let job = web.get_json(&location).await;
        if job["waitingFor"].as_str().is_some_and(|text| text.contains("room")) {
            Ok(job)
        } else {
            Err(job.to_string())
        }
    })
    .await;
    (vhost, web, location, waiting)
}

async fn a_job_that_waits_for_room_can_be_ended_and_what_it_had_in_hand_is_a_dead_letter_still(kind: StoreKind) {
    let (vhost, web, location, _) = waiting_job(kind).await;
    cancel(&web, &location).await;
    let [total, replayed, _, _] = counts(&job_when(&web, &location, "cancelled").await);
    let left = usize::try_from(total - replayed).expect("is small");
    assert_eq!(dead_letters(&web, "?limit=100").await.len(), left);
    vhost.queue_when("p.requests", "only the replayed ones", SOON, |queue| queue.messages == replayed).await;
}

async fn what_can_be_no_replays_id_is_no_replay(kind: StoreKind) {
    let (_vhost, web) = web_on(kind, "no-id").await;
    for method in [Method::GET, Method::DELETE] {
        let asked = web.http.request(method.clone(), format!("{}/api/v1/replays/%00", web.base));
        let answer = asked.send().await.expect("is answered");
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{method}");
        assert_eq!(fixture::kind(&problem(answer).await), "no-such-replay");
    }
}

async fn a_job_waits_for_room_in_the_queue_and_goes_on(kind: StoreKind) {
    let (vhost, web, location, waiting) = waiting_job(kind).await;
    assert_eq!(waiting["status"], "running");
    let handled = Handled::start(&vhost).await;
    let job = job_when(&web, &location, "done").await;
    assert_eq!(counts(&job), [60, 60, 0, 0]);
    eventually("all to be handled", SOON, async || handled.ids() == 60).await;
}

async fn cancel(web: &Web, location: &str) {
    let asked = web.http.request(Method::DELETE, format!("{}{location}", web.base)).send().await.expect("is answered");
    assert_eq!(asked.status(), StatusCode::OK);
}

async fn a_fifth_job_says_that_it_waits_for_its_turn(kind: StoreKind) {
    let (vhost, web) = web_on(kind, "turn").await;
    let names: Vec<_> = (0..33).map(|number| format!("r{number}")).collect();
    for name in &names {
        fail(&vhost, name, 0, FailureReason::Rejected).await;
    }
    eventually("all to be listed", SOON, async || dead_letters(&web, "?limit=100").await.len() == names.len()).await;
    let mut jobs = Vec::new();
    for names in names.chunks(8) {
        jobs.push(replay(&web.http, &web.base, json!({"requestIds": names, "rate": 1})).await);
    }
    eventually("the fifth to say so", SOON, async || {
        let job = web.get_json(&jobs[4]).await;
        if job["waitingFor"].as_str().is_some_and(|text| text.contains("its turn")) {
            Ok(())
        } else {
            Err(job.to_string())
        }
    })
    .await;
    for job in &jobs[..4] {
        cancel(&web, job).await;
    }
    let job = job_when(&web, &jobs[4], "done").await;
    assert_eq!((counts(&job), job.get("waitingFor")), ([1, 1, 0, 0], None), "{job}");
}

async fn a_cancelled_job_begins_nothing_more(kind: StoreKind) {
    let (vhost, web) = web_on(kind, "cancelled").await;
    for number in 0..20 {
        fail(&vhost, &format!("r{number}"), 0, FailureReason::Rejected).await;
    }
    eventually("all to be listed", SOON, async || dead_letters(&web, "").await.len() == 20).await;
    let location = replay(&web.http, &web.base, json!({"filter": {}, "rate": 2})).await;
    eventually("some to be replayed", SOON, async || counts(&web.get_json(&location).await)[1] > 0).await;
    cancel(&web, &location).await;
    let [total, replayed, skipped, failed] = counts(&job_when(&web, &location, "cancelled").await);
    assert!(total == 20 && replayed < 10 && skipped + failed == 0, "{total} {replayed} {skipped} {failed}");
    let left = usize::try_from(total - replayed).expect("is small");
    assert_eq!(dead_letters(&web, "").await.len(), left, "the others are dead letters still");
    vhost.queue_when("p.requests", "only the replayed ones", SOON, |queue| queue.messages == replayed).await;
}
