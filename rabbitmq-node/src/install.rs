//! Where RabbitMQ is installed.

use crate::NodeError;
use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// The server's real script. Debian puts a wrapper in `PATH` that insists on the users root and rabbitmq, so the
/// script behind it comes first.
const SERVERS: [&str; 3] = [
    "/usr/lib/rabbitmq/bin/rabbitmq-server",
    "/opt/rabbitmq/sbin/rabbitmq-server",
    "/opt/homebrew/sbin/rabbitmq-server",
];

/// Where Erlang lives when its port mapper is not in `PATH`.
const ERLANG_ROOTS: [&str; 4] =
    ["/usr/lib/erlang", "/usr/local/lib/erlang", "/usr/lib64/erlang", "/opt/homebrew/lib/erlang"];

/// The programs of an installed RabbitMQ.
#[derive(Debug, Clone)]
pub(crate) struct Install {
    /// `rabbitmq-server`.
    pub(crate) server: PathBuf,
    /// Erlang's port mapper.
    pub(crate) epmd: PathBuf,
}

impl Install {
    /// Finds them.
    pub(crate) fn find(server: Option<&Path>) -> Result<Self, NodeError> {
        Ok(Self { server: find_server(server)?, epmd: find_epmd()? })
    }

    /// The directories of the modules of which a boot loads most, to be searched first.
    ///
    /// Erlang looks for each of about 1,000 modules in some 50 directories, one after the other, and each look goes
    /// through another thread: 51,000 opens in vain, a third of the boot.
    pub(crate) fn busy_code(&self) -> Vec<PathBuf> {
        let script = fs::canonicalize(&self.server).unwrap_or_else(|_| self.server.clone());
        let Some(home) = script.ancestors().nth(2) else { return Vec::new() };
        let applications = entries(&home.join("plugins"));
        let is_busy = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            ["rabbit-", "rabbit_common-", "ra-"].iter().any(|busy| name.starts_with(busy))
        };
        applications.into_iter().filter(is_busy).map(|path| path.join("ebin")).filter(|path| path.is_dir()).collect()
    }
}

fn find_server(wanted: Option<&Path>) -> Result<PathBuf, NodeError> {
    let candidates: Vec<PathBuf> = match wanted {
        Some(path) => vec![path.to_owned()],
        None => SERVERS.iter().map(PathBuf::from).chain(in_path("rabbitmq-server")).collect(),
    };
    first_file("rabbitmq-server", candidates)
}

fn find_epmd() -> Result<PathBuf, NodeError> {
    let runtimes = ERLANG_ROOTS.iter().flat_map(|root| entries(Path::new(root)));
    let shipped = runtimes.filter(|path| path.to_string_lossy().contains("/erts-")).map(|path| path.join("bin/epmd"));
    first_file("epmd", in_path("epmd").chain(shipped).collect())
}

fn first_file(program: &'static str, candidates: Vec<PathBuf>) -> Result<PathBuf, NodeError> {
    if let Some(found) = candidates.iter().find(|path| path.is_file()) {
        return Ok(found.clone());
    }
    let folders: Vec<_> =
        candidates.iter().filter_map(|path| path.parent()).map(|path| path.display().to_string()).collect();
    Err(NodeError::NotInstalled { program, looked_in: folders.join(":") })
}

fn in_path(program: &'static str) -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(move |folder| folder.join(program)).collect::<Vec<_>>().into_iter()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.filter_map(Result::ok).map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_server_is_reported_with_the_ways_to_get_one() {
        let error = Install::find(Some(Path::new("/nowhere/rabbitmq-server"))).unwrap_err().to_string();
        assert!(
            error.contains("no rabbitmq-server in /nowhere. Install it (`apt-get install rabbitmq-server`"),
            "{error}"
        );
        assert!(error.ends_with("or set AMQP_URL to a broker that runs"), "{error}");
    }

    #[test]
    fn the_server_that_was_asked_for_wins() {
        let install = Install::find(Some(Path::new("/bin/sh"))).unwrap();
        assert_eq!(install.server, Path::new("/bin/sh"));
    }
}
