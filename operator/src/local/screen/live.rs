//! For a terminal: lines scroll by above a panel that stays.

use super::{lines, panel};
use crate::local::board::{Board, State};
use ratatui::{
    Terminal, TerminalOptions, Viewport,
    backend::CrosstermBackend,
    style::{Style, Stylize as _},
    text::{Line, Span},
    widgets::{Block, Borders, Paragraph, Widget as _},
};
use std::{
    io::{self, Stdout},
    time::Duration,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How often the panel is drawn.
const INTERVAL: Duration = Duration::from_millis(250);
/// Lines of the panel: its title, and those of a pipeline without trouble. Further pipelines make it taller, up to
/// three.
const TITLE: u16 = 1;
const PIPELINE: u16 = 6;
const MAX_PIPELINES: u16 = 3;
/// The most lines that are printed between two drawings, so that a flood does not freeze the panel.
const FLOOD: usize = 200;

pub(super) type Screen = Terminal<CrosstermBackend<Stdout>>;

/// # Errors
/// The terminal does not answer.
pub(super) fn open(pipelines: usize) -> io::Result<Screen> {
    let pipelines = u16::try_from(pipelines).unwrap_or(MAX_PIPELINES).clamp(1, MAX_PIPELINES);
    let options = TerminalOptions { viewport: Viewport::Inline(TITLE + PIPELINE * pipelines) };
    Terminal::with_options(CrosstermBackend::new(io::stdout()), options)
}

pub(super) async fn draw(
    mut screen: Screen,
    mut lines: mpsc::UnboundedReceiver<lines::Line>,
    board: Board,
    stop: CancellationToken,
) {
    let mut interval = tokio::time::interval(INTERVAL);
    let mut gathered = Vec::new();
    loop {
        let open = tokio::select! {
            biased;
            received = lines.recv_many(&mut gathered, FLOOD) => received > 0,
            () = stop.cancelled() => false,
            _ = interval.tick() => true,
        };
        // A terminal that went away is no reason to end a pipeline.
        let _ = insert(&mut screen, &mut gathered).and_then(|()| show(&mut screen, &board.state()));
        if !open {
            break;
        }
    }
    let _ = screen.clear();
    let _ = screen.show_cursor();
}

fn insert(screen: &mut Screen, lines: &mut Vec<lines::Line>) -> io::Result<()> {
    for line in lines.drain(..) {
        let rows = rows(&without_escapes(&line.text), screen.size()?.width.max(1).into());
        let height = u16::try_from(rows.len()).unwrap_or(u16::MAX);
        let paragraph = Paragraph::new(rows);
        screen.insert_before(height, |buffer| paragraph.render(buffer.area, buffer))?;
    }
    Ok(())
}

/// A line as the terminal would break it.
fn rows(text: &str, width: usize) -> Vec<Line<'static>> {
    let letters: Vec<char> = text.chars().filter(|letter| !letter.is_control()).collect();
    if letters.is_empty() {
        return vec![Line::default()];
    }
    letters.chunks(width).map(|row| Line::from(row.iter().collect::<String>())).collect()
}

fn show(screen: &mut Screen, state: &State) -> io::Result<()> {
    let title = format!(" Warren · {} restarts · Ctrl-C ends ", state.restarts);
    let block = Block::new().borders(Borders::TOP).title(title).border_style(Style::new().dim());
    let lines: Vec<Line<'_>> = state.pipelines.keys().flat_map(|name| pipeline(state, name)).collect();
    screen.draw(|frame| frame.render_widget(Paragraph::new(lines).block(block), frame.area()))?;
    Ok(())
}

fn pipeline(state: &State, name: &str) -> Vec<Line<'static>> {
    let Some(pipeline) = state.pipelines.get(name) else { return Vec::new() };
    let address = pipeline.port.map(|port| format!("  http://localhost:{port}")).unwrap_or_default();
    let headline = panel::headline(state, name, pipeline);
    let mut lines = vec![
        Line::from(vec![Span::from(name.to_owned()).bold(), address.dim(), format!("   {headline}").into()]),
        Line::from(format!("  {}", panel::queues(pipeline))),
    ];
    lines.extend(pipeline.outcomes.iter().map(|outcome| Line::from(format!("  {outcome}")).dim()));
    lines.extend(pipeline.trouble.iter().map(|trouble| Line::from(format!("  {trouble}")).red()));
    lines
}

/// Colour codes of log lines do not belong in cells.
fn without_escapes(text: &str) -> String {
    let (mut plain, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        // A control sequence ends with its first letter.
        let end = after.find(|letter: char| letter.is_ascii_alphabetic()).map_or(after.len(), |at| at + 1);
        rest = &after[end..];
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_codes_do_not_reach_the_panel() {
        assert_eq!(without_escapes("\u{1b}[2m10:00\u{1b}[0m \u{1b}[32mINFO\u{1b}[0m ok"), "10:00 INFO ok");
        assert_eq!(without_escapes("cut \u{1b}[3"), "cut ");
    }

    #[test]
    fn a_long_line_breaks_at_the_terminals_edge() {
        assert_eq!(rows("abcde", 2).len(), 3);
        assert_eq!(rows("", 2).len(), 1);
    }
}
