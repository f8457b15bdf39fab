//! Starting, being killed, coming back, ending.

use super::running::{Local, SOON, command, file, pipeline};
use serde_json::json;
use warren_testkit::{broker, eventually, free_port};

fn demo(delay: &str) -> serde_json::Value {
    json!({"handler": {"demo": {"delay": delay}}})
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_rabbitmq_of_its_own_nothing_is_lost_from_run_to_run_and_nothing_left_running() {
    let mut local = Local::start(&pipeline("processing", demo("50ms")), None).await;
    let base = local.base("processing").await;
    let id = local.submit(&base, json!("hello")).await;
    assert_eq!(local.record_when(&base, &id, "succeeded").await["result"], "hello-processed");

    local.kill9("beam.smp");
    let id_after = local.submit(&base, json!("again")).await;
    local.record_when(&base, &id_after, "succeeded").await;

    let noted = std::fs::read_to_string(local.directory.path().join("state/processes")).expect("is noted");
    let directory = local.end().await;
    for line in noted.lines() {
        let pid = line.split(' ').next().expect("has a pid");
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        assert!(!command.contains("warren") && !command.contains("rabbit"), "{pid} still runs: {command}");
    }

    let mut local = Local::start_in(directory, None).await;
    let base = local.base("processing").await;
    for id in [id, id_after] {
        local.record_when(&base, &id, "succeeded").await;
    }
    local.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_in_the_environment_does_not_stand_between_local_and_what_it_runs() {
    let vhost = broker::vhost("proxy").await;
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(file(directory.path()), pipeline("p", demo("0s"))).expect("is written");
    let mut command = command(directory.path(), Some(&vhost.url()), free_port());
    command.env("http_proxy", "http://127.0.0.1:1");
    let mut local = Local::start_as(command, directory).await;
    local.base("p").await;
    local.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_child_is_back_within_seconds_and_shown() {
    let vhost = broker::vhost("killed").await;
    let mut local = Local::start(&pipeline("p", demo("0s")), Some(&vhost.url())).await;
    let base = local.base("p").await;
    for program in ["warren-web-service", "warren-processor"] {
        local.kill9(program);
        local.program.wait_for_line("SIGKILL", SOON).await;
        let id = local.submit(&base, json!(program)).await;
        local.record_when(&base, &id, "succeeded").await;
    }
    local.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_local_leaves_running_is_ended_by_the_next_one() {
    let vhost = broker::vhost("leftovers").await;
    let mut local = Local::start(&pipeline("p", demo("0s")), Some(&vhost.url())).await;
    local.base("p").await;
    let orphans = [local.pids("warren-web-service"), local.pids("warren-processor")].concat();
    local.program.kill9();
    let mut local = Local::start_in(local.directory, Some(&vhost.url())).await;
    let base = local.base("p").await;
    let running = [local.pids("warren-web-service"), local.pids("warren-processor")].concat();
    assert!(orphans.iter().all(|orphan| !running.contains(orphan)), "{orphans:?} in {running:?}");
    let id = local.submit(&base, json!(1)).await;
    local.record_when(&base, &id, "succeeded").await;
    local.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_lets_a_processor_finish_what_it_runs() {
    let vhost = broker::vhost("finish").await;
    let mut local = Local::start(&pipeline("p", demo("3s")), Some(&vhost.url())).await;
    let base = local.base("p").await;
    let id = local.submit(&base, json!("slow")).await;
    local.record_when(&base, &id, "started").await;
    let directory = local.end().await;
    vhost.queue_when("p.results", "the result to wait", SOON, |queue| queue.ready >= 1).await;
    vhost.queue_when("p.requests", "nothing to be given back", SOON, |queue| queue.messages == 0).await;
    let mut local = Local::start_in(directory, Some(&vhost.url())).await;
    let base = local.base("p").await;
    assert_eq!(local.record_when(&base, &id, "succeeded").await["attempts"], 1);
    local.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_somebody_deletes_is_declared_again() {
    let vhost = broker::vhost("drift").await;
    let mut local = Local::start(&pipeline("p", demo("0s")), Some(&vhost.url())).await;
    let base = local.base("p").await;
    for queue in ["p.requests", "p.results"] {
        let deleted = vhost.channel().await.queue_delete(queue.into(), Default::default()).await;
        deleted.expect("is deleted");
        local.program.wait_for_line(&format!("queue {queue} is missing"), SOON).await;
        let id = local.submit(&base, json!(queue)).await;
        local.record_when(&base, &id, "succeeded").await;
    }
    eventually("the panel's line", SOON, async || local.program.output().contains("web 1/1 · processors 1/1")).await;
    local.end().await;
}
