//! `claims` and `soldout`: users claim units of one drop, while there are some, and when all are gone.
//!
//! Claims are answered one way or the other; what was granted is added up outside of the server and must be what it says
//! itself. `claims` ends when all is gone, and its time is that of the grants. `soldout` begins then: winners repeat their
//! claim and must be shown it again, everybody else is told that all is sold.

use std::collections::HashSet;

use anyhow::Context;
use clap::Args;
use serde::Serialize;

use super::Run;
use super::sale::{Pace, Part, Sale, SaleArgs, number_behind};
use crate::target::Who;

/// Commands that Redis may be sent in a second after sold-out: what a gateway asks anyway, whatever the claims.
const IDLE_COMMANDS: f64 = 20.0;

/// Options of `claims` and `soldout`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ClaimsArgs {
    #[command(flatten)]
    pub(crate) sale: SaleArgs,
    /// Units of the drop
    #[arg(long, default_value_t = 150_000)]
    stock: u64,
    /// Seconds to measure, at most (`claims`); after sold-out (`soldout`)
    #[arg(long, default_value_t = 30.0)]
    seconds: f64,
    /// Seconds until all is sold and known to be (`soldout`)
    #[arg(long, default_value_t = 2.0)]
    warmup: f64,
}

/// What they found.
#[derive(Debug, Serialize)]
pub(crate) struct Claims {
    /// Users, one connection each.
    users: usize,
    /// Commands that each connection had under way.
    window: usize,
    /// Units of the drop.
    stock: u64,
    /// Whether all was gone from the beginning.
    after_sold_out: bool,
    /// Claims answered in the measured time; before sold-out only those that were granted.
    answered: u64,
    /// The same in a second.
    claims_per_second: f64,
    /// Claims granted, by their ids.
    granted: u64,
    /// Units sold, as the server says when it closes the drop.
    sold: u64,
    /// Claims, as the stream's statistics count them.
    counted: u64,
    /// What must not be.
    broken: Vec<String>,
    /// How it went.
    pace: Pace,
}

/// The users' part.
#[derive(Debug, Default)]
struct Rush {
    stream: String,
    stock: u64,
    /// Winners go on with their own claim.
    repeat: bool,
    /// Number of each user's next claim.
    next: Vec<u64>,
    /// Request and claim of each user's first grant.
    first: Vec<Option<Box<[u8]>>>,
    per_user: Vec<u64>,
    ids: HashSet<Box<[u8]>>,
    answered: u64,
    broken: Vec<String>,
}

impl Rush {
    fn new(stream: String, users: usize, stock: u64, repeat: bool) -> Self {
        let ids = HashSet::with_capacity(usize::try_from(stock).unwrap_or(0));
        let (next, first, per_user) = (vec![0; users], vec![None; users], vec![0; users]);
        Self { stream, stock, repeat, next, first, per_user, ids, ..Self::default() }
    }

    fn broke(&mut self, what: impl FnOnce() -> String) {
        if self.broken.len() < 5 {
            self.broken.push(what());
        }
    }
}

impl Part for Rush {
    fn next(&mut self, user: usize) -> Option<String> {
        let number = if self.first[user].is_some() && self.repeat { 0 } else { self.next[user] };
        self.next[user] += 1;
        let stream = &self.stream;
        Some(format!(r#"["drop:claim",{{"stream":"{stream}","drop":"d","requestId":"r{number}"}}]"#))
    }

    fn answered(&mut self, user: usize, answer: Result<&[u8], String>) {
        self.answered += 1;
        match answer {
            Ok(reply) => {
                let id = id(reply);
                if self.repeat && self.first[user].is_some() {
                    if self.first[user].as_deref() != Some(id) {
                        self.broke(|| format!("user {user} was shown another claim than the one that was granted"));
                    }
                } else if self.ids.insert(id.into()) {
                    self.per_user[user] += 1;
                    self.first[user].get_or_insert_with(|| id.into());
                } else {
                    self.broke(|| format!("claim {} was granted twice", String::from_utf8_lossy(id)));
                }
            }
            Err(why) if why.contains(r#""sold_out""#) => {}
            // One of several claims that were under way when the first was granted.
            Err(why) if why.contains(r#""limit_reached""#) && self.repeat => {}
            Err(why) => self.broke(|| why),
        }
    }

    fn is_over(&self) -> bool {
        !self.repeat && self.ids.len() as u64 >= self.stock
    }
}

fn id(reply: &[u8]) -> &[u8] {
    let start = memchr::memmem::find(reply, br#""id":""#).map_or(0, |at| at + 6);
    let rest = reply.get(start..).unwrap_or_default();
    rest.get(..memchr::memchr(b'"', rest).unwrap_or(0)).unwrap_or_default()
}

/// Runs `claims`, or `soldout`.
///
/// # Errors
/// If the options do not fit, somebody is not let in, or the run is interrupted.
pub(crate) fn run(args: &ClaimsArgs, after_sold_out: bool, run: &mut Run) -> anyhow::Result<Claims> {
    let mut sale = Sale::open(&args.sale, Who::Publisher, run)?;
    let (stream, stock, users) = (sale.stream(), args.stock, args.sale.users);
    let per_user = if after_sold_out { 1 } else { stock };
    let product = r#"{"id":"p","title":"p","price":{"amount":100,"currency":"INR"}}"#;
    sale.order(&format!(r#"["product:put",{{"stream":"{stream}","product":{product}}}]"#))?;
    let price = r#"{"amount":100,"currency":"INR"}"#;
    let drop = format!(r#"{{"id":"d","product":"p","price":{price},"stock":{stock},"perUser":{per_user}}}"#);
    sale.order(&format!(r#"["drop:open",{{"stream":"{stream}","drop":{drop}}}]"#))?;
    let mut rush = Rush::new(stream.clone(), users, stock, after_sold_out);
    if after_sold_out {
        sale.play(&mut rush, args.warmup, &mut run.progress)?;
        rush.answered = 0;
    }
    let before = sale.before()?;
    sale.play(&mut rush, args.seconds, &mut run.progress)?;
    let pace = sale.pace(before)?;
    let answered = if after_sold_out { rush.answered } else { rush.ids.len() as u64 };
    let unanswered = sale.settle(&mut rush)?;
    let closed = sale.order(&format!(r#"["drop:close",{{"stream":"{stream}","drop":"d"}}]"#))?;
    let left = number_behind(&closed, r#""left":"#).context("drop:close says nothing of what is left")?;
    let stats = sale.order(&format!(r#"["stream:stats",{{"stream":"{stream}"}}]"#))?;
    let counted = number_behind(&stats, r#""claims":"#).context("stream:stats says nothing of claims")?;
    let mut found = Claims {
        users,
        window: args.sale.window,
        stock,
        after_sold_out,
        answered,
        claims_per_second: answered as f64 / pace.seconds,
        granted: rush.ids.len() as u64,
        sold: stock.saturating_sub(left),
        counted,
        broken: std::mem::take(&mut rush.broken),
        pace,
    };
    found.check(&rush, per_user, (unanswered, sale.lost));
    Ok(found)
}

impl Claims {
    fn check(&mut self, rush: &Rush, per_user: u64, (unanswered, lost): (usize, usize)) {
        let Self { granted, sold, counted, stock, .. } = *self;
        let mut must = |holds: bool, what: String| {
            if !holds {
                self.broken.push(what);
            }
        };
        must(granted <= stock, format!("{granted} of {stock} units were granted"));
        must(granted == sold && granted == counted, format!("{granted} granted, {sold} sold, {counted} counted"));
        must(rush.per_user.iter().all(|count| *count <= per_user), format!("a user has more than {per_user}"));
        must(unanswered == 0 && lost == 0, format!("{unanswered} claims unanswered, {lost} connections lost"));
        if self.after_sold_out {
            must(granted == stock, format!("only {granted} of {stock} units were granted"));
            if let Some(commands) = self.pace.redis_commands_per_second() {
                must(commands < IDLE_COMMANDS, format!("redis was sent {commands:.1} commands a second"));
            }
        }
    }

    /// Whether every promise was kept.
    pub(crate) fn clean(&self) -> bool {
        self.broken.is_empty() && self.answered > 0
    }

    /// Rows of the table.
    pub(crate) fn rows(&self) -> Vec<(String, String)> {
        let mut rows = vec![
            ("claims/s".to_owned(), format!("{:.0}", self.claims_per_second)),
            (
                "claims".to_owned(),
                format!(
                    "{} in {:.2} s, {} users with {} under way each",
                    self.answered, self.pace.seconds, self.users, self.window
                ),
            ),
            (
                "granted".to_owned(),
                format!("{} of {}; sold {}, counted {}", self.granted, self.stock, self.sold, self.counted),
            ),
        ];
        rows.extend(self.pace.rows("claims", self.answered));
        rows.extend(self.broken.iter().map(|what| ("BROKEN".to_owned(), what.clone())));
        rows
    }

    /// Cores' worth of other processes.
    pub(crate) fn others_busy(&self) -> Option<f64> {
        self.pace.others_busy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(id: &str) -> Vec<u8> {
        format!(r#"7[{{"ok":true,"claim":{{"id":"{id}","drop":"d"}},"left":1}}]"#).into_bytes()
    }

    #[test]
    fn a_claim_that_is_granted_twice_is_a_broken_promise() {
        let mut rush = Rush::new("s".to_owned(), 2, 3, false);
        rush.answered(0, Ok(&granted("c1")));
        rush.answered(1, Ok(&granted("c2")));
        assert!(rush.broken.is_empty() && !rush.is_over());
        rush.answered(1, Ok(&granted("c1")));
        assert_eq!((rush.broken.len(), rush.ids.len()), (1, 2));
    }

    #[test]
    fn a_winner_is_shown_the_same_claim_again() {
        let mut rush = Rush::new("s".to_owned(), 1, 1, true);
        assert!(rush.next(0).unwrap().contains(r#""r0""#));
        rush.answered(0, Ok(&granted("c1")));
        assert!(rush.next(0).unwrap().contains(r#""r0""#));
        rush.answered(0, Ok(&granted("c1")));
        assert!(rush.broken.is_empty());
        rush.answered(0, Ok(&granted("c2")));
        rush.answered(0, Err(r#"{"code":"internal"}"#.to_owned()));
        assert_eq!(rush.broken.len(), 2);
    }
}
