//! What processes use, as Linux tells it in `/proc`.

use anyhow::Context as _;
use std::fs;

/// Ticks per second of the times in `/proc/<pid>/stat`: 100 for every program on Linux, whatever the kernel's own.
const TICKS: f64 = 100.0;

/// CPU seconds.
#[derive(Clone, Copy, Debug)]
pub struct Cpu {
    /// This process: the client, or the limit.
    pub bench: f64,
    /// Warren's program; 0 where none runs.
    pub program: f64,
    /// RabbitMQ.
    pub broker: f64,
    /// The whole machine, other programs included.
    pub machine: f64,
}

impl Cpu {
    /// What was used since `before`.
    pub fn since(self, before: Self) -> Self {
        self.with(before, |now, before| now - before)
    }

    /// All of it, times `factor`.
    pub fn times(self, factor: f64) -> Self {
        self.with(self, |now, _| now * factor)
    }

    /// What others used: whoever else works on this machine spoils the measurement.
    pub fn others(self) -> f64 {
        (self.machine - self.bench - self.program - self.broker).max(0.0)
    }

    fn with(self, other: Self, combine: impl Fn(f64, f64) -> f64) -> Self {
        Self {
            bench: combine(self.bench, other.bench),
            program: combine(self.program, other.program),
            broker: combine(self.broker, other.broker),
            machine: combine(self.machine, other.machine),
        }
    }
}

/// Whose CPU time counts.
#[derive(Clone, Copy, Debug)]
pub struct Watched {
    /// Warren's program, where one is measured.
    pub program: Option<u32>,
    /// RabbitMQ.
    pub broker: u32,
}

impl Watched {
    /// What they have used so far.
    pub fn cpu(self) -> anyhow::Result<Cpu> {
        let program = self.program.map_or(Ok(0.0), cpu_seconds)?;
        let (bench, broker) = (cpu_seconds(std::process::id())?, cpu_seconds(self.broker)?);
        Ok(Cpu { bench, program, broker, machine: busy_seconds()? })
    }
}

/// Resident memory of a process, in MiB.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Now.
    pub now: f64,
    /// At its highest.
    pub peak: f64,
}

impl Memory {
    /// That of process `pid`.
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        Ok(Self { now: mebibytes(&status, "VmRSS:")?, peak: mebibytes(&status, "VmHWM:")? })
    }
}

/// A line of `/proc/<pid>/status` or `/proc/meminfo` that counts kB.
pub fn mebibytes(text: &str, name: &str) -> anyhow::Result<f64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)).and_then(|rest| rest.split_whitespace().next());
    let kibibytes: f64 = value.with_context(|| format!("no {name} in `{text}`"))?.parse()?;
    Ok(kibibytes / 1024.0)
}

fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid} ended"))?;
    // The name, in parentheses, may have spaces; user and system time are the 12th and 13th fields after it.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    let ticks: Vec<f64> = ticks.collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / TICKS)
}

/// Of all cores: user, nice, system, irq, softirq and steal, the fields 1 to 8 but for idle and iowait.
fn busy_seconds() -> anyhow::Result<f64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let fields = stat.lines().next().unwrap_or_default().split_whitespace().skip(1).take(8);
    let ticks: Vec<f64> = fields.map(str::parse).collect::<Result<_, _>>()?;
    let busy = ticks.iter().enumerate().filter(|(index, _)| ![3, 4].contains(index)).map(|(_, ticks)| ticks);
    Ok(busy.sum::<f64>() / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_and_its_cpu_time_does_not_shrink() {
        let pid = std::process::id();
        let memory = Memory::of(pid).expect("this process runs");
        assert!(memory.now > 0.1 && memory.peak >= memory.now);
        let before = cpu_seconds(pid).expect("this process runs");
        assert!(cpu_seconds(pid).expect("this process runs") >= before);
    }
}
