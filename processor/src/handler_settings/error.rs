//! Why a handler cannot be had.

use super::HandlerKind;

/// Why a handler cannot be had as it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// No handler was chosen.
    #[error("no handler is chosen: give --handler demo, exec or http (WARREN_HANDLER)")]
    NoHandler,
    /// An option that the handler needs was not given.
    #[error("the handler {handler} needs {option} ({variable})")]
    Missing {
        /// The chosen handler.
        handler: HandlerKind,
        /// The option.
        option: &'static str,
        /// Its environment variable.
        variable: &'static str,
    },
    /// An option of another handler was given.
    #[error("{option} ({variable}) is for --handler {owner}, but {chosen} is chosen: leave it out, or choose {owner}")]
    Foreign {
        /// The chosen handler.
        chosen: HandlerKind,
        /// Whose option it is.
        owner: HandlerKind,
        /// The option.
        option: &'static str,
        /// Its environment variable.
        variable: &'static str,
    },
    /// A command in the options or environment, and another after `--`.
    #[error("the command is given twice, after `--` and by --exec-command (WARREN_EXEC_COMMAND): leave one out")]
    TwoCommands,
    /// A command without a program.
    #[error("the command is empty: name a program, such as [\"python3\", \"resize.py\"]")]
    EmptyCommand,
    /// No program of this name.
    #[error("there is no program `{program}` in PATH ({path}): install it in this image, or give its full path")]
    NotOnPath {
        /// The program.
        program: String,
        /// Where it was looked for.
        path: String,
    },
    /// No program at this path.
    #[error("the program `{program}` does not exist: check the path, and that it is in this image")]
    NoSuchFile {
        /// The program.
        program: String,
    },
    /// A file that is no program.
    #[error("`{program}` exists but cannot be executed: `chmod +x` it, or name the interpreter first")]
    NotExecutable {
        /// The program.
        program: String,
    },
    /// Not an address. Where in it a password stands cannot be known, so it is not shown.
    #[error("--http-url (WARREN_HTTP_URL) is no URL: write one such as http://127.0.0.1:8000/")]
    BadUrl(#[source] <reqwest::Url as std::str::FromStr>::Err),
    /// TLS, which this build does not speak.
    #[error(
        "`{url}` needs TLS, which this worker does not speak: use http:// to a neighbour that does, or POST from a \
         command (--handler exec -- curl …)"
    )]
    Https {
        /// What was given, without user, password and query.
        url: String,
    },
    /// Something else than HTTP: not shown, for `user:password@host:8000` is read as one, too.
    #[error(
        "--http-url (WARREN_HTTP_URL) does not begin with http://: write an address such as http://127.0.0.1:8000/"
    )]
    NotHttp,
    /// The HTTP client cannot be made.
    #[error("cannot make an HTTP client")]
    Client(#[source] reqwest::Error),
}
