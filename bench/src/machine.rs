//! Where it was measured.

use crate::{broker::Broker, usage::mebibytes};
use std::fmt;

/// Where it was measured.
pub struct Machine {
    cores: usize,
    processor: String,
    gibibytes: f64,
    rabbitmq: String,
}

impl Machine {
    /// This one.
    pub fn look(broker: &Broker) -> anyhow::Result<Self> {
        let processors = std::fs::read_to_string("/proc/cpuinfo")?;
        let model =
            processors.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(':'));
        let memory = std::fs::read_to_string("/proc/meminfo")?;
        Ok(Self {
            cores: std::thread::available_parallelism()?.get(),
            processor: model.map_or("unknown model", |(_, model)| model.trim()).to_owned(),
            gibibytes: mebibytes(&memory, "MemTotal:")? / 1024.0,
            rabbitmq: broker.version()?,
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cores, processor, gibibytes, rabbitmq } = self;
        write!(f, "{cores} cores ({processor}), {gibibytes:.0} GiB memory, RabbitMQ {rabbitmq}. ")?;
        write!(f, "Client, Warren and RabbitMQ share the cores.")
    }
}
