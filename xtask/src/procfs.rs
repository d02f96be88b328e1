//! What the kernel counted for one process, from `/proc/PID`.

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::fs;

/// The kernel's unit of utime and stime in `/proc/PID/stat`: 100 per second on every Linux
/// architecture that we build for.
const TICK_MS: f64 = 10.0;

/// Counters of a process since its start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// User and system time, in steps of 10 ms.
    pub(crate) cpu_ms: f64,
    /// Bytes that the process caused to be written to storage.
    pub(crate) written_bytes: u64,
}

impl Usage {
    /// Reads the counters of process `pid`.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let io = fs::read_to_string(format!("/proc/{pid}/io"))?;
        Ok(Self {
            cpu_ms: cpu_ticks(&stat)? * TICK_MS,
            written_bytes: field(&io, "write_bytes:")?,
        })
    }
}

/// Resident memory of a process in MiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) now_mib: f64,
    pub(crate) peak_mib: f64,
}

impl Memory {
    /// Reads `VmRSS` and `VmHWM` of process `pid`.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        Ok(Self {
            now_mib: mib(&status, "VmRSS:")?,
            peak_mib: mib(&status, "VmHWM:")?,
        })
    }
}

/// The machine that a measurement was made on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) memory_gib: f64,
    pub(crate) kernel: String,
}

impl Machine {
    /// Describes this machine.
    pub(crate) fn describe() -> Result<Self> {
        let cpu_list = fs::read_to_string("/proc/cpuinfo")?;
        let model = cpu_list.lines().find(|line| line.starts_with("model name"));
        let name = model
            .and_then(|line| line.split_once(':'))
            .map(|(_, name)| name.trim());
        let memory = fs::read_to_string("/proc/meminfo")?;
        Ok(Self {
            cpu: name.unwrap_or(std::env::consts::ARCH).to_owned(),
            cores: std::thread::available_parallelism()?.get(),
            memory_gib: mib(&memory, "MemTotal:")? / 1024.0,
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?
                .trim()
                .to_owned(),
        })
    }
}

/// utime + stime of a `/proc/PID/stat` line. The command name may hold spaces and brackets, so
/// counting starts behind the last closing one.
fn cpu_ticks(stat: &str) -> Result<f64> {
    let (_, rest) = stat
        .rsplit_once(')')
        .context("no command name in /proc/PID/stat")?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut next = || -> Result<f64> {
        Ok(fields
            .next()
            .context("/proc/PID/stat is too short")?
            .parse()?)
    };
    Ok(next()? + next()?)
}

fn mib(text: &str, name: &str) -> Result<f64> {
    let kib = field(text, name)?;
    Ok(f64::from(u32::try_from(kib).context("more memory than expected")?) / 1024.0)
}

fn field(text: &str, name: &str) -> Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let line = line.with_context(|| format!("no {name} in /proc"))?;
    let number = line
        .split_whitespace()
        .next()
        .with_context(|| format!("{name} is empty"))?;
    Ok(number.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_fields_behind_a_command_name_with_brackets() {
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 41 1 13 14";
        assert!((cpu_ticks(stat).unwrap() - 42.0).abs() < f64::EPSILON);
    }

    #[test]
    fn reads_the_counters_of_a_living_process() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.cpu_ms >= 0.0);
        let memory = Memory::of(std::process::id()).unwrap();
        assert!(memory.now_mib > 0.5 && memory.peak_mib >= memory.now_mib);
    }

    #[test]
    fn describes_this_machine() {
        let machine = Machine::describe().unwrap();
        assert!(machine.cores > 0 && machine.memory_gib > 0.1 && !machine.kernel.is_empty());
    }
}
