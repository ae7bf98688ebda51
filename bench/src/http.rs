//! One GET: the metrics of a gateway, the ledger of a stream.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, bail};

/// How long to wait for a connection, or for bytes.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer, bytes.
const MAX_ANSWER: u64 = 64 * 1024 * 1024;

/// The body of `http://host:port/path`, with a bearer token if one is given.
///
/// # Errors
/// If it cannot be had, or the status is not 200.
pub(crate) fn get(url: &str, token: Option<&str>) -> anyhow::Result<String> {
    let rest = url.strip_prefix("http://").with_context(|| format!("{url}: http:// is expected"))?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = if path.is_empty() { "/" } else { path };
    let with_port = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    let address = with_port.to_socket_addrs()?.next().with_context(|| format!("{host}: no address"))?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let auth = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    // The oldest version, whose answers end with the connection: there are no chunks to put together.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\n{auth}Connection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        bail!("{url}: status {status}: {}", body.chars().take(200).collect::<String>());
    }
    Ok(body.to_owned())
}

/// The sum of a metric over those of its rows that have this label, such as `kind="own"`; every row has the empty one. `None`
/// if there is no such row.
pub(crate) fn metric(text: &str, name: &str, label: &str) -> Option<f64> {
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let (labels, value) = match rest.strip_prefix('{') {
            Some(labelled) => labelled.rsplit_once('}')?,
            None if rest.starts_with(' ') => ("", rest),
            None => return None,
        };
        let value = value.split_ascii_whitespace().next()?.parse::<f64>().ok()?;
        labels.contains(label).then_some(value)
    });
    values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_labels() {
        let text = "# HELP a b\na{x=\"1 }\"} 2\na{x=\"2\"} 3.5 17\nab 9\nb 1\n";
        assert_eq!(metric(text, "a", ""), Some(5.5));
        assert_eq!(metric(text, "a", "x=\"2\""), Some(3.5));
        assert_eq!(metric(text, "b", ""), Some(1.0));
        assert_eq!(metric(text, "c", ""), None);
    }

    #[test]
    fn a_body_is_read_and_a_refusal_is_an_error() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let mut asked = Vec::new();
            for answer in ["HTTP/1.0 200 OK\r\n\r\na b 1\n", "HTTP/1.0 401 No\r\n\r\n{}"] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    head.push(byte[0]);
                }
                asked.push(String::from_utf8(head).unwrap());
                stream.write_all(answer.as_bytes()).unwrap();
            }
            asked
        });
        assert_eq!(get(&format!("http://{address}/metrics"), Some("x")).unwrap(), "a b 1\n");
        assert!(get(&format!("http://{address}"), None).unwrap_err().to_string().contains("401"));
        let asked = server.join().unwrap();
        assert!(asked[0].starts_with("GET /metrics HTTP/1.0\r\n"), "{asked:?}");
        assert!(asked[0].contains("\r\nAuthorization: Bearer x\r\n"));
    }
}
