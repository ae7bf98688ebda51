//! [`Seal`]: how a request proves that a gateway of the fleet has passed it on, for whom, and just now. One header:
//!
//! ```text
//! haat-hop: 1 <gateway> <count> <ms since 1970> <client address> <HMAC-SHA-256 of all that, the method and the target>
//! ```
//!
//! The target holds the session id, and that the gateway it is for: a seal is good for one session on one gateway. It is
//! good once: a gateway counts its requests, and whoever gets them remembers which counts it has had. It says nothing of
//! the body, and hides nothing; gateways talk over a network of their own.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use http::{HeaderName, HeaderValue, Method};
use sha2::Sha256;

/// The header that carries it.
pub const HEADER: HeaderName = HeaderName::from_static("haat-hop");

/// How old a seal may be, and how far clocks of gateways may differ.
const FRESH: Duration = Duration::from_secs(30);
/// Counts of one gateway that are remembered. An older one is taken for a repetition: so many requests do not overtake one.
const REMEMBERED: u64 = 1 << 16;
/// Gateways whose counts are remembered. Only who knows the secret adds one.
const MOST_SENDERS: usize = 1024;
/// What the key is for, so that it is not the key of anything else that is made from the same secret.
const PURPOSE: &[u8] = b"haat: requests between gateways";

/// What is wrong with a seal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// There is none.
    #[error("no seal")]
    Absent,
    /// It was not made with the secret of this fleet, or for another request.
    #[error("a forged seal")]
    Forged,
    /// It is too old, or from a clock that is wrong.
    #[error("an old seal")]
    Expired,
    /// It was used before.
    #[error("a used seal")]
    Replayed,
}

impl Broken {
    /// Its label in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Forged => "forged",
            Self::Expired => "expired",
            Self::Replayed => "replayed",
        }
    }
}

/// Makes seals for one gateway, and checks those of others.
pub struct Seal {
    number: u32,
    mac: Hmac<Sha256>,
    count: AtomicU64,
    seen: Mutex<HashMap<u32, Seen>>,
}

impl Seal {
    /// For the gateway `number` of the fleet with this secret.
    pub fn new(number: u32, secret: &[u8]) -> Self {
        let key = keyed(secret).chain_update(PURPOSE).finalize().into_bytes();
        Self { number, mac: keyed(&key), count: AtomicU64::new(0), seen: Mutex::default() }
    }

    /// The header of a request that is passed on for `client`.
    pub fn make(&self, client: IpAddr, method: &Method, target: &str, now: SystemTime) -> HeaderValue {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let text = format!("1 {} {count} {} {client}", self.number, milliseconds(now));
        let mac = URL_SAFE_NO_PAD.encode(self.over(&text, method, target).finalize().into_bytes());
        HeaderValue::try_from(format!("{text} {mac}")).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    /// The client for whom a request was passed on.
    ///
    /// # Errors
    /// Why the seal is not believed.
    pub fn check(
        &self,
        header: Option<&HeaderValue>,
        method: &Method,
        target: &str,
        now: SystemTime,
    ) -> Result<IpAddr, Broken> {
        let (text, mac) = header.ok_or(Broken::Absent)?.to_str().ok().and_then(split).ok_or(Broken::Forged)?;
        // Compared in constant time.
        self.over(text, method, target).verify_slice(&mac).map_err(|_| Broken::Forged)?;
        let Some([sender, count, made, client]) = fields(text) else { return Err(Broken::Forged) };
        let (Ok(sender), Ok(count), Ok(made), Ok(client)) =
            (sender.parse::<u32>(), count.parse::<u64>(), made.parse::<u64>(), client.parse::<IpAddr>())
        else {
            return Err(Broken::Forged);
        };
        let now = milliseconds(now);
        if u128::from(now.abs_diff(made)) > FRESH.as_millis() {
            return Err(Broken::Expired);
        }
        if self.is_first(sender, count, now) { Ok(client) } else { Err(Broken::Replayed) }
    }

    fn over(&self, text: &str, method: &Method, target: &str) -> Hmac<Sha256> {
        self.mac.clone().chain_update(format!("{text}\n{method}\n{target}"))
    }

    fn is_first(&self, sender: u32, count: u64, now: u64) -> bool {
        // What is remembered is whole after every step, so a panic elsewhere leaves nothing half done.
        let mut senders = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !senders.contains_key(&sender) {
            // Seals of one who was silent for so long have all expired.
            let silent = 2 * FRESH.as_millis();
            senders.retain(|_, seen| u128::from(now.abs_diff(seen.heard)) <= silent);
            if senders.len() >= MOST_SENDERS {
                return false;
            }
        }
        let seen = senders.entry(sender).or_default();
        seen.heard = seen.heard.max(now);
        seen.is_first(count)
    }
}

/// Shows nothing of the secret.
impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seal").field("number", &self.number).finish_non_exhaustive()
    }
}

/// Which counts of a gateway there were.
struct Seen {
    /// When it was last heard of, ms since 1970.
    heard: u64,
    /// One more than the highest count.
    next: u64,
    /// One bit for each of the last [`REMEMBERED`] counts, at its place in the ring.
    ring: Box<[u64]>,
}

impl Default for Seen {
    fn default() -> Self {
        Self { heard: 0, next: 0, ring: vec![0; (REMEMBERED / 64) as usize].into() }
    }
}

impl Seen {
    fn is_first(&mut self, count: u64) -> bool {
        let Some(next) = count.checked_add(1) else { return false };
        if count >= self.next {
            // The places of the counts in between are those of counts that are forgotten now.
            for forgotten in self.next.max(count.saturating_sub(REMEMBERED - 1))..=count {
                *self.word(forgotten) &= !bit(forgotten);
            }
            self.next = next;
        } else if count.saturating_add(REMEMBERED) < self.next {
            return false;
        }
        let word = self.word(count);
        let first = *word & bit(count) == 0;
        *word |= bit(count);
        first
    }

    fn word(&mut self, count: u64) -> &mut u64 {
        &mut self.ring[(count % REMEMBERED / 64) as usize]
    }
}

fn bit(count: u64) -> u64 {
    1 << (count % 64)
}

fn keyed(secret: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(secret).expect("HMAC takes keys of every length")
}

/// The text, and the bytes of the code behind it.
fn split(header: &str) -> Option<(&str, Vec<u8>)> {
    let (text, mac) = header.rsplit_once(' ')?;
    Some((text, URL_SAFE_NO_PAD.decode(mac).ok()?))
}

/// What the text says, if it is of the version that is spoken here.
fn fields(text: &str) -> Option<[&str; 4]> {
    let fields: Vec<&str> = text.strip_prefix("1 ")?.split(' ').collect();
    fields.try_into().ok()
}

fn milliseconds(now: SystemTime) -> u64 {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const TARGET: &str = "/socket.io/?EIO=4&transport=polling&sid=abc";

    fn client() -> IpAddr {
        "2001:db8::7".parse().unwrap()
    }

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    fn made(by: &Seal) -> HeaderValue {
        by.make(client(), &Method::GET, TARGET, now())
    }

    fn checked(by: &Seal, header: &HeaderValue) -> Result<IpAddr, Broken> {
        by.check(Some(header), &Method::GET, TARGET, now())
    }

    #[test]
    fn one_of_the_fleet_is_believed_once() {
        let (sender, receiver) = (Seal::new(1, b"secret"), Seal::new(2, b"secret"));
        for _ in 0..3 {
            let header = made(&sender);
            assert_eq!(checked(&receiver, &header), Ok(client()));
            assert_eq!(checked(&receiver, &header), Err(Broken::Replayed));
        }
    }

    #[test]
    fn nobody_else_is_believed() {
        let (sender, receiver) = (Seal::new(1, b"secret"), Seal::new(2, b"secret"));
        assert_eq!(receiver.check(None, &Method::GET, TARGET, now()), Err(Broken::Absent));
        assert_eq!(checked(&receiver, &made(&Seal::new(1, b"other"))), Err(Broken::Forged));
        let header = made(&sender);
        let text = header.to_str().unwrap();
        for place in 0..text.len() {
            let mut other = text.as_bytes().to_vec();
            other[place] = if other[place] == b'0' { b'1' } else { b'0' };
            let header = HeaderValue::from_bytes(&other).unwrap();
            assert_eq!(checked(&receiver, &header), Err(Broken::Forged), "{header:?}");
        }
        for text in ["", " ", "1", "1 1 0 0 ::1", "1 1 0 0 ::1 ", "\u{7f}"] {
            let Ok(header) = HeaderValue::from_str(text) else { continue };
            assert_eq!(checked(&receiver, &header), Err(Broken::Forged), "{text:?}");
        }
        assert_eq!(checked(&receiver, &header), Ok(client()), "what was refused uses nothing up");
    }

    #[test]
    fn a_seal_is_good_for_one_request() {
        let (sender, receiver) = (Seal::new(1, b"secret"), Seal::new(2, b"secret"));
        let header = made(&sender);
        assert_eq!(receiver.check(Some(&header), &Method::POST, TARGET, now()), Err(Broken::Forged));
        assert_eq!(receiver.check(Some(&header), &Method::GET, "/other", now()), Err(Broken::Forged));
    }

    #[test]
    fn a_seal_expires() {
        let (sender, receiver) = (Seal::new(1, b"secret"), Seal::new(2, b"secret"));
        let (early, late) = (now() - FRESH, now() + FRESH);
        let tick = Duration::from_millis(1);
        let header = made(&sender);
        for wrong in [early - tick, late + tick] {
            assert_eq!(receiver.check(Some(&header), &Method::GET, TARGET, wrong), Err(Broken::Expired));
        }
        assert_eq!(receiver.check(Some(&header), &Method::GET, TARGET, early), Ok(client()));
        assert_eq!(receiver.check(Some(&made(&sender)), &Method::GET, TARGET, late), Ok(client()));
    }

    #[test]
    fn requests_may_overtake_each_other() {
        let (sender, receiver) = (Seal::new(1, b"secret"), Seal::new(2, b"secret"));
        let mut headers: Vec<_> = (0..1000).map(|_| made(&sender)).collect();
        headers.reverse();
        headers.swap(0, 500);
        for header in &headers {
            assert_eq!(checked(&receiver, header), Ok(client()));
        }
        for header in &headers {
            assert_eq!(checked(&receiver, header), Err(Broken::Replayed));
        }
    }

    #[test]
    fn counts_are_remembered_as_a_set_would() {
        // Steps of every size, so that the ring is passed in part, wholly, and again; and looks back as far as it goes.
        let (mut seen, mut model, mut highest) = (Seen::default(), HashSet::new(), 0);
        let forward = [1, 2, 63, 64, 65, 1000, REMEMBERED - 1, REMEMBERED, REMEMBERED + 1, 5 * REMEMBERED + 7];
        let back = [0, 1, 62, 63, 64, 65, 999, 1000, REMEMBERED - 2, REMEMBERED - 1, REMEMBERED, REMEMBERED + 1];
        for step in forward.into_iter().cycle().take(100) {
            highest += step;
            for count in back.iter().filter_map(|back| highest.checked_sub(*back)) {
                let expected = count + REMEMBERED > highest && model.insert(count);
                assert_eq!(seen.is_first(count), expected, "{count} of {highest}");
            }
        }
        assert!(seen.is_first(u64::MAX - 1) && !seen.is_first(u64::MAX - 1) && seen.is_first(u64::MAX - 2));
        assert!(!seen.is_first(u64::MAX), "there is nothing to count on from it");
    }

    #[test]
    fn senders_are_bounded_and_forgotten() {
        let receiver = Seal::new(0, b"secret");
        for number in 1..=1024 {
            assert_eq!(checked(&receiver, &made(&Seal::new(number, b"secret"))), Ok(client()));
        }
        assert_eq!(checked(&receiver, &made(&Seal::new(5000, b"secret"))), Err(Broken::Replayed));
        let later = now() + 3 * FRESH;
        let header = Seal::new(5000, b"secret").make(client(), &Method::GET, TARGET, later);
        assert_eq!(receiver.check(Some(&header), &Method::GET, TARGET, later), Ok(client()));
        assert_eq!(receiver.seen.lock().unwrap().len(), 1);
    }

    #[test]
    fn the_secret_is_not_shown() {
        assert_eq!(format!("{:?}", Seal::new(7, b"canary")), "Seal { number: 7, .. }");
    }
}
