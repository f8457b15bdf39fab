//! Channels of a connection on which others were refused.

use lapin::{Channel, Connection, ErrorKind, protocol::AMQPErrorKind};

/// Opens a channel. All of Warren's come from here: once the broker has closed a channel (with the 404 for a missing queue,
/// say), lapin 4.12 answers whoever is given its number again with that old error, and never sends what was asked. Numbers
/// come round after 2,047 channels; one with an old error is passed over here, and lapin gives it out no more.
///
/// # Errors
/// The connection is of no more use: it ended, or no number is left on it.
pub async fn open_channel(connection: &Connection) -> lapin::Result<Channel> {
    loop {
        match connection.create_channel().await {
            Err(error) if is_of_an_earlier_channel(&error) => {}
            answer => return answer,
        }
    }
}

/// A broker refuses to open a channel by ending the connection: an error of a channel is not the answer to that.
fn is_of_an_earlier_channel(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error) if matches!(error.kind(), AMQPErrorKind::Soft(_)))
}
