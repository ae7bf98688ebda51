//! From a TCP connection to a session.
//!
//! - [`accept`]: the listener of a shard, and the first request of a connection
//! - [`ask`]: what a request asks of Engine.IO, checked in the order of the official server
//! - [`http`]: long polling and everything that is no WebSocket, by hyper
//! - [`upgrade`]: WebSocket handshakes, and the switch of a polling session
//! - [`rewind`]: a socket whose first bytes were read already
//! - [`relay`]: requests whose session lives on another gateway; [`tunnel`]: WebSockets of such

pub mod accept;
pub mod ask;
pub mod http;
pub mod relay;
pub mod rewind;
pub mod tunnel;
pub mod upgrade;

use std::{net::IpAddr, rc::Rc, sync::Arc, time::Duration};

use ::http::{HeaderMap, Uri, Version, header, uri::Authority};

use crate::{
    config::{Network, Origins},
    fleet::Fleet,
    limit::Admission,
    shard::Shard,
};

/// A path where clients connect.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// `/socket.io/`; what begins with it is ours.
    pub path: String,
    /// Raw Engine.IO, without Socket.IO on top.
    pub raw: bool,
}

/// What all shards of a gateway use at the edge.
#[derive(Clone)]
pub struct Doors {
    /// Where clients connect.
    pub endpoints: Arc<[Endpoint]>,
    /// Who may, by browser origin.
    pub origins: Origins,
    /// Who may, by number.
    pub admission: Arc<Admission>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted: Arc<[Network]>,
    /// How long the head of a request may take.
    pub head_timeout: Duration,
    /// Serves every other path.
    pub site: axum::Router,
    /// The other gateways; without them a request for another gateway's session is one for none.
    pub fleet: Option<Arc<Fleet>>,
}

/// Who comes through a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Everybody.
    Clients,
    /// Gateways of the fleet, which prove that they are, with requests of their clients.
    Gateways,
}

/// Bytes of a request's head.
pub const MAX_HEAD: usize = 8 * 1024;
/// Lines of it.
pub const MAX_HEADERS: usize = 64;

/// What a proxy in front might understand in another way, so that it would let through what it should not (RFC 9112, 3.2
/// and 6.3).
pub fn is_ambiguous(version: Version, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (None, _) => version < Version::HTTP_11,
        (Some(host), None) => is_host(host.as_bytes()),
        _ => false,
    };
    let lengths = headers.get_all(header::CONTENT_LENGTH).iter().count();
    !host || lengths > 1 || lengths == 1 && headers.contains_key(header::TRANSFER_ENCODING)
}

/// A name or an address, and perhaps a port.
fn is_host(text: &[u8]) -> bool {
    let Ok(authority) = Authority::try_from(text) else { return text.is_empty() };
    let port = authority.as_str().strip_prefix(authority.host());
    port.is_some_and(|port| matches!(port, "" | ":") || authority.port_u16().is_some())
}

/// The edge of one shard.
pub struct Edge {
    /// The shard whose sessions it makes.
    pub shard: Rc<Shard>,
    /// What it shares with the others.
    pub doors: Doors,
    /// Connections to other gateways.
    pub relay: relay::Relay,
    /// For bytes on their way.
    pub scratch: tunnel::Scratch,
}

impl Edge {
    /// The edge of a shard.
    pub fn new(shard: Rc<Shard>, doors: Doors) -> Self {
        Self { shard, doors, relay: relay::Relay::default(), scratch: tunnel::Scratch::default() }
    }

    /// The endpoint of a request. A target that names a host is meant for a proxy, and has none.
    pub fn endpoint(&self, target: &Uri) -> Option<&Endpoint> {
        let path = if target.authority().is_none() { target.path() } else { "" };
        self.doors.endpoints.iter().find(|endpoint| path.starts_with(&endpoint.path))
    }

    /// The client's address: the peer's, or what trusted proxies say of it, read from the right.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let trusted = |address: IpAddr| self.doors.trusted.iter().any(|network| network.contains(address));
        let mut client = peer;
        let hops = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
        let hops: Vec<&str> = hops.flat_map(|value| value.split(',')).collect();
        for hop in hops.iter().rev() {
            if !trusted(client) {
                break;
            }
            let Ok(address) = hop.trim().parse() else { break };
            client = address;
        }
        client
    }
}

impl Origins {
    /// Whether a page of `origin` may connect to `host`. Requests that name no origin are not a browser's.
    pub fn allow(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        let Some(origin) = origin else { return true };
        let same = || {
            let authority = origin.split_once("://").map(|(_, authority)| authority);
            authority.is_some() && authority == host
        };
        match self {
            Self::Any => true,
            Self::Same => same(),
            Self::List(list) => list.iter().any(|allowed| allowed == origin) || same(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_compared_whole() {
        let list = Origins::List(vec!["https://shop.example".into()]);
        let host = Some("haat.example");
        let cases = [
            (Origins::Same, None, true),
            (Origins::Same, Some("https://haat.example"), true),
            (Origins::Same, Some("https://haat.example.evil.tld"), false),
            (Origins::Same, Some("https://haat.example:8443"), false),
            (Origins::Same, Some("null"), false),
            (Origins::Same, Some(""), false),
            (list.clone(), Some("https://shop.example"), true),
            (list.clone(), Some("https://haat.example"), true),
            (list.clone(), Some("https://shop.example.evil.tld"), false),
            (list.clone(), Some("http://shop.example"), false),
            (list, Some("null"), false),
            (Origins::Any, Some("https://anyone.example"), true),
        ];
        for (origins, origin, allowed) in cases {
            assert_eq!(origins.allow(origin, host), allowed, "{origins:?} {origin:?}");
        }
    }
}
