//! Options that choose and shape the handler of the binary.

mod error;
mod words;

pub use error::HandlerError;

use crate::{
    builtin::{Builtin, Kind},
    demo::Demo,
    exec::{command::Command, per_message::PerMessage, stream::Stream},
    http::Http,
};
use clap::{Args, ValueEnum};
use std::{fmt, time::Duration};
use warren_messaging::duration;
use words::Words;

/// Environment variable of the kind of handler.
pub const HANDLER: &str = "WARREN_HANDLER";
/// Environment variable of the demo's delay.
pub const DEMO_DELAY: &str = "WARREN_DEMO_DELAY";
/// Environment variable of the command, a JSON array.
pub const EXEC_COMMAND: &str = "WARREN_EXEC_COMMAND";
/// Environment variable of the command's mode.
pub const EXEC_MODE: &str = "WARREN_EXEC_MODE";
/// Environment variable of the HTTP server's address.
pub const HTTP_URL: &str = "WARREN_HTTP_URL";
/// Environment variable of the largest result.
pub const MAX_RESULT_BYTES: &str = "WARREN_MAX_RESULT_BYTES";

/// The largest result that may be allowed, in bytes: as a message it has the request's id beside it, and RabbitMQ takes
/// 16 MiB.
const LARGEST_RESULT: i64 = 15 * 1024 * 1024;

/// The demo's delay, where none is given.
const DEFAULT_DEMO_DELAY: Duration = Duration::from_secs(5);

/// Which handler to run, and how.
#[derive(Args, Debug)]
#[command(next_help_heading = "Handler")]
pub struct HandlerSettings {
    /// Who does the work
    #[arg(long, env = HANDLER, value_name = "KIND", required = true)]
    handler: Option<HandlerKind>,

    /// demo: how long to wait before answering [default: 5s]
    #[arg(long, env = DEMO_DELAY, value_name = "DURATION", value_parser = duration::parse)]
    demo_delay: Option<Duration>,

    /// exec: the command as a JSON array, ["python3", "resize.py"]; or write it after `--`
    #[arg(long, env = EXEC_COMMAND, value_name = "JSON")]
    exec_command: Option<Words>,

    /// exec: when to start the command [default: per-message]
    #[arg(long, env = EXEC_MODE, value_name = "MODE")]
    exec_mode: Option<ExecMode>,

    /// http: where to POST each request, http://127.0.0.1:8000/
    #[arg(long, env = HTTP_URL, hide_env_values = true, value_name = "URL")]
    http_url: Option<String>,

    /// exec, http: the largest result, in bytes; larger ones are refused for good
    #[arg(long, env = MAX_RESULT_BYTES, value_name = "BYTES", default_value_t = 4 * 1024 * 1024,
          value_parser = clap::value_parser!(u32).range(1..=LARGEST_RESULT))]
    max_result_bytes: u32,

    /// exec: the command and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Who does the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HandlerKind {
    /// The original demo's: waits, then appends "-processed"
    Demo,
    /// A command: JSON on standard input, JSON on standard output
    Exec,
    /// An HTTP server: JSON in the POST's body, JSON in the answer's
    Http,
}

/// When a command is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExecMode {
    /// Once per request; exit code 0 is done, 75 is try again, others are final
    PerMessage,
    /// Once per request in work at a time, and kept: a line {"requestId", "attempt", "data"} in, a line
    /// {"result"} or {"error", "retry"} out
    Stream,
}

impl fmt::Display for HandlerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Demo => "demo",
            Self::Exec => "exec",
            Self::Http => "http",
        })
    }
}

impl HandlerSettings {
    /// The handler.
    ///
    /// # Errors
    /// Options are missing or contradict each other, or what they name can never work.
    pub fn build(self) -> Result<Builtin, HandlerError> {
        let kind = self.handler.ok_or(HandlerError::NoHandler)?;
        self.refuse_foreign(kind)?;
        let max_result_bytes = usize::try_from(self.max_result_bytes).unwrap_or(usize::MAX);
        Ok(Builtin(match kind {
            HandlerKind::Demo => Kind::Demo(Demo { delay: self.demo_delay.unwrap_or(DEFAULT_DEMO_DELAY) }),
            HandlerKind::Http => {
                let missing = HandlerError::Missing { handler: kind, option: "--http-url", variable: HTTP_URL };
                Kind::Http(Http::new(&self.http_url.ok_or(missing)?, max_result_bytes)?)
            }
            HandlerKind::Exec => self.exec(max_result_bytes)?,
        }))
    }

    fn exec(self, max_result_bytes: usize) -> Result<Kind, HandlerError> {
        let words = match (self.exec_command, self.command) {
            (Some(Words(words)), command) if command.is_empty() => words,
            (Some(_), _) => return Err(HandlerError::TwoCommands),
            (None, command) if command.is_empty() => {
                let option = "the command after `--`, or --exec-command";
                return Err(HandlerError::Missing { handler: HandlerKind::Exec, option, variable: EXEC_COMMAND });
            }
            (None, command) => command,
        };
        let command = Command::find(words)?;
        Ok(match self.exec_mode.unwrap_or(ExecMode::PerMessage) {
            ExecMode::PerMessage => Kind::PerMessage(PerMessage { command, max_result_bytes }),
            ExecMode::Stream => Kind::Stream(Stream::new(command, max_result_bytes)),
        })
    }

    /// An option of another handler is a misunderstanding that should not wait until something is missed.
    fn refuse_foreign(&self, chosen: HandlerKind) -> Result<(), HandlerError> {
        let given = [
            (HandlerKind::Demo, "--demo-delay", DEMO_DELAY, self.demo_delay.is_some()),
            (HandlerKind::Exec, "--exec-command", EXEC_COMMAND, self.exec_command.is_some()),
            (HandlerKind::Exec, "--exec-mode", EXEC_MODE, self.exec_mode.is_some()),
            (HandlerKind::Exec, "a command after `--`", EXEC_COMMAND, !self.command.is_empty()),
            (HandlerKind::Http, "--http-url", HTTP_URL, self.http_url.is_some()),
        ];
        match given.into_iter().find(|(owner, _, _, given)| *given && *owner != chosen) {
            Some((owner, option, variable, _)) => Err(HandlerError::Foreign { chosen, owner, option, variable }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Options {
        #[command(flatten)]
        handler: HandlerSettings,
    }

    fn build(arguments: &[&str]) -> Result<Builtin, String> {
        let arguments = ["program"].iter().chain(arguments);
        let options = Options::try_parse_from(arguments).map_err(|error| error.to_string())?;
        options.handler.build().map_err(|error| error.to_string())
    }

    fn refusal(arguments: &[&str]) -> String {
        build(arguments).err().unwrap_or_else(|| panic!("{arguments:?} is accepted"))
    }

    #[test]
    fn each_handler_is_chosen_by_its_options() {
        type Is = fn(&Kind) -> bool;
        let kinds: [(&[&str], Is); 5] = [
            (&["--handler", "demo"], |kind| matches!(kind, Kind::Demo(demo) if demo.delay == DEFAULT_DEMO_DELAY)),
            (&["--handler", "exec", "--", "sh", "-c", "cat"], |kind| matches!(kind, Kind::PerMessage(_))),
            (&["--handler=exec", "--exec-command", r#"["sh"]"#], |kind| matches!(kind, Kind::PerMessage(_))),
            (&["--handler=exec", "--exec-mode=stream", "--", "sh"], |kind| matches!(kind, Kind::Stream(_))),
            (&["--handler=http", "--http-url=http://127.0.0.1:1"], |kind| matches!(kind, Kind::Http(_))),
        ];
        for (arguments, is_kind) in kinds {
            let built = build(arguments);
            assert!(built.as_ref().is_ok_and(|Builtin(kind)| is_kind(kind)), "{arguments:?}: {built:?}");
        }
    }

    #[test]
    fn options_that_contradict_each_other_are_refused_with_the_way_out() {
        for (arguments, words) in [
            (&["--handler=exec"][..], "WARREN_EXEC_COMMAND"),
            (&["--handler=http"], "WARREN_HTTP_URL"),
            (&["--handler=exec", "--exec-command", r#"["sh"]"#, "--", "sh"], "twice"),
            (&["--handler=demo", "--", "sh"], "--handler exec"),
            (&["--handler=http", "--http-url=http://a", "--demo-delay=1s"], "--handler demo"),
            (&["--handler=exec", "--exec-command", "sh -c cat"], "JSON array"),
            (&["--handler=exec", "--exec-command", "[]"], "empty"),
            (&["--handler=demo", "--max-result-bytes=15728641"], "15728640"),
            (&[], "--handler"),
        ] {
            let refusal = refusal(arguments);
            assert!(refusal.contains(words), "{arguments:?}: {refusal}");
        }
    }
}
