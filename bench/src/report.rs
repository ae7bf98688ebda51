//! What a run found: a table on stdout, a JSON file with everything needed to repeat and to compare it.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use serde::Serialize;

use crate::load::{Latency, Outcome};
use crate::proc::{self, Host};
use crate::scenario::bystander::Bystander;
use crate::scenario::churn::Churn;
use crate::scenario::claims::Claims;
use crate::scenario::compare::{Compare, Runs};
use crate::scenario::fanout::Fanout;
use crate::scenario::fleet::Fleets;
use crate::scenario::idle::Idle;
use crate::scenario::saturate::Saturate;
use crate::scenario::taps::Taps;
use crate::scenario::ticks::Ticks;
use crate::show::Show;

mod show;

/// What a scenario found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase", tag = "scenario", content = "result")]
pub(crate) enum Found {
    /// Of `fanout`.
    Fanout(Fanout),
    /// Of `saturate`.
    Saturate(Saturate),
    /// Of `idle`.
    Idle(Idle),
    /// Of `churn`.
    Churn(Churn),
    /// Of `claims`.
    Claims(Claims),
    /// Of `soldout`.
    Soldout(Claims),
    /// Of `taps`.
    Taps(Taps),
    /// Of `compare`.
    Compare(Compare),
    /// Of `fleet`.
    Fleet(Fleets),
    /// Of `path`.
    Path(Fleets),
    /// Of `bystander`.
    Bystander(Bystander),
    /// Of `ticks`.
    Ticks(Ticks),
    /// Of `show`.
    Show(Box<Show>),
}

/// Cores' worth of other processes above which a figure should not be believed.
const DISTURBED: f64 = 0.1;

#[derive(Serialize)]
struct Document<'a> {
    tool: &'static str,
    version: &'static str,
    date: String,
    revision: Option<String>,
    command: String,
    host: Host,
    #[serde(flatten)]
    found: &'a Found,
}

/// Rows of a table: a name, a value, what to know about it.
#[derive(Debug, Default)]
struct Table {
    rows: Vec<(String, String)>,
}

/// Prints the table of what was found.
///
/// # Errors
/// If stdout is gone.
pub(crate) fn print(found: &Found) -> io::Result<()> {
    let mut table = Table::default();
    match found {
        Found::Fanout(found) => {
            table.text("audience", audience(found.rooms, found.viewers));
            load(&mut table, &found.load);
        }
        Found::Saturate(found) => saturate(&mut table, found),
        Found::Idle(found) => idle(&mut table, found),
        Found::Churn(found) => churn(&mut table, found),
        Found::Claims(found) | Found::Soldout(found) => table.rows(found.rows(), found.others_busy()),
        Found::Taps(found) => table.rows(found.rows(), found.others_busy()),
        Found::Compare(found) => compare(&mut table, found),
        Found::Fleet(found) | Found::Path(found) => table.rows(found.rows(), found.others_busy()),
        Found::Bystander(found) => table.rows(found.rows(), found.others_busy()),
        Found::Ticks(found) => table.rows(found.rows(), None),
        Found::Show(found) => show::show(&mut table, found),
    }
    io::stdout().lock().write_all(table.render().as_bytes())
}

/// Writes the JSON file. A secret in the command line is left out.
///
/// # Errors
/// If the file cannot be written.
pub(crate) fn write_json(path: &Path, found: &Found) -> anyhow::Result<()> {
    let document = Document {
        tool: "haat-bench",
        version: env!("CARGO_PKG_VERSION"),
        date: date(seconds_now()),
        revision: revision(),
        command: command(std::env::args()),
        host: proc::host(),
        found,
    };
    let mut text = serde_json::to_string_pretty(&document)?;
    text.push('\n');
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// Whether nothing was lost or refused: what decides the exit status.
pub(crate) fn clean(found: &Found) -> bool {
    match found {
        Found::Fanout(found) => found.load.clean(),
        Found::Saturate(found) => found.best_step.is_some(),
        Found::Idle(found) => found.joins_lost == 0 && found.dialed.settled == found.dialed.asked,
        Found::Churn(found) => found.failures == 0 && found.cycles > 0,
        Found::Claims(found) | Found::Soldout(found) => found.clean(),
        Found::Taps(found) => found.clean(),
        Found::Fleet(found) | Found::Path(found) => found.clean(),
        Found::Bystander(found) => found.clean(),
        // It ends with an error where something is refused or lost.
        Found::Ticks(_) => true,
        Found::Show(found) => found.verdict.clean(),
        Found::Compare(found) => match &found.runs {
            Runs::Fanout(pairs) => pairs.iter().all(|pair| pair.server.load.clean() && pair.limit.load.clean()),
            Runs::Saturate(pairs) => pairs.iter().all(|pair| pair.server.best_step.and(pair.limit.best_step).is_some()),
        },
    }
}

impl Table {
    fn text(&mut self, name: &str, value: impl Into<String>) {
        self.rows.push((name.to_owned(), value.into()));
    }

    fn number(&mut self, name: &str, value: f64) {
        self.text(name, number(value));
    }

    fn rows(&mut self, rows: Vec<(String, String)>, others: Option<f64>) {
        self.rows.extend(rows);
        if let Some(others) = others {
            self.text("others", others_busy(others));
        }
    }

    fn render(&self) -> String {
        let width = self.rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        self.rows.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
    }
}

fn load(table: &mut Table, load: &Outcome) {
    table.number("deliveries/s", load.deliveries_per_second);
    table.text(
        "published",
        format!("{} messages, {} per second offered", load.published, number(load.offered_messages_per_second)),
    );
    table.text("latency", latency(&load.latency));
    if let Some(cpu) = load.server_cpu_seconds {
        table.text("server CPU", format!("{cpu:.2} s of {:.2} s", load.seconds));
    }
    if let Some(per_cpu) = load.deliveries_per_cpu_second {
        table.number("deliveries per server CPU second", per_cpu);
    }
    if let Some(rss) = load.server_rss {
        table.text("server memory", megabytes(rss));
    }
    table.text("delivered", delivered(load));
    table.text(
        "generator",
        format!(
            "{:.0}% busy, messages left at most {:.2} ms late (p99)",
            load.generator_busy * 100.0,
            load.generator_lag_p99_ms
        ),
    );
    if let Some(others) = load.others_busy {
        table.text("others", others_busy(others));
    }
    if let Some(error) = &load.first_error {
        table.text("first error", format!("{error} ({} events)", load.errors));
    }
}

fn delivered(load: &Outcome) -> String {
    let verdict = &load.verdict;
    let mut text = format!(
        "{} of {}, {} viewers checked, frames of {:.0} bytes",
        verdict.delivered, verdict.expected, verdict.viewers_checked, verdict.frame_bytes
    );
    if !verdict.clean() {
        let faults = &verdict.faults;
        text.push_str(&format!(
            "; WRONG: {} missing, {} viewers with a wrong count, {} gone; of the checked: {} lost, \
             {} doubled, {} swapped, {} foreign, {} in another order",
            verdict.missing(),
            verdict.viewers_wrong,
            verdict.viewers_gone,
            faults.lost,
            faults.doubled,
            faults.swapped,
            faults.foreign,
            verdict.orders_differ
        ));
    }
    text
}

fn saturate(table: &mut Table, found: &Saturate) {
    table.text("audience", audience(found.rooms, found.viewers));
    for step in &found.steps {
        let load = &step.load;
        table.text(
            if step.passed { "pass" } else { "fail" },
            format!(
                "offered {:>11}/s  came {:>11}/s  p50 {:>8.2} ms  p99 {:>8.2} ms  missing {:>6}  \
                 generator {:>3.0}% busy{}",
                number(step.offered_deliveries_per_second),
                number(load.deliveries_per_second),
                load.latency.p50_ms,
                load.latency.p99_ms,
                load.verdict.missing(),
                load.generator_busy * 100.0,
                load.stopped.map_or(String::new(), |why| format!("  ({why})"))
            ),
        );
    }
    table.text(
        "most deliveries/s",
        format!("{} with p99 below {} ms and nothing lost", number(found.best_deliveries_per_second), found.p99_ms),
    );
    if let Some(step) = found.best_step.and_then(|step| found.steps.get(step)) {
        table.text("in that step", delivered(&step.load));
        if let Some(per_cpu) = step.load.deliveries_per_cpu_second {
            table.number("deliveries per server CPU second", per_cpu);
        }
        let others = found.steps.iter().filter_map(|step| step.load.others_busy);
        table.text("others", others_busy(others.fold(0.0, f64::max)));
    }
}

fn idle(table: &mut Table, found: &Idle) {
    let dialed = &found.dialed;
    table.text(
        "connections",
        format!(
            "{} of {} in {:.2} s; {} refused, {} unanswered",
            dialed.settled, dialed.asked, dialed.seconds, dialed.refused, dialed.unanswered
        ),
    );
    table.text(
        "joins",
        format!("{} sent, {} acknowledged, {} lost", found.joins_sent, found.joins_acknowledged, found.joins_lost),
    );
    if let (Some(before), Some(after)) = (found.before, found.after) {
        table.text(
            "server memory",
            format!(
                "{} before, {} after{}",
                megabytes(before.rss),
                megabytes(after.rss),
                if found.stable { "" } else { ", still moving" }
            ),
        );
    }
    if let Some(bytes) = found.rss_per_connection {
        table.text("memory per connection", format!("{} bytes", number(bytes)));
    }
    if found.lost_while_idle > 0 {
        table.number("lost while idle", found.lost_while_idle as f64);
    }
    if let Some(reason) = dialed.reasons.first() {
        table.text("first refusal", reason.as_str());
    }
}

fn churn(table: &mut Table, found: &Churn) {
    table.number("cycles/s", found.cycles_per_second);
    table.text("cycles", format!("{} in {:.2} s", found.cycles, found.seconds));
    table.text("whole cycle", latency(&found.latency));
    table.text("until joined", latency(&found.joined));
    if let Some(cpu) = found.server_cpu_seconds {
        table.text("server CPU", format!("{cpu:.2} s"));
    }
    if let Some(per_cpu) = found.cycles_per_cpu_second {
        table.number("cycles per server CPU second", per_cpu);
    }
    table.text("generator", format!("{:.0}% busy", found.generator_busy * 100.0));
    if let Some(others) = found.others_busy {
        table.text("others", others_busy(others));
    }
    table.number("failures", found.failures as f64);
    if let Some(failure) = &found.first_failure {
        table.text("first failure", failure.as_str());
    }
}

fn compare(table: &mut Table, found: &Compare) {
    let runs = |values: &[f64]| {
        let values: Vec<String> = values.iter().copied().map(number).collect();
        values.join(", ")
    };
    table.text("others", others_busy(found.others_busy));
    for figure in &found.figures {
        table.text(
            figure.name,
            format!(
                "server {}, limit {}: {:.1}% of the limit",
                number(figure.server),
                number(figure.limit),
                figure.ratio * 100.0
            ),
        );
        table.text("  server runs", runs(&figure.server_runs));
        table.text("  limit runs", runs(&figure.limit_runs));
    }
}

fn others_busy(cores: f64) -> String {
    let verdict = if cores > DISTURBED { ": the figures are spoilt, measure again on a quiet machine" } else { "" };
    format!("{:.0}% of a core was used by other processes{verdict}", cores * 100.0)
}

fn audience(rooms: usize, viewers: usize) -> String {
    format!("{rooms} rooms of {viewers}")
}

fn latency(latency: &Latency) -> String {
    format!(
        "p50 {:.3}  p90 {:.3}  p99 {:.3}  p99.9 {:.3}  max {:.3} ms ({} timed)",
        latency.p50_ms, latency.p90_ms, latency.p99_ms, latency.p999_ms, latency.max_ms, latency.count
    )
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// Digits in groups of three; three decimals below 100.
fn number(value: f64) -> String {
    if value.abs() < 100.0 && value.fract() != 0.0 {
        return format!("{value:.3}");
    }
    let digits = format!("{:.0}", value.abs());
    let mut out = String::new();
    if value < 0.0 {
        out.push('-');
    }
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The command line without secrets.
fn command(args: impl Iterator<Item = String>) -> String {
    let mut hide = false;
    let words = args.map(|word| {
        let hidden = std::mem::replace(&mut hide, word == "--secret");
        if hidden || word.starts_with("--secret=") {
            "***".to_owned()
        } else if word.contains([' ', '"', '{', '$']) {
            format!("'{}'", mask_assignments(&word))
        } else {
            word
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Hides the values of variables whose name says that they are secret.
fn mask_assignments(text: &str) -> String {
    text.split(' ')
        .map(|word| match word.split_once('=') {
            Some((name, _)) if name.ends_with("SECRET") => format!("{name}=***"),
            _ => word.to_owned(),
        })
        .collect::<Vec<_>>()
        .join(" ")
}

fn revision() -> Option<String> {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let revision = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(match changed.is_empty() {
        true => revision,
        false => format!("{revision}+changes"),
    })
}

fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A Unix time as RFC 3339 in UTC.
fn date(seconds: u64) -> String {
    let (mut days, rest) = (seconds / 86_400, seconds % 86_400);
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in lengths {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year:04}-{month:02}-{:02}T{:02}:{:02}:{:02}Z", days + 1, rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(number(1_234_567.4), "1,234,567");
        assert_eq!(number(-1_000.0), "-1,000");
        assert_eq!(number(999.0), "999");
        assert_eq!(number(0.25), "0.250");
        assert_eq!(number(0.0), "0");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01T00:00:00Z");
        assert_eq!(date(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(date(1_795_466_794), "2026-11-23T20:46:34Z");
        assert_eq!(date(4_107_542_399), "2100-02-28T23:59:59Z");
        assert_eq!(date(4_107_542_400), "2100-03-01T00:00:00Z");
    }

    #[test]
    fn secrets_do_not_reach_the_result() {
        let args = [
            "haat-bench",
            "fanout",
            "--secret",
            "abc",
            "--server-cmd",
            "env HAAT_AUTH_SECRET=abc haat serve",
            "--secret=abc",
        ];
        let line = command(args.iter().map(|arg| (*arg).to_owned()));
        assert!(!line.contains("abc"), "{line}");
        assert!(line.contains("HAAT_AUTH_SECRET=***"), "{line}");
    }

    #[test]
    fn percentiles_are_milliseconds() {
        let mut histogram = crate::sight::latencies();
        for ms in 1..=1000 {
            histogram.saturating_record(ms * 1_000_000);
        }
        let latency = Latency::of(&histogram);
        assert_eq!(Latency::of(&crate::sight::latencies()), Latency::default());
        assert_eq!(latency.count, 1000);
        for (got, want) in [
            (latency.p50_ms, 500.0),
            (latency.p90_ms, 900.0),
            (latency.p99_ms, 990.0),
            (latency.p999_ms, 999.0),
            (latency.max_ms, 1000.0),
        ] {
            assert!((got - want).abs() <= want * 0.002, "{got} {want}");
        }
    }
}
