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
pub(super) struct Socket(Arc<Mutex<State>>);

#[derive(Default)]
enum State {
    /// It is not open yet.
    #[default]
    Awaited,
    Open(TcpStream),
    /// Nobody waits for it any more. lapin may open it all the same.
    Unwanted,
}

/// Shuts the socket down, unless it is given up before.
pub(super) struct Guard(Socket);

impl Socket {
    /// Remembers it, by a descriptor of its own.
    pub(super) fn remember(&self, socket: &impl AsFd) -> io::Result<()> {
        let copy = TcpStream::from(socket.as_fd().try_clone_to_owned()?);
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Unwanted) {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "nobody waits for the connection any more"));
        }
        *state = State::Open(copy);
        Ok(())
    }

    /// Has whoever reads from it read its end when the guard is dropped.
    pub(super) fn guard(&self) -> Guard {
        Guard(self.clone())
    }

    /// Whatever comes now is not wanted any more.
    fn take(&self) -> Option<TcpStream> {
        match std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), State::Unwanted) {
            State::Open(socket) => Some(socket),
            State::Awaited | State::Unwanted => None,
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_socket_that_opens_when_nobody_waits_any_more_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("is free");
        let opened = TcpStream::connect(listener.local_addr().expect("has one")).expect("is accepted");
        let socket = Socket::default();
        let guard = socket.guard();
        socket.remember(&opened).expect("is awaited");
        drop(guard);
        let again = Socket::default();
        drop(again.guard());
        assert!(again.remember(&opened).is_err());
    }
}
