//! The address that a gateway tells the others. Where it listens says little in a container, which listens everywhere; where
//! its packets to Redis leave is on the network that the fleet shares. Nothing is sent to find out.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::UdpSocket;

/// Where packets to the internet would go, to learn which way they leave (RFC 5737).
const SOMEWHERE: &str = "192.0.2.1:9";
const REDIS_PORT: &str = "6379";

/// The address of this host that leads to the Redis of `url`; the one that leads out if that cannot be told; else the
/// loopback.
pub async fn address(url: Option<&str>) -> IpAddr {
    let redis = url.and_then(host);
    for target in redis.as_deref().into_iter().chain([SOMEWHERE]) {
        if let Some(address) = leading_to(target).await {
            return address;
        }
    }
    IpAddr::V4(Ipv4Addr::LOCALHOST)
}

async fn leading_to(target: &str) -> Option<IpAddr> {
    for target in tokio::net::lookup_host(target).await.ok()? {
        let any = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let Ok(socket) = UdpSocket::bind(any).await else { continue };
        if socket.connect(target).await.is_ok() {
            return socket.local_addr().ok().map(|address| address.ip()).filter(|address| !address.is_unspecified());
        }
    }
    None
}

/// Host and port of a Redis URL, the first of several.
fn host(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    if scheme == "unix" {
        return None;
    }
    let authority = rest.split(['/', '?', ',']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    (!host.is_empty()).then(|| if has_port { host.to_owned() } else { format!("{host}:{REDIS_PORT}") })
}

/// What others are told: `configured` as it is, with the port of `bound` where it has none; without it where this gateway
/// listens, or `fallback` if that is everywhere.
pub fn announced(configured: Option<&str>, bound: SocketAddr, fallback: IpAddr) -> String {
    let Some(configured) = configured else {
        let ip = if bound.ip().is_unspecified() { fallback } else { bound.ip() };
        return SocketAddr::new(ip, bound.port()).to_string();
    };
    match configured.parse::<IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, bound.port()).to_string(),
        Err(_) if configured.contains(':') => configured.to_owned(),
        Err(_) => format!("{configured}:{}", bound.port()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_redis_url() {
        let cases = [
            ("redis://127.0.0.1", Some("127.0.0.1:6379")),
            ("redis://127.0.0.1:6380/3", Some("127.0.0.1:6380")),
            ("rediss://user:pa:ss@redis.internal:7000?timeout=1", Some("redis.internal:7000")),
            ("redis://:p@ss@redis/0", Some("redis:6379")),
            ("redis://[fd00::1]", Some("[fd00::1]:6379")),
            ("redis://[fd00::1]:7000/", Some("[fd00::1]:7000")),
            ("redis://one:7001,two:7002", Some("one:7001")),
            ("unix:///run/redis.sock", None),
            ("redis:///", None),
        ];
        for (url, expected) in cases {
            assert_eq!(host(url).as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn others_are_told_what_was_configured_or_where_it_listens() {
        let fallback: IpAddr = "10.0.0.7".parse().unwrap();
        let cases = [
            (None, "127.0.0.1:4000", "127.0.0.1:4000"),
            (None, "0.0.0.0:4000", "10.0.0.7:4000"),
            (None, "[::]:4000", "10.0.0.7:4000"),
            (Some("192.0.2.7"), "0.0.0.0:4000", "192.0.2.7:4000"),
            (Some("192.0.2.7:5000"), "0.0.0.0:4000", "192.0.2.7:5000"),
            (Some("fd00::7"), "0.0.0.0:4000", "[fd00::7]:4000"),
            (Some("[fd00::7]:5000"), "0.0.0.0:4000", "[fd00::7]:5000"),
            (Some("gateway-1"), "0.0.0.0:4000", "gateway-1:4000"),
            (Some("gateway-1:5000"), "0.0.0.0:4000", "gateway-1:5000"),
        ];
        for (configured, bound, expected) in cases {
            assert_eq!(announced(configured, bound.parse().unwrap(), fallback), expected, "{configured:?} {bound}");
        }
    }

    #[tokio::test]
    async fn the_way_to_a_redis_of_this_host_is_the_loopback() {
        assert_eq!(address(Some("redis://127.0.0.1:6379")).await, IpAddr::V4(Ipv4Addr::LOCALHOST));
        assert!(!address(Some("redis://no-such-host.invalid")).await.is_unspecified());
        assert!(!address(None).await.is_unspecified());
    }
}
