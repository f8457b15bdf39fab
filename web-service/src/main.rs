//! `warren-web-service`: see `--help`.

use clap::Parser as _;
use std::process::ExitCode;
use warren_messaging::{error_chain::Chain, shutdown};
use warren_web_service::{service, settings::Settings};

#[tokio::main]
async fn main() -> ExitCode {
    let settings = Settings::parse();
    match start(settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("warren-web-service: {}", Chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

async fn start(settings: Settings) -> anyhow::Result<()> {
    settings.log.start()?;
    let stop = shutdown::on_signal()?;
    Ok(service::run(settings, stop).await?)
}
