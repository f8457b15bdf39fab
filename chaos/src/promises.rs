//! What the clients were promised: every id that came with a 202, kept in a file too.

use anyhow::Context as _;
use std::{
    collections::HashMap,
    fs::File,
    io::{BufWriter, Write as _},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// One promise.
#[derive(Clone, Copy, Debug)]
pub struct Promise {
    /// The task's number.
    pub number: u64,
    /// When its submit began.
    pub asked: Instant,
}

/// All promises. The lock is held for moments.
#[derive(Debug)]
pub struct Promises {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    by_id: HashMap<String, Promise>,
    /// In the order in which they were given.
    ids: Vec<String>,
    /// Ids that were given twice.
    repeated: Vec<String>,
    file: BufWriter<File>,
}

impl Promises {
    /// None yet; they will be written to this file, a line each: id, number.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn new(file: &Path) -> anyhow::Result<Self> {
        let file = BufWriter::new(File::create(file).with_context(|| file.display().to_string())?);
        let state = State { by_id: HashMap::new(), ids: Vec::new(), repeated: Vec::new(), file };
        Ok(Self { state: Mutex::new(state) })
    }

    /// Notes a promise.
    pub fn note(&self, id: String, promise: Promise) {
        let mut state = self.lock();
        // The file is for whoever looks into a failure; memory decides.
        let _ = writeln!(state.file, "{id} {}", promise.number);
        state.ids.push(id.clone());
        if state.by_id.insert(id.clone(), promise).is_some() {
            state.repeated.push(id);
        }
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().ids.len()
    }

    /// One of them, by a number that may be any.
    #[must_use]
    pub fn any(&self, number: usize) -> Option<String> {
        let state = self.lock();
        let index = number.checked_rem(state.ids.len())?;
        state.ids.get(index).cloned()
    }

    /// A copy of all, and the ids that were given twice. Writes the file out.
    #[must_use]
    pub fn all(&self) -> (HashMap<String, Promise>, Vec<String>) {
        let mut state = self.lock();
        let _ = state.file.flush();
        (state.by_id.clone(), state.repeated.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
