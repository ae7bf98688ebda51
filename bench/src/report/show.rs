//! The table of a rehearsal.

use super::{Table, latency, number};
use crate::show::{Played, Show};

/// Fills the table.
pub(super) fn show(table: &mut Table, found: &Show) {
    if let Some(played) = &found.played {
        played_rows(table, played);
    }
    for finding in &found.verdict.findings {
        let word = match finding.kept {
            Some(true) => "kept",
            Some(false) => "BROKEN",
            None => "not shown",
        };
        let more = match finding.complaints {
            0 => String::new(),
            count => format!("; {count} complaints"),
        };
        table.text(finding.promise.name(), format!("{word:9}  {}{more}", finding.detail));
    }
    for complaint in &found.verdict.complaints {
        let who = match complaint.who {
            None => String::new(),
            Some(0) => "the supplier: ".to_owned(),
            Some(who) => format!("viewer {who}: "),
        };
        table.text("  wrong", format!("at {:.1} s: {who}{}", complaint.at / 1e3, complaint.what));
    }
    if let Some(bill) = found.played.as_ref().and_then(|played| played.bill.as_ref()) {
        table.text(
            "viewers per core",
            format!(
                "{} over the show, {} in its busiest 5 s",
                number(bill.viewers_per_core.round()),
                number(bill.viewers_per_core_busiest.round())
            ),
        );
        let planned = format!("cores planned at {:.0}% in the busiest 5 s", bill.planned * 100.0);
        if let Some(cost) = bill.cost_per_1000_viewer_hours {
            table.text("cost of 1,000 viewer-hours", format!("{cost:.4}, {planned}"));
        }
        if let Some(fleet) = &bill.fleet {
            let cost = fleet.cost_per_hour.map(|cost| format!(", {cost:.2} an hour")).unwrap_or_default();
            table.text(
                &format!("fleet for {} viewers", number(fleet.audience as f64)),
                format!(
                    "{} gateways of {} cores, one of them to spare{cost}; {planned}",
                    number(fleet.gateways as f64),
                    fleet.cores_per_gateway
                ),
            );
        }
    } else if found.played.is_some() {
        table.text("viewers per core", "not known: --pid, --metrics-url, or --gateways");
    }
}

fn played_rows(table: &mut Table, played: &Played) {
    table.text(
        "show",
        format!("{} viewers, {:.1} s at speed {}", number(played.viewers as f64), played.seconds, played.speed),
    );
    let sent: Vec<String> =
        played.sent.iter().map(|(event, count)| format!("{event} {}", number(*count as f64))).collect();
    table.text("sent", sent.join(", "));
    if !played.errors.is_empty() {
        let errors = played.errors.iter().map(|(what, count)| format!("{what} {}", number(*count as f64)));
        table.text("refused", errors.collect::<Vec<_>>().join(", "));
    }
    if !played.other_events.is_empty() {
        let events = played.other_events.iter().map(|(what, count)| format!("{what} {}", number(*count as f64)));
        table.text("other events", events.collect::<Vec<_>>().join(", "));
    }
    table.text("chat latency", latency(&played.latency));
    match (played.killed, played.lost) {
        (true, (lost, by_kill)) => {
            table.text("killed a gateway", format!("{by_kill} of {lost} lost connections were lost by it"));
        }
        (false, (lost, _)) => table.text("killed no gateway", format!("{lost} connections lost")),
    }
    if played.away.count > 0 {
        table.text("back after", latency(&played.away));
    }
    if let Some(reason) = played.reasons.first() {
        table.text("dialled in vain", format!("{} times; first reason: {reason}", number(played.refused as f64)));
    }
    if let Some(reason) = &played.unread_ledger {
        table.text("ledger not read", reason.as_str());
    }
    if let Some(bill) = &played.bill {
        let redis = played.redis_busy.map(|busy| format!(", Redis {:.1}% of a core", busy * 100.0)).unwrap_or_default();
        table.text("CPU", format!("{:.2} s of {} gateways{redis}", bill.cpu_seconds, played.metered));
    }
    table.text(
        "generator",
        format!(
            "{:.0}% busy, at most {:.0} ms away from its sockets",
            played.generator_busy * 100.0,
            played.longest_gap_ms
        ),
    );
}
