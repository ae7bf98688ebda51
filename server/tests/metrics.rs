//! The numbers that operators see: what is in the reference, and what a sale does to them. All servers of this process share
//! them, so that each test counts what the others do not.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{collections::BTreeMap, fs, path::Path};

use haat_server::metrics::table::{METRICS, reference};
use serde_json::json;
use support::{
    World,
    live::product,
    patiently,
    wire::{answer_to, get, request},
};

/// The page of numbers.
async fn page(world: &World) -> String {
    get(world.server.private_address(), "/metrics").await.body
}

/// Types and texts by name, as the page has them: `# TYPE name type`, `# HELP name text`.
fn said<'a>(page: &'a str, what: &str) -> BTreeMap<&'a str, &'a str> {
    page.lines().filter_map(|line| line.strip_prefix(what)?.strip_prefix(' ')?.split_once(' ')).collect()
}

#[test]
fn the_reference_is_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("guide/metrics.md");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, reference()).unwrap();
    }
    let page = fs::read_to_string(&path).unwrap();
    assert!(page == reference(), "UPDATE=1 cargo test -p haat-server --test metrics writes {}", path.display());
}

#[tokio::test]
async fn what_is_shown_is_in_the_table() {
    let world = World::start(&[]).await;
    let _host = world.host().await;
    let page = page(&world).await;
    let table: BTreeMap<&str, _> = METRICS.iter().flat_map(|group| group.metrics).map(|row| (row.name, row)).collect();
    let (types, helps) = (said(&page, "# TYPE"), said(&page, "# HELP"));
    assert!(types.len() > 20, "{page}");
    for (name, kind) in types {
        let row = table.get(name).unwrap_or_else(|| panic!("{name} is not in the table"));
        assert_eq!(row.kind.as_str(), kind, "{name}");
        assert_eq!(helps.get(name), Some(&row.help), "{name}");
    }
}

#[tokio::test]
async fn what_must_not_move_begins_at_zero() {
    let world = World::start(&[]).await;
    let page = page(&world).await;
    for series in [
        "haat_stream_resets_total 0",
        "haat_mailbox_dropped_total 0",
        r#"haat_rejects_total{layer="edge",reason="accept"} 0"#,
        r#"haat_sessions_closed_total{reason="slow_consumer"} 0"#,
    ] {
        assert!(page.lines().any(|line| line == series), "{series}: {page}");
    }
}

#[tokio::test]
async fn a_sale_is_counted() {
    let world = World::start(&[]).await;
    let mut host = world.host().await;
    host.ok("product:put", json!({ "product": product("saree") })).await;
    let price = json!({ "amount": 99_900, "currency": "INR" });
    host.ok("drop:open", json!({ "drop": { "id": "d", "product": "saree", "price": price, "stock": 1 } })).await;
    let prizes = json!([{ "id": "a", "label": "A", "weight": 1 }]);
    host.ok("wheel:open", json!({ "wheel": { "id": "w", "title": "W", "prizes": prizes } })).await;
    let mut ana = world.viewer("ana").await;
    for _ in 0..2 {
        ana.ok("drop:claim", json!({ "drop": "d", "requestId": "r" })).await;
        ana.ok("wheel:spin", json!({ "wheel": "w", "requestId": "r" })).await;
    }
    assert_eq!(world.viewer("bo").await.code("drop:claim", json!({ "drop": "d" })).await, "sold_out");
    for (name, labels) in [
        ("haat_claims_total", &[r#"outcome="granted""#, r#"by="store""#][..]),
        ("haat_claims_total", &[r#"outcome="repeated""#]),
        ("haat_claims_total", &[r#"outcome="sold_out""#]),
        ("haat_spins_total", &[r#"outcome="won""#]),
        ("haat_spins_total", &[r#"outcome="repeated""#]),
        ("haat_commands_total", &[r#"command="drop:claim""#, r#"outcome="sold_out""#]),
    ] {
        let page = page(&world).await;
        let lines = page.lines().filter(|line| line.starts_with(&format!("{name}{{")));
        let counts = lines.filter(|line| labels.iter().all(|label| line.contains(label)));
        let sum: f64 = counts.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum();
        assert!(sum == 1.0, "{name} {labels:?}: {sum}");
    }
    let timed = world.metric(r"haat_command_seconds_count", r#"command="drop:claim""#).await;
    assert!(timed == 3.0, "{timed}");
}

#[tokio::test]
async fn viewers_come_and_go() {
    let world = World::start(&[]).await;
    let _host = world.host().await;
    let viewer = world.viewer("ana").await;
    // Other tests have viewers too, but none that last.
    let until = async |wanted: bool| while (world.metric("haat_viewers", "").await >= 1.0) != wanted {};
    patiently("a viewer", until(true)).await;
    viewer.drop_connection().await;
    patiently("no viewer", until(false)).await;
}

#[tokio::test]
async fn a_gateway_tells_what_it_is_and_what_it_takes() {
    let world = World::start(&[]).await;
    let page = page(&world).await;
    let version = concat!("haat_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1");
    assert!(page.contains("haat_ready 1") && page.contains(version), "{page}");
    for name in ["process_threads", "process_resident_memory_bytes", "process_open_fds", "process_max_fds"] {
        assert!(!cfg!(target_os = "linux") || world.metric(name, "").await > 0.0, "{name}: {page}");
    }
}

#[tokio::test]
async fn who_does_not_fit_into_the_gateway_is_no_matter_of_addresses() {
    let world = World::start(&[("HAAT_LIMITS_CONNECTIONS", "1")]).await;
    let _only = world.user("ana").await;
    let refused = answer_to(world.address, request("GET", "/socket.io/?EIO=4&transport=polling", &[], ""));
    assert!(refused.await.is_none_or(|answer| answer.status == 429));
    let count = async |reason: &str| world.metric("haat_rejects_total", &format!(r#"reason="{reason}""#)).await;
    assert_eq!((count("connections").await, count("address_connections").await), (1.0, 0.0));
}
