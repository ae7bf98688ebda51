//! What a show costs: CPU time against viewers, and what that comes to for another audience.

use serde::Serialize;

/// Share of a core that is planned with: what is left is for a crowd that comes at once, and for the gateways that take over
/// from one that is lost.
const PLANNED: f64 = 0.6;
/// Seconds of the busiest part of a show.
const BUSIEST: f64 = 5.0;
/// A part with fewer viewers than this share of the most says nothing.
const ENOUGH: f64 = 0.5;

/// A look at the fleet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Seconds.
    pub(crate) at: f64,
    /// Viewers inside.
    pub(crate) viewers: usize,
    /// CPU seconds of all gateways so far.
    pub(crate) cpu: f64,
}

/// What viewers cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Bill {
    /// CPU seconds of all gateways.
    pub(crate) cpu_seconds: f64,
    /// Viewers times seconds.
    pub(crate) viewer_seconds: f64,
    /// Viewers per core over the whole show.
    pub(crate) viewers_per_core: f64,
    /// Viewers per core in the busiest five seconds.
    pub(crate) viewers_per_core_busiest: f64,
    /// Share of a core that is planned with.
    pub(crate) planned: f64,
    /// Of 1,000 viewers for an hour, in the currency of the price; `None` without a price.
    pub(crate) cost_per_1000_viewer_hours: Option<f64>,
    /// For the audience asked for.
    pub(crate) fleet: Option<FleetSize>,
}

/// A fleet for an audience.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct FleetSize {
    /// The audience.
    pub(crate) audience: u64,
    /// Cores for it.
    pub(crate) cores: u64,
    /// Cores of a gateway.
    pub(crate) cores_per_gateway: u64,
    /// Gateways, one of them to spare.
    pub(crate) gateways: u64,
    /// Of all of them for an hour; `None` without a price.
    pub(crate) cost_per_hour: Option<f64>,
}

/// Works it out; `None` if there were no viewers, or no CPU time was seen.
pub(crate) fn bill(
    samples: &[Sample],
    price: Option<f64>,
    audience: Option<u64>,
    cores_per_gateway: u64,
) -> Option<Bill> {
    let viewer_seconds =
        |part: &[Sample]| part.windows(2).map(|pair| (pair[1].at - pair[0].at) * pair[0].viewers as f64).sum::<f64>();
    let (first, last) = (samples.first()?, samples.last()?);
    let (cpu_seconds, all) = (last.cpu - first.cpu, viewer_seconds(samples));
    if cpu_seconds <= 0.0 || all <= 0.0 {
        return None;
    }
    let most = samples.iter().map(|sample| sample.viewers).max()? as f64;
    let mut busiest = all / cpu_seconds;
    for (begin, sample) in samples.iter().enumerate() {
        let Some(length) = samples[begin..].iter().position(|other| other.at - sample.at >= BUSIEST) else { break };
        let part = &samples[begin..=begin + length];
        let (seconds, cpu) = (part[length].at - sample.at, part[length].cpu - sample.cpu);
        let viewers = viewer_seconds(part);
        if viewers / seconds >= most * ENOUGH && cpu > 0.0 {
            busiest = busiest.min(viewers / cpu);
        }
    }
    let per_core = busiest * PLANNED;
    let fleet = audience.map(|audience| {
        let cores = (audience as f64 / per_core).ceil() as u64;
        let gateways = cores.div_ceil(cores_per_gateway.max(1)) + 1;
        let cost_per_hour = price.map(|price| price * (gateways * cores_per_gateway) as f64);
        FleetSize { audience, cores, cores_per_gateway, gateways, cost_per_hour }
    });
    Some(Bill {
        cpu_seconds,
        viewer_seconds: all,
        viewers_per_core: all / cpu_seconds,
        viewers_per_core_busiest: busiest,
        planned: PLANNED,
        cost_per_1000_viewer_hours: price.map(|price| 1_000.0 / per_core * price),
        fleet,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_part_decides_what_a_fleet_needs() {
        // 100 viewers for 30 s: a tenth of a core, but half of one for 10 s in the middle.
        let mut cpu = 0.0;
        let samples: Vec<Sample> = (0..=30)
            .map(|second| {
                let sample = Sample { at: f64::from(second), viewers: 100, cpu };
                cpu += if (10..20).contains(&second) { 0.5 } else { 0.1 };
                sample
            })
            .collect();
        let bill = bill(&samples, Some(0.06), Some(1_000_000), 4).unwrap();
        assert!((bill.viewers_per_core - 3_000.0 / 7.0).abs() < 1e-6, "{bill:?}");
        assert!((bill.viewers_per_core_busiest - 200.0).abs() < 1e-6);
        assert!((bill.cost_per_1000_viewer_hours.unwrap() - 0.5).abs() < 1e-6);
        let fleet = bill.fleet.unwrap();
        assert_eq!((fleet.cores, fleet.gateways), (8_334, 2_085));
    }

    #[test]
    fn without_cpu_time_there_is_no_bill() {
        let idle = [Sample { at: 0.0, viewers: 9, cpu: 0.0 }, Sample { at: 9.0, viewers: 9, cpu: 0.0 }];
        assert_eq!(bill(&idle, None, None, 4), None);
        assert_eq!(bill(&[], None, None, 4), None);
    }
}
