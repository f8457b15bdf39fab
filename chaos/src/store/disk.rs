//! The disk of a database file, and what can be wrong with it.

use anyhow::{Context as _, ensure};
use nix::{
    fcntl::{FallocateFlags, fallocate},
    mount::{MsFlags, mount},
    sys::statvfs::statvfs,
};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

/// The volumes of `local`: a small disk of their own, if there are rights to make one.
#[derive(Debug)]
pub struct Disk {
    volumes: PathBuf,
    /// Whether it is one of its own, that may be filled.
    pub is_small: bool,
}

impl Disk {
    /// Prepares the state directory of `local`. As root, [`unshare`] must have been called.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn prepare(state: &Path, mebibytes: u64) -> anyhow::Result<Self> {
        let volumes = state.join("volumes");
        fs::create_dir_all(&volumes)?;
        let is_small = nix::unistd::geteuid().is_root();
        if is_small {
            let size = format!("size={mebibytes}m");
            mount(Some("tmpfs"), &volumes, Some("tmpfs"), MsFlags::empty(), Some(size.as_str()))
                .with_context(|| format!("cannot mount a tmpfs on {}", volumes.display()))?;
        }
        Ok(Self { volumes, is_small })
    }

    /// Leaves no space on it for a while.
    ///
    /// # Errors
    /// It cannot be filled.
    pub async fn fill(&self, hold: Duration) -> anyhow::Result<()> {
        let ballast = self.ballast()?;
        tokio::time::sleep(hold).await;
        drop(ballast);
        Ok(())
    }

    /// The file that takes all that is free.
    fn ballast(&self) -> anyhow::Result<Ballast> {
        ensure!(self.is_small, "only a disk of its own is filled, which takes root");
        let path = self.volumes.join("ballast");
        let file = File::create(&path)?;
        let mut size = 0;
        // What others free or take meanwhile is taken too.
        for _ in 0..3 {
            let free = statvfs(&self.volumes)?.blocks_available() * statvfs(&self.volumes)?.fragment_size();
            size += free;
            if free > 0 {
                let _ = fallocate(&file, FallocateFlags::empty(), 0, size.cast_signed());
            }
        }
        Ok(Ballast(path))
    }

    /// Holds the write lock of the database for a while, as another process can.
    ///
    /// # Errors
    /// There is no database, or its lock is not to be had.
    pub async fn lock(&self, hold: Duration) -> anyhow::Result<()> {
        let file = self.database()?;
        let options = SqliteConnectOptions::new().filename(&file).busy_timeout(Duration::from_secs(30));
        let mut connection = SqliteConnection::connect_with(&options).await?;
        sqlx::query("BEGIN EXCLUSIVE").execute(&mut connection).await?;
        tokio::time::sleep(hold).await;
        sqlx::query("ROLLBACK").execute(&mut connection).await?;
        connection.close().await?;
        Ok(())
    }

    /// Copies what is on it to where it stays.
    ///
    /// # Errors
    /// It cannot be copied.
    pub fn keep(&self, at: &Path) -> anyhow::Result<()> {
        for (volume, file) in self.files() {
            let folder = at.join(volume.file_name().unwrap_or_default());
            fs::create_dir_all(&folder)?;
            fs::copy(&file, folder.join(file.file_name().unwrap_or_default()))?;
        }
        Ok(())
    }

    fn database(&self) -> anyhow::Result<PathBuf> {
        let is_database =
            |path: &PathBuf| path.extension().is_some_and(|extension| extension == "db" || extension == "sqlite");
        self.files().map(|(_, file)| file).find(is_database).context("the web side has no database file yet")
    }

    fn files(&self) -> impl Iterator<Item = (PathBuf, PathBuf)> {
        let entries = |path: &Path| fs::read_dir(path).into_iter().flatten().filter_map(Result::ok).map(|e| e.path());
        let volumes: Vec<PathBuf> = entries(&self.volumes).filter(|path| path.is_dir()).collect();
        volumes.into_iter().flat_map(move |volume| {
            let files: Vec<PathBuf> = entries(&volume).filter(|path| path.is_file()).collect();
            files.into_iter().map(move |file| (volume.clone(), file))
        })
    }
}

/// Takes all space until it is dropped.
#[derive(Debug)]
struct Ballast(PathBuf);

impl Drop for Ballast {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Gives this process mounts of its own, which are gone when it and its children are. To be called while it has a
/// single thread; does nothing without root.
///
/// # Errors
/// The system refuses it.
pub fn unshare() -> anyhow::Result<()> {
    if nix::unistd::geteuid().is_root() {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).context("cannot have mounts of our own")?;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).context("cannot have mounts of our own")?;
    }
    Ok(())
}
