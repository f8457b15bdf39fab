//! One drawing per load: how many requests wait and how many replicas are asked for, over time.

use crate::{
    contender::{Contender, Contest},
    record::Record,
};
use std::fmt::Write as _;

const WIDTH: f64 = 800.0;
const LEFT: f64 = 48.0;
const RIGHT: f64 = 12.0;
/// Top and height of the two panels.
const BACKLOG: (f64, f64) = (52.0, 120.0);
const REPLICAS: (f64, f64) = (204.0, 150.0);
const HEIGHT: f64 = 380.0;
/// Shown before the first submit and after the last change, as parts of the time between.
const BEFORE: f64 = 0.02;
const AFTER: f64 = 0.03;

/// What is drawn first is covered by what comes later: colour, width and dashes.
const DRAWN: [(Contender, &str, f64, &str); 4] = [
    (Contender::Oracle, "#555555", 1.2, "2 3"),
    (Contender::Default, "#b9bec4", 1.8, ""),
    (Contender::Tuned, "#e69f00", 1.8, ""),
    (Contender::Warren, "#0072b2", 2.4, ""),
];

/// The drawing of the first run of each contender.
pub fn svg(contest: &Contest) -> String {
    let runs: Vec<_> = DRAWN
        .into_iter()
        .filter_map(|(contender, ..)| contest.runs.iter().find(|(other, ..)| *other == contender)?.1.first())
        .collect();
    let span = span(&runs);
    let mut out = String::new();
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
         font-family=\"Helvetica, Arial, sans-serif\" font-size=\"12\" fill=\"#333\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>"
    );
    legend(&mut out, contest.kind.name);
    panel(&mut out, BACKLOG, "requests waiting", span, &runs, backlog);
    panel(&mut out, REPLICAS, "replicas", span, &runs, replicas);
    times(&mut out, span);
    out.push_str("</svg>\n");
    out
}

/// From the first submit until all but KEDA's defaults have come to rest, with a little more.
fn span(runs: &[&Record]) -> (f64, f64) {
    let quick = runs.iter().zip(DRAWN).filter(|(_, (contender, ..))| *contender != Contender::Default);
    let end = quick.map(|(run, _)| run.settled().as_secs_f64()).fold(0.0, f64::max);
    let begin = runs.first().map_or(0.0, |run| run.begin.as_secs_f64());
    (begin - (end - begin) * BEFORE, end + (end - begin) * AFTER)
}

fn backlog(run: &Record) -> Vec<(f64, f64)> {
    run.backlog.iter().map(|(at, waiting)| (at.as_secs_f64(), *waiting as f64)).collect()
}

/// Each number holds until the next.
fn replicas(run: &Record) -> Vec<(f64, f64)> {
    let mut corners = Vec::new();
    for pair in run.asked.windows(2) {
        corners.push((pair[0].0.as_secs_f64(), pair[0].1.into()));
        corners.push((pair[1].0.as_secs_f64(), pair[0].1.into()));
    }
    corners.extend(run.asked.last().map(|(at, number)| (at.as_secs_f64(), f64::from(*number))));
    corners
}

fn panel(
    out: &mut String,
    (top, height): (f64, f64),
    title: &str,
    span: (f64, f64),
    runs: &[&Record],
    points: fn(&Record) -> Vec<(f64, f64)>,
) {
    let lines: Vec<_> = runs.iter().map(|run| points(run)).collect();
    let most = most(&lines, span);
    let step = tick(most, 3.0);
    let most = (most / step).ceil() * step;
    let y = |value: f64| top + height - value / most * height;
    let _ = writeln!(out, "<text x=\"{LEFT}\" y=\"{}\" font-weight=\"bold\">{title}</text>", top - 6.0);
    let mut value = 0.0;
    while value <= most {
        let (y, from, right) = (y(value), LEFT - 6.0, WIDTH - RIGHT);
        let _ = writeln!(out, "<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"#e6e8ea\"/>");
        let _ = writeln!(out, "<text x=\"{from}\" y=\"{:.1}\" text-anchor=\"end\">{value:.0}</text>", y + 4.0);
        value += step;
    }
    for (line, (_, colour, width, dashes)) in lines.iter().zip(DRAWN) {
        polyline(out, line, span, y, &style(colour, width, dashes));
    }
}

/// The largest value that will be seen.
fn most(lines: &[Vec<(f64, f64)>], span: (f64, f64)) -> f64 {
    lines.iter().flatten().filter(|(at, _)| *at <= span.1).map(|(_, value)| *value).fold(1.0, f64::max)
}

/// Seconds below the last panel, counted from the first submit.
fn times(out: &mut String, span: (f64, f64)) {
    let (step, begin) = (tick(span.1 - span.0, 8.0), span.0 + (span.1 - span.0) * BEFORE / (1.0 + BEFORE + AFTER));
    let (mut at, y) = (0.0, REPLICAS.0 + REPLICAS.1 + 18.0);
    while begin + at <= span.1 {
        let x = place(begin + at, span);
        let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{at:.0} s</text>");
        at += step;
    }
}

fn polyline(out: &mut String, line: &[(f64, f64)], span: (f64, f64), y: impl Fn(f64) -> f64, style: &str) {
    let from = line.iter().rposition(|(at, _)| *at <= span.0).unwrap_or(0);
    let to = line.iter().position(|(at, _)| *at > span.1).unwrap_or(line.len());
    let mut points: Vec<_> =
        line[from..to].iter().map(|(at, value)| (place(at.max(span.0), span), y(*value))).collect();
    // What holds at the end holds up to the edge.
    points.extend(points.last().map(|(_, y)| (WIDTH - RIGHT, *y)));
    let points: Vec<_> = points.into_iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ =
        writeln!(out, "<polyline fill=\"none\" stroke-linejoin=\"round\" {style} points=\"{}\"/>", points.join(" "));
}

/// Where a moment lies.
fn place(at: f64, span: (f64, f64)) -> f64 {
    LEFT + (at - span.0) / (span.1 - span.0) * (WIDTH - LEFT - RIGHT)
}

fn style(colour: &str, width: f64, dashes: &str) -> String {
    format!("stroke=\"{colour}\" stroke-width=\"{width}\" stroke-dasharray=\"{dashes}\"")
}

/// A round distance between marks, so that about `count` of them cover `range`.
fn tick(range: f64, count: f64) -> f64 {
    let rough = range / count;
    let power = 10_f64.powf(rough.log10().floor()).max(1.0);
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    steps.into_iter().find(|step| *step >= rough).unwrap_or(10.0 * power)
}

fn legend(out: &mut String, name: &str) {
    let _ = writeln!(out, "<text x=\"12\" y=\"20\" font-size=\"15\" font-weight=\"bold\">{name}</text>");
    for ((contender, colour, width, dashes), place) in DRAWN.iter().rev().zip(0_u8..) {
        let (x, to) = (320.0 + 125.0 * f64::from(place), 344.0 + 125.0 * f64::from(place));
        let _ = writeln!(out, "<path d=\"M{x} 16H{to}\" {}/>", style(colour, *width, dashes));
        let _ = writeln!(out, "<text x=\"{}\" y=\"20\">{}</text>", to + 6.0, contender.name());
    }
}

/// A file's name without blanks.
pub fn file_name(name: &str) -> String {
    format!("{}.svg", name.replace(' ', "-"))
}
