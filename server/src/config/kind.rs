//! [`Kind`]: which values a key takes, how they are written, and what is said of one that it does not take.

use std::net::{IpAddr, SocketAddr};

use toml::Value;

use super::{Network, network::is_for_webhooks};

/// Which values a key takes.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A whole number within these bounds.
    Whole(i64, i64),
    /// A number within these bounds.
    Number(f64, f64),
    /// `true` or `false`.
    Switch,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// An address and a port.
    Address,
    /// The same, or `auto`, or `off`.
    PeerListen,
    /// A host, with a port or without.
    Host,
    /// The path of an endpoint.
    Endpoint,
    /// Any text.
    Text,
    /// A file or a folder.
    Path,
    /// An HS256 secret.
    Secret,
    /// A password.
    Password,
    /// A Redis URL.
    RedisUrl,
    /// Browser origins.
    Origins,
    /// Addresses and blocks of them.
    Networks,
    /// A few short words.
    Words,
    /// Addresses of other servers.
    Urls,
}

/// What a Redis URL begins with.
const REDIS_SCHEMES: [&str; 7] = [
    "redis://",
    "rediss://",
    "unix://",
    "redis+sentinel://",
    "rediss+sentinel://",
    "redis+cluster://",
    "rediss+cluster://",
];
/// Bytes that HS256 needs of a secret (RFC 7518, 3.2).
const SECRET_BYTES: usize = 32;

/// Words of a list.
const MAX_WORDS: usize = 32;

impl Kind {
    /// What is allowed, for people.
    pub fn allowed(self) -> String {
        match self {
            Self::Whole(min, max) => format!("a whole number from {min} to {max}"),
            Self::Number(min, max) => format!("a number from {min} to {max}"),
            Self::Switch => "true or false".into(),
            Self::Choice(words) => words.join(", "),
            Self::Address => "an address with a port, such as 127.0.0.1:3000 or [::]:3000".into(),
            Self::PeerListen => format!("auto, off, or {}", Self::Address.allowed()),
            Self::Host => {
                "a host name or an address, with or without a port, such as 10.0.0.7 or gateway-1:9091".into()
            }
            Self::Endpoint => {
                "a path that begins and ends with a slash, such as /socket.io/, of A-Z a-z 0-9 . _ ~ -".into()
            }
            Self::Text | Self::Path | Self::Password => "a text".into(),
            Self::Secret => format!("a text of at least {SECRET_BYTES} bytes"),
            Self::RedisUrl => format!("a URL that begins with {}", REDIS_SCHEMES.join(", ")),
            Self::Origins => "a list of origins such as https://shop.example, without a path, or * alone".into(),
            Self::Urls => "a list of URLs such as https://shop.example/hook, without a user, and not of a link or of many machines".into(),
            Self::Words => format!("a list of at most {MAX_WORDS} words of 1 to 32 of a-z 0-9 _ -"),
            Self::Networks => "a list of addresses and blocks such as 10.0.0.0/8".into(),
        }
    }

    /// The value that a text of the environment or of a flag means. `None` for an empty text, which is as good as none
    /// for everything but lists.
    ///
    /// # Errors
    /// What is allowed.
    pub fn parse(self, text: &str) -> Result<Option<Value>, String> {
        let value = match self {
            Self::Whole(..) => text.parse().ok().map(Value::Integer),
            Self::Number(..) => text.parse().ok().map(Value::Float),
            Self::Switch => text.parse().ok().map(Value::Boolean),
            _ => Some(Value::String(text.to_owned())),
        };
        match value {
            None if text.is_empty() => Ok(None),
            Some(value) => self.read(value),
            None => Err(self.allowed()),
        }
    }

    /// The value in the one form that the code reads, if it is allowed: numbers as floats where they may have a
    /// fraction, lists as lists. `None` for an empty text, as with [`parse`](Self::parse).
    ///
    /// # Errors
    /// What is allowed.
    pub fn read(self, value: Value) -> Result<Option<Value>, String> {
        if let (Self::Origins | Self::Networks | Self::Words | Self::Urls, Some(items)) = (self, items(&value)) {
            return if self.list_is_good(&items) {
                Ok(Some(Value::Array(items.into_iter().map(Value::String).collect())))
            } else {
                Err(self.allowed())
            };
        }
        let value = match (self, value) {
            (Self::Number(..), Value::Integer(number)) => Value::Float(number as f64),
            (_, value) => value,
        };
        match &value {
            Value::String(text) if text.is_empty() => Ok(None),
            value if self.is_good(value) => Ok(Some(value.clone())),
            _ => Err(self.allowed()),
        }
    }

    fn is_good(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Whole(min, max), Value::Integer(number)) => (min..=max).contains(number),
            (Self::Number(min, max), Value::Float(number)) => (min..=max).contains(number),
            (Self::Switch, Value::Boolean(_)) | (Self::Text | Self::Path | Self::Password, Value::String(_)) => true,
            (Self::Choice(words), Value::String(text)) => words.contains(&text.as_str()),
            (Self::Address, Value::String(text)) => text.parse::<SocketAddr>().is_ok(),
            (Self::PeerListen, Value::String(text)) => {
                matches!(text.as_str(), "auto" | "off") || text.parse::<SocketAddr>().is_ok()
            }
            (Self::Host, Value::String(text)) => is_host(text),
            (Self::Endpoint, Value::String(text)) => is_endpoint(text),
            (Self::Secret, Value::String(text)) => text.len() >= SECRET_BYTES,
            (Self::RedisUrl, Value::String(text)) => {
                REDIS_SCHEMES.iter().any(|scheme| text.len() > scheme.len() && text.starts_with(scheme))
            }
            _ => false,
        }
    }

    fn list_is_good(self, items: &[String]) -> bool {
        match self {
            Self::Urls => items.iter().all(|item| is_url(item)),
            Self::Words => items.len() <= MAX_WORDS && items.iter().all(|item| is_word(item)),
            Self::Origins => items == ["*"] || items.iter().all(|item| is_origin(item)),
            _ => items.iter().all(|item| item.parse::<Network>().is_ok()),
        }
    }
}

/// The items of a list, which may be written as a text with commas.
fn items(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Array(values) => values.iter().map(|value| value.as_str().map(str::to_owned)).collect(),
        Value::String(text) => {
            Some(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
        }
        _ => None,
    }
}

/// As browsers send it: they leave out default ports and write it in lower case, and it is compared whole.
fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return false };
    let word = |text: &str, more: &[u8]| {
        !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || more.contains(&byte))
    };
    let default_port = scheme == "http" && host.ends_with(":80") || scheme == "https" && host.ends_with(":443");
    word(scheme, b"+-.") && word(host, b".-_:[]") && !default_port
}

fn is_host(text: &str) -> bool {
    let name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
    };
    match text.rsplit_once(':') {
        _ if text.parse::<IpAddr>().is_ok() || text.parse::<SocketAddr>().is_ok() => true,
        Some((host, port)) => name(host) && port.parse::<u16>().is_ok_and(|port| port != 0),
        None => name(text),
    }
}

/// A user in it would be shown wherever the address is.
fn is_url(text: &str) -> bool {
    let Ok(uri) = text.parse::<http::Uri>() else { return false };
    let Some(authority) = uri.authority() else { return false };
    let (host, user) = (authority.host(), authority.as_str().contains('@'));
    // A name is looked at again where it is looked up.
    let address = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
    let good = !host.is_empty() && !user && address.is_none_or(is_for_webhooks);
    good && matches!(uri.scheme_str(), Some("http" | "https"))
}

fn is_word(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    (1..=32).contains(&text.len()) && text.bytes().all(good)
}

fn is_endpoint(text: &str) -> bool {
    let inner = text.strip_prefix('/').and_then(|text| text.strip_suffix('/'));
    inner.is_some_and(|inner| {
        inner.split('/').all(|part| {
            !part.is_empty()
                && !matches!(part, "." | "..")
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte))
        })
    })
}

#[cfg(test)]
mod tests {
    use crate::config::table::find;

    #[test]
    fn values_are_checked_by_kind() {
        let cases = [
            ("shards", "1", true),
            ("shards", "64", true),
            ("shards", "0", false),
            ("shards", "65", false),
            ("shards", "1.5", false),
            ("shards", "two", false),
            ("drain_seconds", "0.5", true),
            ("drain_seconds", "30", true),
            ("drain_seconds", "-1", false),
            ("drain_seconds", "nan", false),
            ("drain_seconds", "inf", false),
            ("drain_seconds", "1e9", false),
            ("drain_seconds", "30s", false),
            ("guests", "true", true),
            ("guests", "yes", false),
            ("listen", "127.0.0.1:0", true),
            ("listen", "[::]:3000", true),
            ("listen", "localhost:3000", false),
            ("listen", "3000", false),
            ("listen", "127.0.0.1:65536", false),
            ("log.format", "json", true),
            ("log.format", "JSON", false),
            ("auth.secret", "0123456789abcdef0123456789abcdef", true),
            ("auth.secret", "0123456789abcdef0123456789abcde", false),
            ("redis.url", "redis://127.0.0.1", true),
            ("redis.url", "rediss://", false),
            ("redis.url", "http://127.0.0.1", false),
            ("origins", "*", true),
            ("origins", "https://a.example, http://localhost:5173", true),
            ("origins", "https://a.example,*", false),
            ("origins", "https://a.example/", false),
            ("origins", "https://a.example:443", false),
            ("origins", "https://A.example", false),
            ("origins", "a.example", false),
            ("origins", "null", false),
            ("trusted_proxies", "10.0.0.0/8,::1", true),
            ("trusted_proxies", "10.0.0.0/64", false),
            ("engine.path", "/socket.io/", true),
            ("engine.path", "/a/b/", true),
            ("engine.path", "/", false),
            ("engine.path", "/socket.io", false),
            ("engine.path", "/a//b/", false),
            ("engine.path", "/../", false),
            ("engine.path", "/a?b/", false),
            ("limits.rooms", "0", true),
            ("peer.listen", "auto", true),
            ("peer.listen", "off", true),
            ("peer.listen", "0.0.0.0:9091", true),
            ("peer.listen", "0.0.0.0", false),
            ("peer.listen", "on", false),
            ("peer.address", "10.0.0.7", true),
            ("peer.address", "10.0.0.7:9091", true),
            ("peer.address", "fd00::7", true),
            ("peer.address", "[fd00::7]:9091", true),
            ("peer.address", "gateway-1.shop.internal", true),
            ("peer.address", "gateway-1:9091", true),
            ("peer.address", "gateway-1:0", false),
            ("peer.address", "gateway-1:", false),
            ("peer.address", ":9091", false),
            ("peer.address", "http://gateway-1", false),
            ("reactions", "heart,thumbs_up", true),
            ("reactions", "heart,Thumbs", false),
            ("reactions", "a b", false),
            ("webhooks.urls", "https://shop.example/hook?a=1,http://10.0.0.1:8080/", true),
            ("webhooks.urls", "http://127.0.0.1:8080/hook,http://[::1]/", true),
            ("webhooks.urls", "http://169.254.169.254/latest/meta-data/", false),
            ("webhooks.urls", "http://[::ffff:169.254.169.254]/", false),
            ("webhooks.urls", "http://[fe80::1]/", false),
            ("webhooks.urls", "http://0.0.0.0:8080/", false),
            ("webhooks.urls", "ftp://shop.example/", false),
            ("webhooks.urls", "https://user:pass@shop.example/", false),
            ("webhooks.urls", "shop.example", false),
            ("webhooks.urls", "/hook", false),
        ];
        for (path, text, good) in cases {
            assert_eq!(find(path).unwrap().kind.parse(text).is_ok(), good, "{path} = {text}");
        }
    }
}
