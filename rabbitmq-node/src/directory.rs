//! The node's directory: made, locked against a second node, and removed if it was for a test only.

use crate::{NodeError, Ports, Settings, config};
use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// How long a former node, whose owner was killed, may take to be gone.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);

/// From this size on the log of former runs is put aside: 8 MiB.
const LOG_SIZE: u64 = 8 << 20;

/// How much of the log an error shows.
const TAIL_LINES: usize = 25;

/// The node's directory, held by this process while this exists.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    lock: File,
    ephemeral: bool,
}

impl Directory {
    /// Makes and locks it.
    pub(crate) async fn open(settings: &Settings) -> Result<Self, NodeError> {
        make(&settings.directory)?;
        // Erlang wants absolute paths: it runs elsewhere.
        let path = fs::canonicalize(&settings.directory).map_err(unusable(&settings.directory))?;
        make(&path.join("home"))?;
        let lock = lock(&path).await?;
        Ok(Self { path, lock, ephemeral: settings.ephemeral })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it goes when the node goes.
    pub(crate) fn is_ephemeral(&self) -> bool {
        self.ephemeral
    }

    /// A file or directory in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The lock, for a child to inherit: the lock is held until the last of its holders is gone, so that a node that
    /// outlives its owner for a moment still keeps others away.
    pub(crate) fn lock_for_child(&self) -> Result<File, NodeError> {
        self.lock.try_clone().map_err(unusable(&self.file("lock")))
    }

    /// Writes what the node reads at its start.
    pub(crate) fn configure(&self, settings: &Settings, ports: &Ports) -> Result<(), NodeError> {
        let config = self.file("node.config");
        fs::write(&config, config::erlang_terms(settings, ports)).map_err(unusable(&config))?;
        let plugins = self.file("enabled_plugins");
        fs::write(&plugins, config::plugins(settings.management)).map_err(unusable(&plugins))?;
        if let Some(member) = &settings.member {
            self.set_cookie(&member.cookie)?;
        }
        self.close_cookie()
    }

    /// The cookie of its cluster. An earlier one cannot be written over: Erlang keeps it from its owner, too.
    fn set_cookie(&self, cookie: &str) -> Result<(), NodeError> {
        let path = self.file("home/.erlang.cookie");
        if fs::read_to_string(&path).is_ok_and(|held| held == cookie) {
            return Ok(());
        }
        let _ = fs::remove_file(&path);
        fs::write(&path, cookie).map_err(unusable(&path))
    }

    /// Erlang refuses a cookie that others can read, as it may be after a copy or a restored backup.
    fn close_cookie(&self) -> Result<(), NodeError> {
        let cookie = self.file("home/.erlang.cookie");
        match fs::set_permissions(&cookie, Permissions::from_mode(0o600)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unusable(&cookie)(error)),
            _ => Ok(()),
        }
    }

    /// The log of node and port mapper.
    pub(crate) fn log(&self) -> PathBuf {
        self.file("rabbitmq.log")
    }

    /// The log, open for appending; a long one of former runs is put aside first.
    pub(crate) fn open_log(&self) -> Result<File, NodeError> {
        let path = self.log();
        if fs::metadata(&path).is_ok_and(|log| log.len() > LOG_SIZE) {
            fs::rename(&path, self.file("rabbitmq.log.1")).map_err(unusable(&path))?;
        }
        OpenOptions::new().create(true).append(true).open(&path).map_err(unusable(&path))
    }

    /// The last lines of the log.
    pub(crate) fn log_tail(&self) -> String {
        tail(&self.log())
    }
}

/// The last lines of a log.
pub(crate) fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    match lines.len() {
        0 => "(nothing)".to_owned(),
        count => lines[count.saturating_sub(TAIL_LINES)..].join("\n"),
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Explicitly, for a dying process of the node may hold the same lock for another millisecond.
        let _ = self.lock.unlock();
        if self.ephemeral
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            tracing::debug!(%error, path = %self.path.display(), "cannot remove the directory of a node");
        }
    }
}

/// For this user only: whoever reads the cookie can run code in the node.
fn make(path: &Path) -> Result<(), NodeError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(unusable(path))
}

async fn lock(directory: &Path) -> Result<File, NodeError> {
    let path = directory.join("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).read(true).open(&path);
    let file = file.map_err(unusable(&path))?;
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(source)) => return Err(unusable(&path)(source)),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(Duration::from_millis(50)).await,
            Err(TryLockError::WouldBlock) => return Err(NodeError::InUse { directory: directory.to_owned() }),
        }
    }
}

fn unusable(path: &Path) -> impl FnOnce(io::Error) -> NodeError + use<> {
    let path = path.to_owned();
    move |source| NodeError::Directory { path, source }
}
