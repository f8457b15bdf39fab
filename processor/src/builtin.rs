//! The handlers that the binary brings, chosen at run time.

use crate::{
    Handler, Outcome, Work,
    demo::Demo,
    exec::{per_message::PerMessage, stream::Stream},
    http::Http,
};

/// One of the handlers that the binary brings; made by
/// [`HandlerSettings::build`](crate::handler_settings::HandlerSettings::build).
#[derive(Debug)]
pub struct Builtin(pub(crate) Kind);

#[derive(Debug)]
pub(crate) enum Kind {
    Demo(Demo),
    PerMessage(PerMessage),
    Stream(Stream),
    Http(Http),
}

impl Handler for Builtin {
    async fn handle(&self, work: Work<'_>) -> Outcome {
        match &self.0 {
            Kind::Demo(demo) => demo.handle(work).await,
            Kind::PerMessage(command) => command.handle(work).await,
            Kind::Stream(command) => command.handle(work).await,
            Kind::Http(http) => http.handle(work).await,
        }
    }
}
