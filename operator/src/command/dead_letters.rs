//! `warren-operator dead-letters`: lists requests that were given up, and puts them back on the queue.

pub(super) mod place;
pub(super) mod replay;
mod show;

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
pub use place::PlaceError;
use place::{Place, PlaceArguments};
use serde_json::{Map, Value, json};
use std::io::{self, Write as _};
use warren_messaging::duration;

/// How many one call asks for at most.
const PAGE: u32 = 1000;

/// What to do with dead letters.
#[derive(Args, Debug)]
pub struct DeadLettersArguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// List requests that were given up, newest first
    List(ListArguments),
    /// Put requests that were given up back on the queue, each under its id
    Replay(replay::ReplayArguments),
}

#[derive(Args, Debug)]
struct ListArguments {
    #[command(flatten)]
    place: PlaceArguments,

    #[command(flatten)]
    filter: FilterArguments,

    /// List at most this many
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,

    /// How to print them
    #[arg(long, short, default_value = "text", value_name = "FORMAT")]
    output: Format,
}

/// Which dead letters.
#[derive(Args, Debug)]
#[command(next_help_heading = "Which")]
struct FilterArguments {
    /// Only those with this reason: rejected, attempts_exhausted, undecodable, expired, delivery_limit, other
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,

    /// Only those that failed then or later: a time such as 2026-11-25T15:00:00Z, or 24h for the last 24 hours
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,

    /// Only those that failed before: a time, or 1h for an hour ago
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

/// Why it did not work.
#[derive(Debug, thiserror::Error)]
pub enum DeadLettersError {
    /// The web side did not do it.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// Nothing was chosen.
    #[error("which dead letters? name requests with --id, choose by --reason, --since or --until, or say --all")]
    Nothing,
    /// The output's reader is gone, or its disk is full.
    #[error("cannot write to the output")]
    Output(#[from] io::Error),
    /// The job ended otherwise than it should.
    #[error("the replay {id} ended as {status}: {replayed} of {total} replayed, {failed} {reason}{why}")]
    Incomplete {
        /// The job.
        id: String,
        /// How it ended.
        status: String,
        /// How many are on the queue again.
        replayed: u64,
        /// How many could not be replayed.
        failed: u64,
        /// And why.
        reason: &'static str,
        /// How many there were.
        total: u64,
        /// The job's own words, if it has any.
        why: String,
    },
}

/// Does it.
///
/// # Errors
/// See [`DeadLettersError`].
pub async fn run(arguments: DeadLettersArguments) -> Result<(), DeadLettersError> {
    match arguments.command {
        Command::List(arguments) => list(arguments).await,
        Command::Replay(arguments) => replay::run(arguments).await,
    }
}

async fn list(arguments: ListArguments) -> Result<(), DeadLettersError> {
    let place = arguments.place.find().await?;
    let letters = letters(&place, &arguments.filter, arguments.limit).await?;
    let text = match arguments.output {
        Format::Json => pretty(&json!({ "deadLetters": letters })),
        Format::Text => show::letters(&letters),
    };
    Ok(io::stdout().write_all(text.as_bytes())?)
}

/// Page by page.
async fn letters(place: &Place, filter: &FilterArguments, limit: u32) -> Result<Vec<Value>, DeadLettersError> {
    let (mut letters, mut cursor) = (Vec::<Value>::new(), None::<String>);
    loop {
        let left = limit - u32::try_from(letters.len()).unwrap_or(limit);
        let mut query: Vec<(&str, String)> = vec![("limit", left.min(PAGE).to_string())];
        query.extend(filter.members());
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        let mut page = place.get(&format!("/api/v1/dead-letters?{}", encoded(&query))).await?;
        letters.extend(page["deadLetters"].as_array_mut().map(std::mem::take).unwrap_or_default());
        cursor = page["nextCursor"].as_str().map(str::to_owned);
        if cursor.is_none() || letters.len() >= limit as usize {
            return Ok(letters);
        }
    }
}

impl FilterArguments {
    fn members(&self) -> impl Iterator<Item = (&'static str, String)> {
        let reason = self.reason.clone().map(|reason| ("reason", reason));
        let time = |name, time: Option<Timestamp>| time.map(|time| (name, time.to_string()));
        [reason, time("since", self.since), time("until", self.until)].into_iter().flatten()
    }

    fn is_empty(&self) -> bool {
        self.members().next().is_none()
    }

    fn to_json(&self) -> Value {
        Value::Object(Map::from_iter(self.members().map(|(name, value)| (name.to_owned(), value.into()))))
    }
}

/// A time, or how long ago it was.
pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let ago = duration::parse(text)
        .map_err(|_| "write a time such as 2026-11-25T15:00:00Z, or how long ago: 24h".to_owned())?;
    Timestamp::now().checked_sub(ago).map_err(|_| "that is before the beginning of time".to_owned())
}

fn encoded(query: &[(&str, String)]) -> String {
    let base = reqwest::Url::parse_with_params("http://h/", query).expect("parameters are encoded");
    base.query().unwrap_or_default().to_owned()
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_how_long_ago_it_was() {
        assert_eq!(moment("1970-01-01T00:00:00Z"), Ok(Timestamp::UNIX_EPOCH));
        let ago = Timestamp::now().duration_since(moment("24h").expect("is one"));
        assert!((86_390..86_410).contains(&ago.as_secs()), "{ago}");
        assert!(moment("yesterday").is_err_and(|text| text.contains("24h")));
    }

    #[test]
    fn a_query_is_encoded() {
        let query = [("limit", "1".to_owned()), ("since", "2026-11-25T15:00:00+01:00".to_owned())];
        assert_eq!(encoded(&query), "limit=1&since=2026-11-25T15%3A00%3A00%2B01%3A00");
    }
}
