//! Submits: the real web side beside a bare publisher with as many confirms in flight as it has clients.

use crate::{
    bare_publisher::BareLane,
    broker::Broker,
    http_lane::{self, HttpLane},
    load::{self, Measured},
    options::Options,
    outcome::{Outcome, Round},
    program::Program,
    progress, sample,
    usage::{Memory, Watched},
};
use anyhow::bail;
use std::{path::Path, time::Duration};
use tokio::time::Instant;
use warren_messaging::topology::REQUEST_KEY;
use warren_rabbitmq_node::free_port;

/// How long the web side may take until it accepts requests.
const READY: Duration = Duration::from_secs(20);

/// Measures all numbers of connections, and what the web side's memory is afterwards.
pub async fn measure(
    broker: &Broker,
    scratch: &Path,
    options: &Options,
) -> anyhow::Result<(Vec<Outcome>, Option<Memory>)> {
    if options.connections.0.is_empty() {
        return Ok((Vec::new(), None));
    }
    let mut web = Web::start(broker, scratch).await?;
    let mut outcomes = Vec::new();
    for &connections in &options.connections.0 {
        let mut rounds = Vec::new();
        for number in 1..=options.rounds {
            let bare = bare(broker, connections, options.window()).await?;
            progress::tell("bare publisher", connections, number, &bare);
            let warren = web.load(broker, connections, options.window()).await?;
            progress::tell("web side", connections, number, &warren);
            rounds.push(Round { warren, bare });
        }
        outcomes.push(Outcome { many: connections, rounds });
    }
    let memory = web.program.memory()?;
    web.program.stop().await?;
    Ok((outcomes, Some(memory)))
}

async fn bare(broker: &Broker, in_flight: u16, window: Duration) -> anyhow::Result<Measured> {
    broker.purge().await?;
    let (connection, channel) = broker.confirming("bench publisher").await?;
    let (exchange, body) = (broker.topology.exchange.as_str().into(), sample::request_body().into());
    let lane = BareLane { channel: channel.clone(), exchange, key: REQUEST_KEY, body };
    let lanes = (0..in_flight).map(|_| lane.clone()).collect();
    let measured = load::run(lanes, window, Watched { program: None, broker: broker.pid()? }).await?;
    connection.close(200, "measured".into()).await?;
    Ok(measured)
}

/// The web side, running.
struct Web {
    program: Program,
    port: u16,
}

impl Web {
    async fn start(broker: &Broker, scratch: &Path) -> anyhow::Result<Self> {
        let port = free_port();
        let (listen, address, database) = (format!("127.0.0.1:{port}"), broker.address(), scratch.join("requests.db"));
        let variables = [
            ("AMQP_URL", address.as_str()),
            ("WARREN_EXCHANGE", &broker.topology.exchange),
            ("WARREN_LISTEN", &listen),
            ("WARREN_SQLITE_PATH", &database.to_string_lossy()),
        ];
        let mut web = Self { program: Program::start("warren-web-service", &variables, scratch)?, port };
        web.wait_until_ready().await?;
        Ok(web)
    }

    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY;
        while !http_lane::status_of(self.port, "/readyz").await.is_ok_and(|status| status == 200) {
            self.program.check()?;
            if Instant::now() > deadline {
                bail!(self.program.explain(anyhow::anyhow!("the web side is not ready after {READY:?}")));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    async fn load(&mut self, broker: &Broker, connections: u16, window: Duration) -> anyhow::Result<Measured> {
        broker.purge().await?;
        let request = http_lane::submit(self.port);
        let mut lanes = Vec::new();
        for _ in 0..connections {
            lanes.push(HttpLane::open(self.port, request.clone()).await?);
        }
        let watched = Watched { program: Some(self.program.pid()), broker: broker.pid()? };
        let measured = load::run(lanes, window, watched).await;
        self.program.check()?;
        measured.map_err(|error| self.program.explain(error))
    }
}
