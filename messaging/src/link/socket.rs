//! The socket of a connection that is being made.

use std::{
    io,
    net::{Shutdown, TcpStream},
    os::fd::AsFd,
    sync::{Arc, Mutex, PoisonError},
};

/// The socket of a connection that is being made. lapin 4.12 goes on to wait for the peer's first word when nobody waits for
/// lapin any more, with a thread and the socket: each attempt at a peer that accepts connections and says nothing would keep
/// both.
#[derive(Clone, Default)]
pub(super) struct Socket(Arc<Mutex<Option<TcpStream>>>);

/// Shuts the socket down, unless it is given up before.
pub(super) struct Guard(Socket);

impl Socket {
    /// Remembers it, by a descriptor of its own.
    pub(super) fn remember(&self, socket: &impl AsFd) -> io::Result<()> {
        let copy = TcpStream::from(socket.as_fd().try_clone_to_owned()?);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(copy);
        Ok(())
    }

    /// Has whoever reads from it read its end when the guard is dropped.
    pub(super) fn guard(&self) -> Guard {
        Guard(self.clone())
    }

    fn take(&self) -> Option<TcpStream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Guard {
    /// Forgets the socket: as long as a descriptor is open, so is the connection.
    pub(super) fn give_up(self) {
        drop(self.0.take());
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(socket) = self.0.take() {
            // One that is closed already needs none.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}
