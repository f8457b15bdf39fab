//! `warren-operator journal replay`: runs what was sent within some time again.

use super::dead_letters::{DeadLettersError, moment, place::PlaceArguments, replay::JobArguments};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Value, json};

/// What to do with a journal.
#[derive(Args, Debug)]
pub struct JournalArguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run what was sent within some time again: each request once, under its id
    Replay(ReplayArguments),
}

#[derive(Args, Debug)]
struct ReplayArguments {
    #[command(flatten)]
    place: PlaceArguments,

    /// What was sent then or later: a time such as 2026-11-20T00:00:00Z, or 2h for the last two hours
    #[arg(long, value_name = "TIME", value_parser = moment, help_heading = "Which")]
    since: Timestamp,

    /// And not later than this: a time, or 1h for an hour ago; until now by default
    #[arg(long, value_name = "TIME", value_parser = moment, help_heading = "Which")]
    until: Option<Timestamp>,

    /// Also what is older than records are kept, of which nobody can tell whether it was accepted
    #[arg(long, help_heading = "Which")]
    include_forgotten: bool,

    /// Put them on the queue of another pipeline that does not know them yet, as new requests: its exchange, on the same
    /// virtual host
    #[arg(long, value_name = "EXCHANGE")]
    into_exchange: Option<String>,

    #[command(flatten)]
    job: JobArguments,
}

/// Does it.
///
/// # Errors
/// See [`DeadLettersError`].
pub async fn run(arguments: JournalArguments) -> Result<(), DeadLettersError> {
    let Command::Replay(arguments) = arguments.command;
    let place = arguments.place.find().await?;
    let job = place.post("/api/v1/journal/replay", &wanted(&arguments)).await?;
    arguments.job.follow(&place, job).await
}

/// The call's body.
fn wanted(arguments: &ReplayArguments) -> Value {
    let mut wanted = json!({
        "since": arguments.since.to_string(),
        "rate": arguments.job.rate,
        "includeForgotten": arguments.include_forgotten,
    });
    if let Some(until) = arguments.until {
        wanted["until"] = until.to_string().into();
    }
    if let Some(exchange) = &arguments.into_exchange {
        wanted["into"] = json!({ "exchange": exchange });
    }
    wanted
}
