//! What only operators may see is not where clients connect (BA4 of the catalogue of bad input).
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use support::{
    World,
    innocents::Innocents,
    wire::{answer_to, get, request},
};

#[tokio::test]
async fn what_is_private_is_not_on_the_public_port() {
    let pages = std::env::temp_dir();
    let private = ["/metrics", "/healthz", "/readyz", "/debug/connections"];
    for variables in [&[][..], &[("HAAT_DEMO", pages.to_str().unwrap())]] {
        let world = World::start(variables).await;
        let mut innocents = Innocents::watch(&world).await;
        for target in private.into_iter().chain([
            "/health",
            "/debug",
            "/debug/rooms",
            "/debug/pprof/",
            "/admin",
            "/admin/",
            "/metrics/",
            "//metrics",
            "/./metrics",
            "/%6detrics",
            "/socket.io/../metrics",
            "http://127.0.0.1:9090/metrics",
        ]) {
            for method in ["GET", "POST"] {
                let row = format!("BA4 {method} {target}");
                let answer = answer_to(world.address, request(method, target, &[], "")).await.unwrap();
                let expected: &[u16] = if target.starts_with("/socket.io/") { &[400] } else { &[404, 405] };
                assert!(expected.contains(&answer.status), "{row}: {answer:?}");
                assert!(!answer.body.contains("haat_") && !answer.body.contains("sessions"), "{row}: {answer:?}");
                innocents.unharmed(&row).await;
            }
        }
        for target in private {
            assert_eq!(
                get(world.server.private_address(), target).await.status,
                200,
                "BA4 {target} is where it belongs"
            );
        }
    }
}
