//! The catalogue of a stream, and the product that is shown.

mod support;

use serde_json::{Value, json};
use support::{World, live::product};

#[tokio::test]
async fn a_catalogue_is_built_product_by_product() {
    let world = World::start(&[]).await;
    let mut host = world.host().await;
    let mut viewer = world.viewer("ana").await;
    for id in ["saree", "kurta"] {
        host.ok("product:put", json!({ "product": product(id) })).await;
    }
    assert_eq!(viewer.next("products").await["products"], json!([product("saree")]));
    let both = viewer.next("products").await;
    assert_eq!(both["products"], json!([product("saree"), product("kurta")]));
    assert!(both["seq"].is_u64());
    let mut cheaper = product("saree");
    cheaper["price"]["amount"] = json!(99_900);
    host.ok("product:put", json!({ "product": cheaper })).await;
    assert_eq!(viewer.next("products").await["products"], json!([cheaper, product("kurta")]), "it keeps its place");
    host.ok("product:remove", json!({ "product": "kurta" })).await;
    assert_eq!(world.guest().await.join("main").await["state"]["products"], json!([cheaper]));
    assert_eq!(host.code("product:remove", json!({ "product": "kurta" })).await, "not_found");
}

#[tokio::test]
async fn the_pinned_product_is_what_it_is_in_the_catalogue() {
    let world = World::start(&[]).await;
    let mut host = world.host().await;
    let mut viewer = world.viewer("ana").await;
    host.ok("product:put", json!({ "product": product("saree") })).await;
    host.ok("product:pin", json!({ "product": "saree" })).await;
    assert_eq!(viewer.next("product:pinned").await["product"], product("saree"));
    let mut cheaper = product("saree");
    cheaper["price"]["amount"] = json!(99_900);
    host.ok("product:put", json!({ "product": cheaper })).await;
    assert_eq!(viewer.next("product:pinned").await["product"], cheaper);
    assert_eq!(world.guest().await.join("main").await["state"]["pinnedProduct"], cheaper);
    host.ok("product:remove", json!({ "product": "saree" })).await;
    assert_eq!(viewer.next("product:pinned").await["product"], Value::Null);
    assert_eq!(host.code("product:pin", json!({ "product": "saree" })).await, "not_found");
    host.ok("product:unpin", json!({})).await;
    assert_eq!(world.guest().await.join("main").await["state"]["pinnedProduct"], Value::Null);
}

#[tokio::test]
async fn two_suppliers_lose_nothing_of_each_other() {
    let world = World::start(&[("HAAT_SHARDS", "4")]).await;
    let _host = world.host().await;
    let mut writers = Vec::new();
    for number in 0..4 {
        let mut host = world.member(&format!("supplier-{number}"), "supplier").await;
        writers.push(tokio::spawn(async move {
            for turn in 0..5 {
                let body = json!({ "product": product(&format!("p{number}-{turn}")) });
                // Somebody else may have been faster too often.
                while host.call("product:put", &with_stream(&body)).await["ok"] != true {}
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let state = world.guest().await.join("main").await["state"].clone();
    assert_eq!(state["products"].as_array().unwrap().len(), 20);
}

fn with_stream(body: &Value) -> Value {
    let mut body = body.clone();
    body["stream"] = json!("main");
    body
}

#[tokio::test]
async fn what_is_no_product_is_refused_by_name() {
    let world = World::start(&[]).await;
    let mut host = world.host().await;
    let with = |name: &str, value: Value| {
        let mut product = product("saree");
        product[name] = value;
        json!({ "product": product })
    };
    let table = [
        (json!({}), "product"),
        (json!({ "product": "saree" }), "product"),
        (json!({ "product": null }), "product"),
        (with("id", json!("a b")), "product.id"),
        (with("id", json!("x".repeat(65))), "product.id"),
        (with("title", json!("")), "product.title"),
        (with("price", json!({ "amount": 1 })), "currency"),
        (with("price", json!({ "amount": -1, "currency": "INR" })), "product"),
        (with("price", json!({ "amount": 1.5, "currency": "INR" })), "product"),
        (with("price", json!({ "amount": 9_007_199_254_740_992_u64, "currency": "INR" })), "product.price.amount"),
        (with("price", json!({ "amount": 1, "currency": "rupee" })), "product.price.currency"),
        (with("image", json!("javascript:alert(1)")), "product.image"),
        (with("url", json!("//evil.example")), "product.url"),
        (with("stock", json!(-1)), "product"),
    ];
    for (body, field) in table {
        let error = host.error("product:put", body.clone()).await;
        assert_eq!(error["code"], "bad_request", "{body}");
        assert!(error["message"].as_str().is_some_and(|message| message.contains(field)), "{body}: {error}");
    }
    assert_eq!(host.code("product:pin", json!({ "product": { "id": "saree" } })).await, "bad_request");
    for number in 0..200 {
        host.ok("product:put", json!({ "product": product(&format!("p{number}")) })).await;
    }
    assert_eq!(host.code("product:put", json!({ "product": product("one-more") })).await, "too_large");
    host.ok("product:put", json!({ "product": product("p7") })).await;
}
