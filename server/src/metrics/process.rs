//! What the process takes of the machine, under the names that all exporters give it. Read when somebody looks, from where
//! Linux shows it; elsewhere there are no such numbers.

use std::{fs, time::SystemTime};

/// Ticks of the processor time in `/proc/self/stat`, in a second. The kernel promises this number to all programs.
const TICKS: f64 = 100.0;

/// The moment of the start, which is told as it is.
pub(super) fn begin() {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    metrics::gauge!("process_start_time_seconds").set(since.as_secs_f64());
}

/// Looks.
pub fn look() {
    if let Some(seconds) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(cpu_seconds) {
        metrics::gauge!("process_cpu_seconds_total").set(seconds);
    }
    if let Ok(status) = fs::read_to_string("/proc/self/status") {
        for (name, field, unit) in
            [("process_resident_memory_bytes", "VmRSS:", 1024.0), ("process_threads", "Threads:", 1.0)]
        {
            if let Some(value) = number(&status, field) {
                metrics::gauge!(name).set(value * unit);
            }
        }
    }
    if let Some(open) = open_files() {
        metrics::gauge!("process_open_fds").set(open);
    }
    if let Some(most) = fs::read_to_string("/proc/self/limits").ok().as_deref().and_then(max_files) {
        metrics::gauge!("process_max_fds").set(most);
    }
}

/// User and system time, the 14th and the 15th field. The second is the program's name in parentheses, which may hold anything.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<f64>().ok();
    Some((next()? + next()?) / TICKS)
}

fn number(status: &str, field: &str) -> Option<f64> {
    status.lines().find_map(|line| line.strip_prefix(field))?.split_whitespace().next()?.parse().ok()
}

/// The soft limit: `Max open files  1024  1048576  files`.
fn max_files(limits: &str) -> Option<f64> {
    number(limits, "Max open files")
}

/// The folder knows how many there are; on kernels before 6.2 it does not, and they are counted.
fn open_files() -> Option<f64> {
    let known = fs::metadata("/proc/self/fd").ok()?.len();
    Some(if known > 0 { known as f64 } else { fs::read_dir("/proc/self/fd").ok()?.count() as f64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_linux_shows() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 99 0 0 0 250 50 0 0 20 0 4 0 123 456 789";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(number("Name:\thaat\nVmRSS:\t    2048 kB\nThreads:\t5\n", "VmRSS:"), Some(2048.0));
        assert_eq!(
            max_files("Limit  Soft  Hard\nMax open files            1024                 4096    files\n"),
            Some(1024.0)
        );
        assert_eq!((cpu_seconds(""), number("", "VmRSS:"), max_files("")), (None, None, None));
    }
}
