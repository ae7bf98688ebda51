//! Requests to the HTTP API, one connection each.

use std::{collections::BTreeMap, net::SocketAddr};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{World, patiently, token};

/// What came back.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub text: String,
}

impl Response {
    /// The JSON value of the body.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The code of the error that it must be.
    pub fn code(&self) -> String {
        let body = self.json();
        assert_eq!(body["ok"], false, "{body}");
        body["error"]["code"].as_str().expect("a code").to_owned()
    }
}

/// Sends a request as it is, and reads the answer.
pub async fn raw(address: SocketAddr, request: &[u8]) -> Response {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    // The server may answer, and close, before it has read everything.
    let _ = stream.write_all(request).await;
    let mut bytes = Vec::new();
    let _ = patiently("an answer", stream.read_to_end(&mut bytes)).await;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a status");
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    Response { status, headers, text: body.to_owned() }
}

/// Sends a request with these headers, and reads the answer.
pub async fn send(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    raw(address, request.as_bytes()).await
}

impl World {
    /// Reads an address, with a token or without.
    pub async fn get(&self, path: &str, token: Option<&str>) -> Response {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<(&str, &str)> = bearer.iter().map(|bearer| ("Authorization", &**bearer)).collect();
        send(self.address, "GET", path, &headers, "").await
    }

    /// Posts a JSON body.
    pub async fn post(&self, path: &str, token: Option<&str>, body: &Value) -> Response {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let mut headers = vec![("Content-Type", "application/json")];
        headers.extend(bearer.iter().map(|bearer| ("Authorization", &**bearer)));
        send(self.address, "POST", path, &headers, &body.to_string()).await
    }

    /// Issues a command in `main`.
    pub async fn command(&self, token: &str, command: &str, mut body: Value) -> Response {
        if let Some(body) = body.as_object_mut() {
            body.entry("stream").or_insert_with(|| "main".into());
        }
        self.post(&format!("/v1/commands/{command}"), Some(token), &body).await
    }

    /// Issues a command in `main` as a service, which must succeed.
    pub async fn done(&self, command: &str, body: Value) -> Value {
        let reply = self.command(&token("shop", "service", &["*"]), command, body).await;
        assert_eq!((reply.status, &reply.json()["ok"]), (200, &json!(true)), "{command}: {reply:?}");
        reply.json()
    }
}
