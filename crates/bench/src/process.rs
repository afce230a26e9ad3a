//! CPU time and memory of other processes, from `/proc`.

use std::fs;
use std::io;

/// Clock ticks a second in `/proc`: `USER_HZ`, fixed in Linux's interface to programs.
const TICKS_A_SECOND: u64 = 100;

/// What some processes have used so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// Per process.
    pub processes: Vec<Process>,
}

/// What one process has used so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Which.
    pub pid: u32,
    /// User and system time of all its threads, in milliseconds.
    pub cpu_millis: u64,
    /// Resident memory in KiB.
    pub rss_kib: u64,
}

impl Usage {
    /// Reads it now.
    ///
    /// # Errors
    /// A process is gone.
    pub fn of(pids: &[u32]) -> io::Result<Self> {
        let processes = pids.iter().map(|pid| read(*pid)).collect::<io::Result<_>>()?;
        Ok(Self { processes })
    }

    /// CPU time of all, in milliseconds.
    pub fn cpu_millis(&self) -> u64 {
        self.processes.iter().map(|process| process.cpu_millis).sum()
    }

    /// Resident memory of all, in KiB.
    pub fn rss_kib(&self) -> u64 {
        self.processes.iter().map(|process| process.rss_kib).sum()
    }
}

fn read(pid: u32) -> io::Result<Process> {
    let malformed = || io::Error::from(io::ErrorKind::InvalidData);
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    Ok(Process {
        pid,
        cpu_millis: cpu_millis(&stat).ok_or_else(malformed)?,
        rss_kib: rss_kib(&status).ok_or_else(malformed)?,
    })
}

/// `utime` and `stime`, fields 14 and 15 of proc(5)'s `stat`: of the whole process, threads included.
fn cpu_millis(stat: &str) -> Option<u64> {
    // The name in parentheses may hold anything; fields are counted after the last one.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) * 1000 / TICKS_A_SECOND)
}

fn rss_kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_cpu_time_behind_a_name_with_parentheses_and_spaces() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 100 0 0 0 250 75 7 9 20 0 3 0 100 0 0";
        assert_eq!(cpu_millis(stat), Some(3250));
    }

    #[test]
    fn reads_resident_memory() {
        assert_eq!(rss_kib("Name:\tx\nVmHWM:\t  9 kB\nVmRSS:\t   5120 kB\n"), Some(5120));
        assert_eq!(rss_kib("Name:\tx\n"), None);
    }
}
