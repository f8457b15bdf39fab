//! `warren-operator probe`: asks an address over HTTP, for `helm test` and for images that have no shell.

use clap::Args;
use std::time::{Duration, Instant};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// For how long and how often it is asked again: a Service that was just made is known on every node after a moment only.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(500);

/// What to ask.
#[derive(Args, Debug)]
pub struct ProbeArguments {
    /// The address, such as http://warren-operator:8080/readyz
    #[arg(env = "WARREN_PROBE_URL", value_name = "URL")]
    url: reqwest::Url,
}

/// Why the probe failed.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// Nobody answered.
    #[error("{url} does not answer")]
    NoAnswer {
        /// The address.
        url: reqwest::Url,
        /// What the connection said.
        source: reqwest::Error,
    },
    /// Somebody answered with an error.
    #[error("{url} answers {status}")]
    Refused {
        /// The address.
        url: reqwest::Url,
        /// The status.
        status: reqwest::StatusCode,
    },
}

/// Asks until the answer is a good one, and prints the status.
///
/// # Errors
/// No answer, or none of the 200s, for some time.
pub async fn run(arguments: ProbeArguments) -> Result<(), ProbeError> {
    let until = Instant::now() + PATIENCE;
    loop {
        match ask(&arguments.url).await {
            Err(_) if Instant::now() < until => tokio::time::sleep(PAUSE).await,
            outcome => return outcome,
        }
    }
}

async fn ask(url: &reqwest::Url) -> Result<(), ProbeError> {
    let answer = reqwest::Client::new().get(url.clone()).timeout(TIMEOUT).send().await;
    let status = answer.map_err(|source| ProbeError::NoAnswer { url: url.clone(), source })?.status();
    if !status.is_success() {
        return Err(ProbeError::Refused { url: url.clone(), status });
    }
    println!("{url} answers {status}");
    Ok(())
}
