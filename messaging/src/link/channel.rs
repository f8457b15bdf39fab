//! Channels of a connection on which others were refused.

use futures::future::join_all;
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

/// Asks all of one channel without waiting in between, and returns the answers in the order of the questions.
///
/// # Errors
/// The first in that order. A refusal closes the channel, and if it comes while some are still to be asked, lapin refuses
/// those on the spot with an `InvalidChannelState`, so that the first error in time need not be the broker's own.
pub async fn pipelined<T>(questions: Vec<impl Future<Output = lapin::Result<T>>>) -> lapin::Result<Vec<T>> {
    join_all(questions).await.into_iter().collect()
}

/// A broker refuses to open a channel by ending the connection: an error of a channel is not the answer to that.
fn is_of_an_earlier_channel(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error) if matches!(error.kind(), AMQPErrorKind::Soft(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapin::{
        ChannelState,
        protocol::{AMQPError, AMQPSoftError},
    };

    #[tokio::test]
    async fn a_refusal_is_the_brokers_though_lapin_refuses_what_comes_after_it_sooner() {
        let not_found = ErrorKind::ProtocolError(AMQPError::new(AMQPSoftError::NOTFOUND.into(), "no queue".into()));
        let question = async |wait: bool, answer: lapin::Result<u8>| {
            if wait {
                tokio::task::yield_now().await;
            }
            answer
        };
        let closing = ErrorKind::InvalidChannelState(ChannelState::Closing, "queue.declare");
        let asked = vec![
            question(true, Ok(1)),
            question(true, Err(not_found.clone().into())),
            question(false, Err(closing.into())),
        ];
        assert_eq!(pipelined(asked).await, Err(not_found.into()));
    }

    #[tokio::test]
    async fn answers_come_in_the_order_of_the_questions() {
        let asked = (0..100_u64).map(async |number| {
            tokio::time::sleep(std::time::Duration::from_millis(number * 7 % 5)).await;
            Ok(number)
        });
        let asked = asked.collect();
        assert_eq!(pipelined(asked).await, Ok((0..100).collect()));
    }
}
