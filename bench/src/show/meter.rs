//! CPU time of the gateways: from `/proc` where they run here, from their metrics where they do not.
//!
//! A gateway that is killed keeps what it had used.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context;

use crate::http;
use crate::proc;

/// The metric of a process's CPU time, as Prometheus names it.
const CPU: &str = "process_cpu_seconds_total";
/// From one reading of the metrics to the next.
const EVERY: Duration = Duration::from_secs(1);

/// Where CPU time is read.
#[derive(Debug)]
pub(crate) struct Meter {
    pids: Vec<(u32, f64)>,
    far: Option<Far>,
}

#[derive(Debug)]
struct Far {
    seen: Arc<Mutex<Vec<f64>>>,
    stop: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

impl Meter {
    /// Reads these processes here, and these addresses of metrics.
    ///
    /// # Errors
    /// If one of them tells no CPU time.
    pub(crate) fn new(pids: Vec<u32>, urls: Vec<String>) -> anyhow::Result<Self> {
        let near = |pid: u32| Some((pid, proc::cpu_seconds_of(pid)?));
        let pids = pids.into_iter().map(|pid| near(pid).with_context(|| format!("--pid {pid}: no such process")));
        let pids = pids.collect::<anyhow::Result<_>>()?;
        let first = |url: &String| read(url).with_context(|| format!("--metrics-url {url}"));
        let seen = urls.iter().map(first).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Self { pids, far: (!urls.is_empty()).then(|| Far::start(urls, seen)) })
    }

    /// Gateways whose CPU time is read.
    pub(crate) fn count(&self) -> usize {
        self.pids.len() + self.far.as_ref().map_or(0, |far| far.seen().len())
    }

    /// CPU seconds of all of them so far.
    pub(crate) fn read(&mut self) -> f64 {
        for (pid, seconds) in &mut self.pids {
            if let Some(now) = proc::cpu_seconds_of(*pid) {
                *seconds = now.max(*seconds);
            }
        }
        let near: f64 = self.pids.iter().map(|(_, seconds)| seconds).sum();
        near + self.far.as_ref().map_or(0.0, |far| far.seen().iter().sum())
    }
}

/// CPU seconds, as these metrics say.
fn read(url: &str) -> anyhow::Result<f64> {
    http::metric(&http::get(url, None)?, CPU, "").with_context(|| format!("{CPU} is not among the metrics"))
}

impl Far {
    fn start(urls: Vec<String>, seen: Vec<f64>) -> Self {
        let seen = Arc::new(Mutex::new(seen));
        let stop = Arc::new(AtomicBool::new(false));
        let (numbers, done) = (seen.clone(), stop.clone());
        // Of its own, because a gateway that is gone may take its time to be so.
        let reader = thread::spawn(move || {
            while !done.load(Ordering::Relaxed) {
                for (place, url) in urls.iter().enumerate() {
                    if let Ok(seconds) = read(url)
                        && let Some(seen) = numbers.lock().unwrap_or_else(PoisonError::into_inner).get_mut(place)
                    {
                        *seen = seconds.max(*seen);
                    }
                }
                thread::sleep(EVERY);
            }
        });
        Self { seen, stop, reader: Some(reader) }
    }

    fn seen(&self) -> MutexGuard<'_, Vec<f64>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}
