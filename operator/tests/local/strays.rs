//! Commands run in process groups of their own. They end all the same when what has started them does.

use super::running::{Local, SOON, pipeline};
use nix::sys::signal::SIGINT;
use serde_json::json;
use std::path::Path;
use warren_testkit::{
    broker::{self, Vhost},
    eventually,
};

/// A `local` whose command notes its number, and works for a long time; and the number.
async fn with_a_command_at_work(label: &str) -> (Vhost, Local, u32) {
    let vhost = broker::vhost(label).await;
    let exec =
        json!({"handler": {"exec": {"image": "any", "command": ["sh", "-c", "echo $$ >> ids; exec sleep 1000"]}}});
    let mut local = Local::start(&pipeline("p", exec), Some(&vhost.url())).await;
    let base = local.base("p").await;
    local.submit(&base, json!(1)).await;
    let id = eventually("the command's number", SOON, async || first_id(local.directory.path())).await;
    (vhost, local, id)
}

fn first_id(directory: &Path) -> Option<u32> {
    let ids = std::fs::read_to_string(directory.join("ids")).ok()?;
    ids.split_once('\n')?.0.parse().ok()
}

/// One that nobody waits for stays as a zombie, and counts as gone.
async fn is_gone(id: u32) {
    eventually("the command to end", SOON, async || {
        let status = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        if status.is_empty() || status.contains(") Z ") { Ok(()) } else { Err(status) }
    })
    .await;
}

/// Ctrl-C twice.
async fn end_at_once(mut local: Local) {
    local.program.signal(SIGINT);
    local.program.wait_for_line("Ctrl-C again ends everything at once", SOON).await;
    local.program.signal(SIGINT);
    local.program.wait(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_ctrl_c_ends_a_command_at_once() {
    let (_vhost, local, id) = with_a_command_at_work("strays-abort").await;
    end_at_once(local).await;
    is_gone(id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_processor_takes_its_command_with_it() {
    let (_vhost, mut local, id) = with_a_command_at_work("strays-processor").await;
    local.kill9("warren-processor");
    local.program.wait_for_line("SIGKILL", SOON).await;
    is_gone(id).await;
    end_at_once(local).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_of_a_killed_local_is_ended_by_the_next_one() {
    let (vhost, mut local, id) = with_a_command_at_work("strays-local").await;
    // The processor first: asked to end, it would see to its command itself.
    local.program.kill9();
    local.kill9("warren-processor");
    let local = Local::start_in(local.directory, Some(&vhost.url())).await;
    is_gone(id).await;
    end_at_once(local).await;
}
