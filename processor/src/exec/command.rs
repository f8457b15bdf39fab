//! The command to run, looked up before any request depends on it.

use crate::handler_settings::HandlerError;
use nix::unistd::{AccessFlags, access};
use std::{
    env, io,
    path::{Path, PathBuf},
    process::Stdio,
};
use tokio::process;
use warren_messaging::settings::BROKER_VARIABLES;

/// A command that existed when it was looked up.
#[derive(Debug)]
pub(crate) struct Command {
    program: String,
    arguments: Vec<String>,
}

impl Command {
    /// Looks the program up, as the operating system will.
    pub(crate) fn find(words: Vec<String>) -> Result<Self, HandlerError> {
        let mut words = words.into_iter();
        let program = words.next().filter(|program| !program.is_empty()).ok_or(HandlerError::EmptyCommand)?;
        find(&program)?;
        Ok(Self { program, arguments: words.collect() })
    }

    /// Its name, for messages.
    pub(crate) fn program(&self) -> &str {
        &self.program
    }

    /// Ready to be started, with pipes to it, in a process group of its own: a timeout ends whatever it started
    /// too, and a Ctrl-C at the terminal does not reach it before the drain does. The broker's password is not its
    /// affair, nor that of whatever a request makes it do.
    pub(crate) fn prepare(&self) -> process::Command {
        let mut command = process::Command::new(&self.program);
        command.args(&self.arguments).process_group(0).kill_on_drop(true);
        for variable in BROKER_VARIABLES {
            command.env_remove(variable);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// What to say when it could not be started although it was there before.
    pub(crate) fn gone(&self, error: &io::Error) -> String {
        format!("cannot start `{}`: {error}", self.program)
    }
}

fn find(program: &str) -> Result<(), HandlerError> {
    let path = env::var("PATH").unwrap_or_default();
    let candidates: Vec<PathBuf> = if program.contains('/') {
        vec![PathBuf::from(program)]
    } else {
        env::split_paths(&path).map(|folder| folder.join(program)).collect()
    };
    if candidates.iter().any(|candidate| is_executable(candidate)) {
        return Ok(());
    }
    let program = program.to_owned();
    match candidates.into_iter().find(|candidate| candidate.exists()) {
        Some(_) => Err(HandlerError::NotExecutable { program }),
        None if program.contains('/') => Err(HandlerError::NoSuchFile { program }),
        None => Err(HandlerError::NotOnPath { program, path }),
    }
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && access(path, AccessFlags::X_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(program: &str) -> String {
        Command::find(vec![program.to_owned()]).expect_err("is refused").to_string()
    }

    #[test]
    fn what_cannot_be_run_is_refused_before_the_first_request() {
        let unknown = refusal("no-such-program");
        assert!(unknown.contains("`no-such-program`") && unknown.contains("PATH"), "{unknown}");
        assert!(refusal("/no/such/file").contains("does not exist"));
        assert!(refusal("/etc/passwd").contains("chmod"));
        assert!(refusal("").contains("empty"));
    }

    #[test]
    fn what_can_be_run_is_found_by_name_and_by_path() {
        for program in ["sh", "/bin/sh"] {
            assert!(Command::find(vec![program.to_owned()]).is_ok(), "{program}");
        }
    }
}
