//! CPU time of the gateways: from `/proc` where they run here, from their metrics where they do not.
//!
//! A gateway that is killed keeps what it had used.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

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
    seen: Arc<Mutex<Vec<Option<f64>>>>,
    stop: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

impl Meter {
    /// Reads these processes here, and these addresses of metrics.
    pub(crate) fn new(pids: Vec<u32>, urls: Vec<String>) -> Self {
        let far = (!urls.is_empty()).then(|| Far::start(urls));
        Self { pids: pids.into_iter().map(|pid| (pid, 0.0)).collect(), far }
    }

    /// CPU seconds of all gateways so far, and of how many of them it is known.
    pub(crate) fn read(&mut self) -> (f64, usize) {
        for (pid, seconds) in &mut self.pids {
            if let Some(now) = proc::cpu_seconds_of(*pid) {
                *seconds = now.max(*seconds);
            }
        }
        let mut all: Vec<f64> = self.pids.iter().map(|(_, seconds)| *seconds).collect();
        if let Some(far) = &self.far {
            all.extend(far.seen.lock().unwrap_or_else(PoisonError::into_inner).iter().flatten());
        }
        (all.iter().sum(), all.len())
    }
}

impl Far {
    fn start(urls: Vec<String>) -> Self {
        let seen = Arc::new(Mutex::new(vec![None; urls.len()]));
        let stop = Arc::new(AtomicBool::new(false));
        let (numbers, done) = (seen.clone(), stop.clone());
        // Of its own, because a gateway that is gone may take its time to be so.
        let reader = thread::spawn(move || {
            while !done.load(Ordering::Relaxed) {
                for (place, url) in urls.iter().enumerate() {
                    let text = http::get(url, None).unwrap_or_default();
                    if let Some(seconds) = http::metric(&text, CPU, "")
                        && let Some(seen) = numbers.lock().unwrap_or_else(PoisonError::into_inner).get_mut(place)
                    {
                        *seen = Some(seen.map_or(seconds, |before: f64| before.max(seconds)));
                    }
                }
                thread::sleep(EVERY);
            }
        });
        Self { seen, stop, reader: Some(reader) }
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
