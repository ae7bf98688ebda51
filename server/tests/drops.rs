//! Drops: so many units, for a time, to whoever is first; on every gateway the same.

mod support;

use haat_adapter::{
    Market,
    memory::{Engine, Limits},
};
use serde_json::{Value, json};
use support::{Client, World, live::product};

fn drop_of(id: &str, stock: u64) -> Value {
    json!({ "id": id, "product": "saree", "price": { "amount": 99_900, "currency": "INR" }, "stock": stock })
}

fn with(mut drop: Value, name: &str, value: Value) -> Value {
    drop[name] = value;
    drop
}

/// A supplier with a product to sell.
async fn shop(world: &World) -> Client {
    let mut host = world.host().await;
    host.ok("product:put", json!({ "product": product("saree") })).await;
    host
}

async fn two() -> (World, World) {
    let engine = Engine::new(Limits::default());
    (World::join(&engine, &[]).await, World::join(&engine, &[]).await)
}

#[tokio::test]
async fn units_go_to_the_first_and_everybody_sees_what_is_left() {
    let (one, other) = two().await;
    let mut host = shop(&one).await;
    let mut watcher = other.viewer("watcher").await;
    let opened = host.ok("drop:open", json!({ "drop": drop_of("d1", 2) })).await["drop"].clone();
    assert_eq!((&opened["left"], &opened["status"], &opened["perUser"]), (&json!(2), &json!("open"), &json!(1)));
    let told = watcher.next("drop:opened").await;
    assert_eq!((&told["drop"], told["seq"].is_u64()), (&opened, true));

    let (mut ana, mut bo, mut chi) = (one.viewer("ana").await, other.viewer("bo").await, one.viewer("chi").await);
    let claimed = ana.ok("drop:claim", json!({ "drop": "d1" })).await;
    let claim = &claimed["claim"];
    assert_eq!(
        (&claim["drop"], &claim["quantity"], &claim["price"], &claimed["left"]),
        (&json!("d1"), &json!(1), &opened["price"], &json!(1))
    );
    assert!(
        claim["id"].is_string() && claim["at"].as_u64().is_some_and(|at| at.abs_diff(support::now() * 1000) < 5000)
    );
    assert_eq!(ana.code("drop:claim", json!({ "drop": "d1" })).await, "limit_reached");
    assert_eq!(bo.ok("drop:claim", json!({ "drop": "d1" })).await["left"], 0);
    for client in [&mut chi, &mut watcher] {
        assert_eq!(client.code("drop:claim", json!({ "drop": "d1" })).await, "sold_out");
    }
    let stock = watcher.until("drop:stock", |stock| stock["left"] == 0).await;
    assert_eq!((&stock["drop"], &stock["seq"]), (&json!("d1"), &Value::Null));
    let late = other.viewer("late").await.join("main").await["state"]["drops"].clone();
    assert_eq!((&late[0]["left"], &late[0]["stock"]), (&json!(0), &json!(2)));

    let closed = host.ok("drop:close", json!({ "drop": "d1" })).await["drop"].clone();
    assert_eq!((&closed["left"], &closed["status"]), (&json!(0), &json!("closed")));
    let told = watcher.next("drop:closed").await;
    assert_eq!((&told["drop"], &told["sold"], told["seq"].is_u64()), (&json!("d1"), &json!(2), true));
    assert_eq!(watcher.code("drop:claim", json!({ "drop": "d1" })).await, "closed");
    assert_eq!(host.code("drop:close", json!({ "drop": "d1" })).await, "closed");
    assert_eq!(host.code("drop:open", json!({ "drop": drop_of("d1", 2) })).await, "conflict");
}

#[tokio::test]
async fn an_announced_drop_waits_for_its_time() {
    let (one, other) = two().await;
    let mut host = shop(&one).await;
    let mut ana = other.viewer("ana").await;
    let now = ana.join("main").await["state"]["now"].as_u64().unwrap();
    let described = with(with(drop_of("d1", 5), "opensAt", json!(now + 600_000)), "durationMs", json!(1000));
    let announced = host.ok("drop:open", json!({ "drop": described })).await["drop"].clone();
    assert_eq!(
        (&announced["status"], &announced["opensAt"], &announced["endsAt"]),
        (&json!("scheduled"), &json!(now + 600_000), &json!(now + 601_000))
    );
    assert_eq!(ana.next("drop:opened").await["drop"], announced);
    let early = ana.error("drop:claim", json!({ "drop": "d1" })).await;
    assert_eq!(early["code"], "closed");
    assert!(early["retryAfterMs"].as_u64().is_some_and(|wait| wait > 500_000), "{early}");
}

#[tokio::test]
async fn an_announced_drop_opens_by_the_clock() {
    let (one, other) = two().await;
    let mut host = shop(&one).await;
    let mut ana = other.viewer("ana").await;
    let now = ana.join("main").await["state"]["now"].as_u64().unwrap();
    host.ok("drop:open", json!({ "drop": with(drop_of("d1", 5), "opensAt", json!(now + 500)) })).await;
    let opened = ana.until("drop:opened", |opened| opened["drop"]["status"] == "open").await;
    assert_eq!((&opened["drop"]["opensAt"], opened["seq"].is_u64()), (&json!(now + 500), true));
    ana.ok("drop:claim", json!({ "drop": "d1" })).await;
    host.say("main", "after").await;
    let opened = ana.drain().await.iter().filter(|(name, _)| name == "drop:opened").count();
    assert_eq!(opened, 0, "once, whichever gateway was first");
}

#[tokio::test]
async fn a_drop_closes_by_the_clock() {
    let (one, other) = two().await;
    let mut host = shop(&one).await;
    let (mut ana, mut bo) = (other.viewer("ana").await, one.viewer("bo").await);
    host.ok("drop:open", json!({ "drop": with(drop_of("d1", 5), "durationMs", json!(400)) })).await;
    let closed = ana.next("drop:closed").await;
    assert_eq!(bo.next("drop:closed").await, closed, "once, for everybody");
    assert_eq!(bo.code("drop:claim", json!({ "drop": "d1" })).await, "closed");
    host.say("main", "after").await;
    assert!(bo.drain().await.iter().all(|(name, _)| name != "drop:closed"));
}

#[tokio::test]
async fn a_repeated_request_gets_the_first_answer() {
    let (one, other) = two().await;
    let mut host = shop(&one).await;
    host.ok("drop:open", json!({ "drop": with(drop_of("d1", 3), "perUser", json!(2)) })).await;
    let (mut here, mut there) = (one.viewer("ana").await, other.viewer("ana").await);
    let body = json!({ "drop": "d1", "quantity": 2, "requestId": "order-1" });
    let first = here.ok("drop:claim", body.clone()).await;
    assert_eq!((&first["claim"]["quantity"], &first["left"]), (&json!(2), &json!(1)));
    let mut bo = other.viewer("bo").await;
    bo.ok("drop:claim", json!({ "drop": "d1", "requestId": "order-1" })).await;
    for client in [&mut here, &mut there] {
        assert_eq!(client.ok("drop:claim", body.clone()).await, first);
    }
    let other_quantity = json!({ "drop": "d1", "quantity": 1, "requestId": "order-1" });
    assert_eq!(there.code("drop:claim", other_quantity).await, "conflict");
    host.ok("drop:close", json!({ "drop": "d1" })).await;
    assert_eq!(there.ok("drop:claim", body).await, first, "even when it is closed");
    assert_eq!(one.engine.ledger("main", "", 100).await.unwrap().iter().filter(|r| &*r.kind == "claim").count(), 2);
}

#[tokio::test]
async fn claims_take_all_or_nothing_and_know_their_limits() {
    let world = World::start(&[]).await;
    let mut host = shop(&world).await;
    host.ok("drop:open", json!({ "drop": with(drop_of("d1", 5), "perUser", json!(3)) })).await;
    let (mut ana, mut bo) = (world.viewer("ana").await, world.viewer("bo").await);
    let error = ana.error("drop:claim", json!({ "drop": "d1", "quantity": 4 })).await;
    assert_eq!(error["code"], "limit_reached");
    ana.ok("drop:claim", json!({ "drop": "d1", "quantity": 3 })).await;
    let error = bo.error("drop:claim", json!({ "drop": "d1", "quantity": 3 })).await;
    assert_eq!(error["code"], "sold_out");
    assert!(error["message"].as_str().unwrap().contains("only 2"), "{error}");
    assert_eq!(bo.ok("drop:claim", json!({ "drop": "d1", "quantity": 2 })).await["left"], 0);
}

#[tokio::test]
async fn a_confirmed_claim_is_final() {
    let (one, other) = two().await;
    let mut host = shop(&one).await;
    host.ok("drop:open", json!({ "drop": with(drop_of("d1", 2), "holdMs", json!(600_000)) })).await;
    let mut ana = one.viewer("ana").await;
    let claim = ana.ok("drop:claim", json!({ "drop": "d1" })).await["claim"].clone();
    assert_eq!(claim["holdMs"], 600_000);
    let mut orders = other.member("orders", "service").await;
    for _ in 0..2 {
        let confirmed = orders.ok("drop:confirm", json!({ "drop": "d1", "claim": claim["id"] })).await["claim"].clone();
        assert_eq!((&confirmed["id"], &confirmed["status"]), (&claim["id"], &json!("confirmed")));
    }
    assert_eq!(orders.code("drop:confirm", json!({ "drop": "d2", "claim": claim["id"] })).await, "not_found");
    assert_eq!(orders.code("drop:confirm", json!({ "drop": "d1", "claim": "c-none" })).await, "not_found");
    let stats = host.ok("stream:stats", json!({})).await["stats"].clone();
    assert_eq!((&stats["claims"], &stats["revenue"]), (&json!(1), &json!([{ "amount": 99_900, "currency": "INR" }])));
}

#[tokio::test]
async fn a_claim_that_nobody_confirms_goes_back_to_stock() {
    let (one, other) = two().await;
    let mut host = shop(&one).await;
    let mut watcher = other.viewer("watcher").await;
    host.ok("drop:open", json!({ "drop": with(drop_of("d1", 1), "holdMs", json!(500)) })).await;
    let (mut ana, mut chi) = (one.viewer("ana").await, other.viewer("chi").await);
    let lost = ana.ok("drop:claim", json!({ "drop": "d1" })).await["claim"].clone();
    watcher.until("drop:stock", |stock| stock["left"] == 0).await;
    watcher.until("drop:stock", |stock| stock["left"] == 1).await;
    chi.until_claimed(&json!({ "drop": "d1" })).await;
    assert_eq!(host.code("drop:confirm", json!({ "drop": "d1", "claim": lost["id"] })).await, "conflict");
    let stats = host.ok("stream:stats", json!({})).await["stats"].clone();
    assert_eq!((&stats["claims"], &stats["revenue"]), (&json!(1), &json!([])));
}

#[tokio::test]
async fn all_that_is_sold_is_answered_for_without_the_store() {
    let world = World::start(&[]).await;
    let mut host = shop(&world).await;
    host.ok("drop:open", json!({ "drop": drop_of("d1", 1) })).await;
    let (mut ana, mut bo) = (world.viewer("ana").await, world.viewer("bo").await);
    let body = json!({ "drop": "d1", "requestId": "r1" });
    let first = ana.ok("drop:claim", body.clone()).await;
    support::patiently("local answers", async {
        loop {
            assert_eq!(bo.code("drop:claim", body.clone()).await, "sold_out");
            world.engine.set_available(false);
            let answer = bo.code("drop:claim", body.clone()).await;
            if answer == "sold_out" {
                // The winner's repetition is known here as well.
                assert_eq!(ana.ok("drop:claim", body.clone()).await, first);
                break;
            }
            assert_eq!(answer, "unavailable");
            world.engine.set_available(true);
        }
        // What is not heard of any more is not claimed to be known.
        while bo.code("drop:claim", body.clone()).await == "sold_out" {}
        assert_eq!(ana.code("drop:claim", body.clone()).await, "unavailable");
    })
    .await;
    world.engine.set_available(true);
    assert_eq!(ana.ok("drop:claim", body).await, first);
}

impl Client {
    /// Claims until there is a unit.
    async fn until_claimed(&mut self, body: &Value) -> Value {
        support::patiently("a unit", async {
            loop {
                let mut body = body.clone();
                body["stream"] = json!("main");
                let reply = self.call("drop:claim", &body).await;
                if reply["ok"] == true {
                    return reply;
                }
                assert_eq!(reply["error"]["code"], "sold_out", "{reply}");
            }
        })
        .await
    }
}

/// Both gateways know that all is gone. A unit comes back and is granted through one; the other must not deny it.
#[tokio::test]
async fn nobody_is_told_that_all_is_gone_who_has_been_granted_a_unit_since() {
    let (one, other) = two().await;
    let mut host = shop(&one).await;
    host.ok("drop:open", json!({ "drop": drop_of("d1", 1) })).await;
    let mut winner = one.viewer("winner").await;
    let claim = winner.ok("drop:claim", json!({ "drop": "d1" })).await["claim"]["id"].clone();
    let (mut here, mut there) = (one.viewer("ana").await, other.viewer("ana").await);
    for _ in 0..20 {
        for client in [&mut here, &mut there] {
            assert_eq!(client.code("drop:claim", json!({ "drop": "d1", "requestId": "r" })).await, "sold_out");
        }
    }
    let released = host.ok("drop:release", json!({ "drop": "d1", "claim": claim })).await["claim"].clone();
    assert_eq!(released["status"], "released");
    let body = json!({ "drop": "d1", "requestId": "r" });
    let granted = there.until_claimed(&body).await;
    assert_eq!(here.ok("drop:claim", body).await, granted);
    assert_eq!(winner.code("drop:claim", json!({ "drop": "d1" })).await, "sold_out", "the share came back too");
}

#[tokio::test]
async fn purchases_are_told_and_rolled_up_when_they_come_fast() {
    let world = World::start(&[]).await;
    let mut host = shop(&world).await;
    host.ok("drop:open", json!({ "drop": drop_of("d1", 100) })).await;
    for number in 0..30 {
        world.viewer(&format!("user-{number}")).await.ok("drop:claim", json!({ "drop": "d1" })).await;
    }
    let (mut events, mut quantity, mut buyers) = (0, 0, 0);
    while quantity < 30 {
        let purchase = host.next("purchase").await;
        events += 1;
        quantity += purchase["quantity"].as_u64().unwrap();
        buyers += purchase["buyers"].as_u64().unwrap();
        assert_eq!((&purchase["product"], purchase["seq"].is_u64()), (&json!("saree"), true));
        assert!(purchase["user"]["name"].as_str().unwrap().starts_with("user-") && purchase["user"]["id"].is_null());
    }
    assert!(events < 15 && quantity == 30 && buyers == 30, "{events} events, {quantity} units, {buyers} buyers");
}

#[tokio::test]
async fn a_held_claim_is_a_purchase_once_it_is_confirmed() {
    let world = World::start(&[]).await;
    let mut host = shop(&world).await;
    host.ok("drop:open", json!({ "drop": with(drop_of("d1", 9), "holdMs", json!(60_000)) })).await;
    let claim = world.viewer("ana").await.ok("drop:claim", json!({ "drop": "d1" })).await["claim"]["id"].clone();
    host.say("main", "not yet").await;
    assert!(host.drain().await.iter().all(|(name, _)| name != "purchase"));
    host.ok("drop:confirm", json!({ "drop": "d1", "claim": claim })).await;
    assert_eq!(host.next("purchase").await["user"]["name"], "ana");
}

#[tokio::test]
async fn a_drop_is_paused_when_the_store_has_lost_it() {
    let world = World::start(&[]).await;
    let mut host = shop(&world).await;
    host.ok("drop:open", json!({ "drop": drop_of("d1", 2) })).await;
    let mut ana = world.viewer("ana").await;
    ana.ok("drop:claim", json!({ "drop": "d1" })).await;
    world.engine.lose_data();
    assert_eq!(ana.code("drop:claim", json!({ "drop": "d1" })).await, "paused");
    ana.next("stream:reset").await;
    let state = ana.join("main").await["state"].clone();
    assert_eq!((&state["drops"][0]["status"], &state["products"][0]["id"]), (&json!("paused"), &json!("saree")));
    host.ok("drop:open", json!({ "drop": drop_of("d1", 1) })).await;
    assert_eq!(ana.ok("drop:claim", json!({ "drop": "d1" })).await["left"], 0, "opened anew, with a stock of its own");
}

#[tokio::test]
async fn the_ledger_knows_every_claim() {
    let world = World::start(&[]).await;
    let mut host = shop(&world).await;
    host.ok("drop:open", json!({ "drop": with(drop_of("d1", 3), "holdMs", json!(60_000)) })).await;
    let mut ana = world.viewer("ana").await;
    let claim = ana.ok("drop:claim", json!({ "drop": "d1", "requestId": "r1" })).await["claim"].clone();
    ana.code("drop:claim", json!({ "drop": "d1" })).await;
    host.ok("drop:confirm", json!({ "drop": "d1", "claim": claim["id"] })).await;
    host.ok("drop:release", json!({ "drop": "d1", "claim": claim["id"] })).await;
    let records = world.engine.ledger("main", "", 100).await.unwrap();
    let of = |kind: &str| -> Vec<(Value, Value)> {
        let records = records.iter().filter(|record| &*record.kind == kind);
        let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        records.map(|record| (parse(&record.by)["id"].clone(), parse(&record.data))).collect()
    };
    assert_eq!(of("claim"), [(json!("ana"), claim.clone())]);
    assert_eq!(of("confirm"), [(json!("supplier"), claim.clone())]);
    assert_eq!(of("release"), [(json!("supplier"), claim)]);
    assert_eq!(of("drop:opened").len(), 1);
}

#[tokio::test]
async fn the_end_of_a_stream_ends_its_drops() {
    let world = World::start(&[]).await;
    let mut host = shop(&world).await;
    host.ok("drop:open", json!({ "drop": drop_of("d1", 2) })).await;
    let mut ana = world.viewer("ana").await;
    host.ok("stream:end", json!({})).await;
    ana.next("drop:closed").await;
    assert_eq!(ana.code("drop:claim", json!({ "drop": "d1" })).await, "ended");
}

#[tokio::test]
async fn what_is_no_drop_or_claim_is_refused_by_name() {
    let world = World::start(&[]).await;
    let mut host = shop(&world).await;
    let put = |name: &str, value: Value| json!({ "drop": with(drop_of("d1", 5), name, value) });
    let far = (support::now() + 40 * 24 * 3600) * 1000;
    let table = [
        (json!({}), "drop"),
        (json!({ "drop": "d1" }), "drop"),
        (json!({ "drop": { "id": "d1" } }), "drop"),
        (put("id", json!("a b")), "drop.id"),
        (put("product", json!("../x")), "drop.product"),
        (put("price", json!({ "amount": -1, "currency": "INR" })), "drop"),
        (put("price", json!({ "amount": 1, "currency": "inr" })), "drop.price.currency"),
        (put("stock", json!(0)), "drop.stock"),
        (put("stock", json!(-1)), "drop"),
        (put("stock", json!(1.5)), "drop"),
        (put("stock", json!(1_000_000_000_000_u64)), "drop.stock"),
        (put("perUser", json!(0)), "drop.perUser"),
        (put("perUser", json!("1")), "drop"),
        (put("opensAt", json!(far)), "drop.opensAt"),
        (put("opensAt", json!("soon")), "drop"),
        (put("durationMs", json!(0)), "drop.durationMs"),
        (put("holdMs", json!(0)), "drop.holdMs"),
        (put("holdMs", json!(1e12)), "drop"),
    ];
    for (body, field) in table {
        let error = host.error("drop:open", body.clone()).await;
        assert_eq!(error["code"], "bad_request", "{body}");
        assert!(error["message"].as_str().is_some_and(|message| message.contains(field)), "{body}: {error}");
    }
    assert_eq!(host.code("drop:open", put("product", json!("unknown"))).await, "not_found");
    host.ok("drop:open", json!({ "drop": drop_of("d1", 5) })).await;
    let mut ana = world.viewer("ana").await;
    let quantities = [
        json!(0),
        json!(-1),
        json!(1.5),
        json!("1"),
        json!(1e3),
        Value::Null,
        json!(9_007_199_254_740_992_u64),
        json!(1_000_000_001),
    ];
    for quantity in quantities {
        let error = ana.error("drop:claim", json!({ "drop": "d1", "quantity": quantity })).await;
        assert_eq!(error["code"], "bad_request", "{quantity}: {error}");
        assert!(error["message"].as_str().unwrap().contains("quantity"), "{error}");
    }
    for request in [json!(""), json!("x".repeat(65)), json!(5)] {
        let body = json!({ "drop": "d1", "requestId": request });
        assert_eq!(ana.code("drop:claim", body.clone()).await, "bad_request", "{body}");
    }
    assert_eq!(ana.code("drop:claim", json!({ "drop": "d2" })).await, "not_found");
    assert_eq!(ana.code("drop:claim", json!({ "drop": "__proto__" })).await, "not_found");
    assert_eq!(host.code("drop:release", json!({ "drop": "d1" })).await, "bad_request");
    // Whatever a client adds, the server's values win.
    let forged =
        json!({ "drop": "d1", "user": "bo", "price": { "amount": 1, "currency": "INR" }, "left": 99, "at": 5 });
    let claim = ana.ok("drop:claim", forged).await["claim"].clone();
    assert_eq!((&claim["user"]["id"], &claim["price"]["amount"]), (&json!("ana"), &json!(99_900)));
}
