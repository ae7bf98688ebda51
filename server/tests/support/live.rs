//! What tests of a live sale say again and again.

use serde_json::{Value, json};

use super::{Client, World, token};

impl World {
    /// A connected client with a role in the stream `main`, which it has joined.
    pub async fn member(&self, sub: &str, role: &str) -> Client {
        let streams: &[&str] = if role == "viewer" { &[] } else { &["main"] };
        let mut client = Client::connect(self.address, &json!({ "token": token(sub, role, streams) })).await;
        client.join("main").await;
        client
    }

    /// A viewer of `main`.
    pub async fn viewer(&self, sub: &str) -> Client {
        self.member(sub, "viewer").await
    }

    /// The supplier of `main`, who has started it and joined.
    pub async fn host(&self) -> Client {
        let mut host = self.supplier(&["main"]).await;
        host.join("main").await;
        host
    }
}

impl Client {
    /// Issues a command in `main` that must succeed.
    pub async fn ok(&mut self, command: &str, body: Value) -> Value {
        let reply = self.call(command, &in_main(body)).await;
        assert_eq!(reply["ok"], true, "{command}: {reply}");
        reply
    }

    /// Issues a command in `main` that must fail. The error.
    pub async fn error(&mut self, command: &str, body: Value) -> Value {
        let reply = self.call(command, &in_main(body)).await;
        assert_eq!(reply["ok"], false, "{command}: {reply}");
        let error = reply["error"].clone();
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{reply}");
        error
    }

    /// The code of the error of a command in `main` that must fail.
    pub async fn code(&mut self, command: &str, body: Value) -> String {
        self.error(command, body).await["code"].as_str().expect("a code").to_owned()
    }

    /// The object of the next event of this name.
    pub async fn next(&mut self, event: &str) -> Value {
        self.event(event).await.swap_remove(0)
    }

    /// The object of the first event of this name for which this holds; others of the name are dropped.
    pub async fn until(&mut self, event: &str, mut holds: impl FnMut(&Value) -> bool) -> Value {
        loop {
            let object = self.next(event).await;
            if holds(&object) {
                return object;
            }
        }
    }

    /// All events that came until now, behind which nothing of before can come any more.
    pub async fn drain(&mut self) -> Vec<(String, Value)> {
        self.call("stream:history", &json!({ "stream": "main", "limit": 1 })).await;
        let events = self.events.drain(..);
        events.map(|mut event| (event[0].as_str().expect("a name").to_owned(), event.swap_remove(1))).collect()
    }
}

fn in_main(mut body: Value) -> Value {
    if let Some(body) = body.as_object_mut() {
        body.entry("stream").or_insert_with(|| "main".into());
    }
    body
}

/// A product.
pub fn product(id: &str) -> Value {
    json!({ "id": id, "title": format!("Product {id}"), "price": { "amount": 129_900, "currency": "INR" } })
}
