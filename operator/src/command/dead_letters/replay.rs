//! `dead-letters replay`.

use super::{DeadLettersError, FilterArguments, Format, Place, PlaceArguments, pretty, show};
use clap::Args;
use serde_json::{Value, json};
use std::{
    io::{self, IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

/// How often it is asked how far a replay is.
const LOOK: Duration = Duration::from_millis(500);
/// How long a web side may be away meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);

/// Which requests, and how.
#[derive(Args, Debug)]
pub(super) struct ReplayArguments {
    #[command(flatten)]
    place: PlaceArguments,

    #[command(flatten)]
    filter: FilterArguments,

    /// A request's id; may be given many times
    #[arg(long = "id", value_name = "ID", conflicts_with_all = ["reason", "since", "until", "all"], help_heading = "Which")]
    ids: Vec<String>,

    /// All dead letters
    #[arg(long, conflicts_with_all = ["reason", "since", "until"], help_heading = "Which")]
    all: bool,

    #[command(flatten)]
    job: JobArguments,
}

/// How fast a replay goes, and what is shown of it.
#[derive(Args, Debug)]
pub(in crate::command) struct JobArguments {
    /// Requests per second at most
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rate: u32,

    /// Show how far it is until it has ended; the exit status tells whether all went well. Ctrl-C ends the waiting only
    #[arg(long)]
    wait: bool,

    /// How to print the replay
    #[arg(long, short, default_value = "text", value_name = "FORMAT")]
    output: Format,
}

pub(super) async fn run(arguments: ReplayArguments) -> Result<(), DeadLettersError> {
    let wanted = wanted(&arguments)?;
    let place = arguments.place.find().await?;
    let job = place.post("/api/v1/dead-letters/replay", &wanted).await?;
    arguments.job.follow(&place, job).await
}

impl JobArguments {
    /// Tells of a job, and waits until it has ended if that is wanted.
    pub(in crate::command) async fn follow(&self, place: &Place, mut job: Value) -> Result<(), DeadLettersError> {
        if self.wait {
            job = wait(place, job).await?;
        }
        let text = match self.output {
            Format::Json => pretty(&job),
            Format::Text => format!("{}\n", show::job(&job)),
        };
        io::stdout().write_all(text.as_bytes())?;
        if self.wait { judge(&job) } else { Ok(()) }
    }
}

/// The call's body. Nothing given is not all: that has to be said.
fn wanted(arguments: &ReplayArguments) -> Result<Value, DeadLettersError> {
    let rate = arguments.job.rate;
    if !arguments.ids.is_empty() {
        return Ok(json!({ "requestIds": arguments.ids, "rate": rate }));
    }
    if arguments.filter.is_empty() && !arguments.all {
        return Err(DeadLettersError::Nothing);
    }
    Ok(json!({ "filter": arguments.filter.to_json(), "rate": rate }))
}

/// Until it has ended, with a line about how far it is.
async fn wait(place: &Place, mut job: Value) -> Result<Value, DeadLettersError> {
    let path = format!("/api/v1/replays/{}", job["jobId"].as_str().unwrap_or_default());
    let (mut line, mut heard) = (Line::default(), Instant::now());
    loop {
        line.show(&show::job(&job))?;
        if matches!(job["status"].as_str(), Some("done" | "cancelled" | "failed") | None) {
            line.end()?;
            return Ok(job);
        }
        tokio::time::sleep(LOOK).await;
        match place.get(&path).await {
            Ok(answer) => (job, heard) = (answer, Instant::now()),
            Err(error) if error.may_pass() && heard.elapsed() < PATIENCE => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn judge(job: &Value) -> Result<(), DeadLettersError> {
    let count = |name: &str| job[name].as_u64().unwrap_or_default();
    let (status, failed) = (job["status"].as_str().unwrap_or_default(), count("failed"));
    if status == "done" && failed == 0 {
        return Ok(());
    }
    Err(DeadLettersError::Incomplete {
        id: job["jobId"].as_str().unwrap_or_default().to_owned(),
        status: status.to_owned(),
        replayed: count("replayed"),
        failed,
        reason: show::why_failed(job),
        total: count("total"),
        why: job["error"].as_str().map(|error| format!(" ({error})")).unwrap_or_default(),
    })
}

/// On a terminal one line that changes, elsewhere a line per change.
#[derive(Default)]
struct Line {
    shown: String,
}

impl Line {
    fn show(&mut self, text: &str) -> io::Result<()> {
        if self.shown == text {
            return Ok(());
        }
        self.shown = text.to_owned();
        let mut out = io::stderr();
        // What was longer before is erased.
        if out.is_terminal() {
            write!(out, "\r{text}\x1b[K")?
        } else {
            writeln!(out, "{text}")?
        }
        out.flush()
    }

    fn end(&self) -> io::Result<()> {
        let mut out = io::stderr();
        if out.is_terminal() { writeln!(out) } else { Ok(()) }
    }
}
