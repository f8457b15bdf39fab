//! The results as Markdown.

use crate::{
    contender::{Contender, Contest},
    summary::Summary,
};

/// Pod-seconds at most this multiple of the oracle's are the aim.
const MOST_POD_SECONDS: f64 = 1.2;
/// Changes of direction at most this multiple of the oracle's are the aim.
const MOST_TURNS: f64 = 2.0;

/// Every figure of all contenders; Warren's are bold where they miss an aim.
pub fn full(contests: &[Contest]) -> String {
    let mut lines = vec![
        "| load | | first s | p50 s | p99 s | Pod-seconds | of the oracle's | turns | busy kills | redelivered |"
            .into(),
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|".to_owned(),
    ];
    for contest in contests {
        lines.extend(contest.runs.iter().map(|(contender, _, summary)| row(contest, *contender, summary)));
    }
    lines.join("\n")
}

fn row(contest: &Contest, contender: Contender, summary: &Summary) -> String {
    let (oracle, tuned) = (contest.of(Contender::Oracle), contest.of(Contender::Tuned));
    let share = summary.pod_seconds / oracle.pod_seconds;
    let aims = matches!(contender, Contender::Warren | Contender::Drain);
    let mark = |text: String, missed: bool| if aims && missed { format!("**{text}**") } else { text };
    let cells = [
        if contender == Contender::ALL[0] { contest.kind.name.into() } else { String::new() },
        contender.name().into(),
        format!("{:.1}", summary.first),
        format!("{:.1}", summary.p50),
        mark(format!("{:.1}", summary.p99), summary.p99 > tuned.p99),
        format!("{:.0}", summary.pod_seconds),
        mark(format!("{share:.2}"), share > MOST_POD_SECONDS),
        mark(format!("{:.1}", summary.turns), summary.turns > MOST_TURNS * oracle.turns),
        mark(format!("{:.1}", summary.busy_kills), summary.busy_kills > 0.0),
        format!("{:.1}", summary.redelivered),
    ];
    format!("| {} |", cells.join(" | "))
}

/// One row per load, with the figures that matter most to a user.
pub fn brief(contests: &[Contest]) -> String {
    const SHOWN: [Contender; 3] = [Contender::Warren, Contender::Tuned, Contender::Default];
    let figures: [fn(&Summary, &Summary) -> String; 3] = [
        |it, _| format!("{:.1}", it.p99),
        |it, oracle| format!("{:.2}", it.pod_seconds / oracle.pod_seconds),
        |it, _| format!("{:.1}", it.busy_kills),
    ];
    let mut lines = vec![
        "| | p99 wait, s | | | Pod-seconds ÷ oracle's | | | busy Pods stopped | | |".to_owned(),
        format!("|---{}|", "|--:".repeat(9)),
        format!("| |{}", " Warren | KEDA, tuned | KEDA, default |".repeat(3)),
    ];
    for contest in contests {
        let oracle = contest.of(Contender::Oracle);
        let cells = figures.iter().flat_map(|figure| SHOWN.map(|contender| figure(contest.of(contender), oracle)));
        lines.push(format!("| {} | {} |", contest.kind.name, cells.collect::<Vec<_>>().join(" | ")));
    }
    lines.join("\n")
}

/// What each load is.
pub fn loads(contests: &[Contest]) -> String {
    let line = |contest: &Contest| format!("- **{}**: {}.", contest.kind.name, contest.kind.about);
    contests.iter().map(line).collect::<Vec<_>>().join("\n")
}
