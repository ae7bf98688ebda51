//! Commands that are sent the moment one may, or a moment earlier, are all answered.

mod support;

use serde_json::json;
use support::{
    Client, World,
    wire::{Wire, text},
};

#[tokio::test]
async fn two_thousand_joins_right_behind_the_answer_to_connect_are_all_answered() {
    let world = World::start(&[("HAAT_SHARDS", "4"), ("HAAT_LIMITS_ADDRESS_CONNECTIONS", "0")]).await;
    let _supplier = world.supplier(&["main"]).await;
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..2000 {
        let address = world.address;
        clients.spawn(async move {
            let mut client = Client::connect(address, &json!({})).await;
            let stream = if number % 5 == 0 { "nowhere" } else { "main" };
            let answer = client.call("stream:join", &json!({ "stream": stream })).await;
            assert_eq!(answer["ok"], number % 5 != 0, "{answer}");
            client
        });
        // So many handshakes at once, and not more than the listener's backlog.
        if clients.len() == 200 {
            while let Some(client) = clients.join_next().await {
                client.unwrap();
            }
        }
    }
    assert!(clients.is_empty());
}

#[tokio::test]
async fn a_join_in_one_piece_with_connect_is_answered() {
    let world = World::start(&[]).await;
    let _supplier = world.supplier(&["main"]).await;
    for _ in 0..50 {
        let mut wire = Wire::socket(world.address, "/socket.io/?EIO=4&transport=websocket").await;
        let join = text(r#"420["stream:join",{"stream":"main"}]"#);
        wire.write(&[text("40"), join].concat()).await;
        assert!(wire.text().await.starts_with("0{"));
        assert!(wire.text().await.starts_with("40{"));
        assert!(wire.text().await.starts_with(r#"430[{"ok":true"#));
    }
}

#[tokio::test]
async fn commands_that_wait_for_a_join_are_done_behind_it_in_order() {
    let world = World::start(&[]).await;
    let _supplier = world.supplier(&["main"]).await;
    let mut asha = world.user("asha").await;
    let join = asha.send("stream:join", &json!({ "stream": "main" })).await;
    let mut sent = Vec::new();
    for number in 0..50 {
        sent.push(asha.send("chat:send", &json!({ "stream": "main", "text": format!("{number}") })).await);
    }
    let seen = asha.answer(join).await["state"]["seq"].as_u64().unwrap();
    for (number, id) in sent.into_iter().enumerate() {
        let message = asha.answer(id).await["message"].clone();
        assert_eq!(message["text"], format!("{number}"));
        assert_eq!(message["seq"], seen + 1 + number as u64);
    }
}
