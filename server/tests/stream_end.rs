//! A stream that ends leaves nothing open behind. Nobody could close it any more, and a wheel would keep its seed for ever.

#[path = "support/fleet.rs"]
mod fleet;
mod support;

use fleet::Fleet;
use serde_json::{Value, json};
use support::{Client, token};

/// Opens wheels until the stream has ended.
async fn open_wheels(host: &mut Client, round: usize) {
    for number in 0.. {
        let prizes = json!([{ "id": "ten", "label": "10%", "weight": 1 }]);
        let wheel = json!({ "id": format!("w{round}-{number}"), "title": "Luck", "prizes": prizes });
        let opened = host.call("wheel:open", &json!({ "stream": "main", "wheel": wheel })).await;
        let code = &opened["error"]["code"];
        if code == "ended" {
            return;
        }
        assert!(opened["ok"] == true || code == "limit_reached" || code == "conflict", "{opened}");
    }
}

/// Ends the stream. Its state.
async fn end(host: &mut Client) -> Value {
    loop {
        let ended = host.call("stream:end", &json!({ "stream": "main" })).await;
        if ended["ok"] == true {
            return ended["state"].clone();
        }
        // Whoever opens one after the other is faster now and then.
        assert_eq!(ended["error"]["code"], "conflict", "{ended}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_open_in_a_stream_that_has_ended() {
    let Some(fleet) = Fleet::start().await else { return };
    let gateways = fleet.gateways(2, &[]).await;
    let auth = json!({ "token": token("supplier", "supplier", &["main"]) });
    let mut one = Client::connect(gateways[0].public, &auth).await;
    let mut other = Client::connect(gateways[1].public, &auth).await;
    let mut wheels = 0;
    for round in 0..30 {
        let started = one.call("stream:start", &json!({ "stream": "main" })).await;
        assert_eq!(started["ok"], true, "{started}");
        let (state, ()) = tokio::join!(end(&mut one), open_wheels(&mut other, round));
        for wheel in state["wheels"].as_array().expect("a list") {
            assert_eq!(wheel["status"], "closed", "round {round}: {wheel}");
            assert!(wheel["seed"].is_string(), "round {round}: {wheel}");
            wheels += 1;
        }
    }
    assert!(wheels > 0, "some were open");
}
