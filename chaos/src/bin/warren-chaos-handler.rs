//! The work of the campaign, as a user's handler does it: `warren-chaos-handler stream|http FILE`. It notes every
//! attempt in the file, so that work done twice can be counted.

use anyhow::{Context as _, bail};
use axum::{Json, Router, extract::State, http::HeaderMap, http::StatusCode, response::IntoResponse, routing::post};
use serde::Deserialize;
use serde_json::json;
use std::{
    fs::{File, OpenOptions},
    io::{BufRead as _, Write as _},
    sync::Arc,
    time::Duration,
};
use warren_chaos::rule::{Ending, Task};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Question {
    request_id: String,
    attempt: u32,
    data: Task,
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, file] = arguments.as_slice() else { bail!("usage: warren-chaos-handler stream|http FILE") };
    let notes = OpenOptions::new().create(true).append(true).open(file).with_context(|| file.clone())?;
    match mode.as_str() {
        "stream" => stream(&notes),
        "http" => http(notes),
        other => bail!("{other}: there are only stream and http"),
    }
}

/// One write per line, which the system appends whole.
fn note(mut notes: &File, id: &str, attempt: u32) {
    let _ = notes.write_all(format!("{id} {attempt} {}\n", std::process::id()).as_bytes());
}

/// Work takes from 0 to 7 ms.
fn effort(task: &Task) -> Duration {
    Duration::from_millis(task.number % 8)
}

fn stream(notes: &File) -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let Question { request_id, attempt, data } = serde_json::from_str(&line?)?;
        note(notes, &request_id, attempt);
        std::thread::sleep(effort(&data));
        let answer = match data.attempt(attempt) {
            Ending::Done(answer) => json!({ "result": answer }),
            Ending::Again => json!({"error": "not yet", "retry": true}),
            Ending::Never => json!({"error": "never", "retry": false}),
        };
        writeln!(output, "{answer}")?;
        output.flush()?;
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn http(notes: File) -> anyhow::Result<()> {
    let port: u16 = std::env::var("PORT").context("PORT")?.parse()?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    let app = Router::new().route("/", post(answer)).with_state(Arc::new(notes));
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        served = async { axum::serve(listener, app).await } => Ok(served?),
        _ = terminate.recv() => Ok(()),
    }
}

async fn answer(State(notes): State<Arc<File>>, headers: HeaderMap, Json(task): Json<Task>) -> impl IntoResponse {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let attempt = header("x-attempt").parse().unwrap_or(0);
    note(&notes, header("x-request-id"), attempt);
    tokio::time::sleep(effort(&task)).await;
    match task.attempt(attempt) {
        Ending::Done(answer) => (StatusCode::OK, Json(json!(answer))),
        Ending::Again => (StatusCode::SERVICE_UNAVAILABLE, Json(json!("not yet"))),
        Ending::Never => (StatusCode::UNPROCESSABLE_ENTITY, Json(json!("never"))),
    }
}
