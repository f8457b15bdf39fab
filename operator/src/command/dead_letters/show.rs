//! Dead letters and replays in words.

use serde_json::Value;

/// How much of an error a line shows, in characters.
const MOST_OF_A_MESSAGE: usize = 80;

/// A table, or that there is nothing to put into it.
pub(super) fn letters(letters: &[Value]) -> String {
    if letters.is_empty() {
        return "no dead letters\n".into();
    }
    let heading = ["FAILED AT", "REASON", "ATTEMPTS", "REPLAYS", "REQUEST", "MESSAGE"].map(str::to_owned);
    let rows: Vec<[String; 6]> = std::iter::once(heading).chain(letters.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; 5] = std::array::from_fn(width);
    let line = |row: &[String; 6]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}  "));
        format!("{}{}\n", cells.collect::<String>(), row[5])
    };
    rows.iter().map(line).collect()
}

fn row(letter: &Value) -> [String; 6] {
    let text = |name: &str| match &letter[name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let seconds = |time: String| time.split_once('.').map_or(time.clone(), |(whole, _)| format!("{whole}Z"));
    let failed_at = seconds(text("failedAt"));
    [failed_at, text("reason"), text("attempts"), text("replays"), text("requestId"), shortened(&text("message"))]
}

/// On one line; control characters of somebody's error do nothing to a terminal.
fn shortened(message: &str) -> String {
    let clean: String = message.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    match clean.char_indices().nth(MOST_OF_A_MESSAGE) {
        Some((end, _)) => format!("{}…", &clean[..end]),
        None => clean,
    }
}

/// How far a replay is, on one line.
pub(super) fn job(job: &Value) -> String {
    let count = |name: &str| job[name].as_u64().unwrap_or_default();
    let (id, status) = (job["jobId"].as_str().unwrap_or_default(), job["status"].as_str().unwrap_or_default());
    let mut text = format!("replay {id} {status}: {} of {} replayed", count("replayed"), count("total"));
    for (name, words) in [("skipped", why_skipped(job)), ("failed", why_failed(job).to_owned())] {
        if count(name) > 0 {
            text.push_str(&format!(", {} {words}", count(name)));
        }
    }
    if let Some(reason) = job["waitingFor"].as_str() {
        text.push_str(&format!("; waiting for {reason}"));
    }
    text
}

/// What is said of a number of skipped requests.
fn why_skipped(job: &Value) -> String {
    let reasons = [
        ("neverAccepted", "never accepted"),
        ("inFlight", "not ended yet"),
        ("forgotten", "older than records, so perhaps never accepted: --include-forgotten replays them"),
    ];
    let count = |name: &str| job["skippedBecause"][name].as_u64().filter(|count| *count > 0);
    let told = reasons.into_iter().filter_map(|(name, words)| Some(format!("{} {words}", count(name)?)));
    match told.collect::<Vec<_>>().join(", ") {
        told if told.is_empty() => "needed none".into(),
        told => format!("left out ({told})"),
    }
}

/// What is said of a number of requests that could not be replayed.
pub(super) fn why_failed(job: &Value) -> &'static str {
    if job["source"] == "journal" { "no longer in the journal" } else { "without a dead letter on record" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn letters_are_a_table_with_one_line_each() {
        let one = json!({"requestId": 7, "replays": 0, "attempts": 5, "failedAt": "2026-11-25T15:00:00.5Z",
                         "reason": "attempts_exhausted", "message": "no\nluck\u{1b}[31m"});
        let text = letters(&[one]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[1].starts_with("2026-11-25T15:00:00Z  attempts_exhausted  5"), "{text}");
        assert!(lines[1].ends_with("7        no luck [31m"), "{text}");
        assert_eq!(letters(&[]), "no dead letters\n");
    }

    #[test]
    fn a_replay_tells_how_far_it_is_and_what_it_waits_for() {
        let running = json!({"jobId": "j", "status": "running", "total": 3, "replayed": 1, "skipped": 1, "failed": 0,
                             "waitingFor": "room in the queue"});
        assert_eq!(job(&running), "replay j running: 1 of 3 replayed, 1 needed none; waiting for room in the queue");
    }

    #[test]
    fn a_replay_of_the_journal_tells_why_it_left_requests_out() {
        let done = json!({"jobId": "j", "status": "done", "source": "journal", "total": 6, "replayed": 1, "skipped": 4,
                          "failed": 1, "skippedBecause": {"neverAccepted": 3, "inFlight": 1, "forgotten": 0}});
        let text = "replay j done: 1 of 6 replayed, 4 left out (3 never accepted, 1 not ended yet), \
                    1 no longer in the journal";
        assert_eq!(job(&done), text);
    }
}
