//! Why a pod cannot run on this machine.

use crate::labels::Side;

/// Why a pod cannot run here.
#[derive(Debug, thiserror::Error)]
pub enum PodError {
    /// A Secret is neither in the file nor in the environment.
    #[error(
        "the key `{key}` of Secret `{secret}` is not in the file: add the Secret there, or set the environment \
         variable {variable}"
    )]
    SecretMissing {
        /// The Secret's name.
        secret: String,
        /// The key.
        key: String,
        /// The variable that it fills.
        variable: String,
    },
    /// A variable comes from something that only a cluster has.
    #[error("the variable {variable} comes from the cluster: set it in the environment of `local` instead")]
    SourceMissing {
        /// Which.
        variable: String,
    },
    /// An http handler that is nothing but an image.
    #[error(
        "its http handler is the image `{image}`, and images are not run here: give \
         spec.processor.handler.http.command, or run it yourself and say --handler-url {pipeline}=http://localhost:PORT/"
    )]
    ImageAlone {
        /// The image.
        image: String,
        /// The pipeline's name.
        pipeline: String,
    },
    /// A program of the user's in the place of Warren's.
    #[error(
        "its template has `{program}` in the place of {}, and images are not run here: set spec.{side}.managed: false \
         and start it yourself, with AMQP_URL and WARREN_EXCHANGE as its variables; or leave it out of the template, to \
         run Warren's",
        side.program()
    )]
    ForeignProgram {
        /// Its image, or its command.
        program: String,
        /// In whose place it stands.
        side: Side,
    },
}
