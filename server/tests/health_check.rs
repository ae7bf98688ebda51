//! A container asks after its gateway with the gateway's own program.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    net::{SocketAddr, TcpListener},
    process::{Command, Output},
    time::Duration,
};

use support::{World, patiently};
use tokio::task::spawn_blocking;

/// What `haat health` says about the gateway whose private listener is configured as this.
async fn health(private: SocketAddr, flags: &[&str]) -> Output {
    let mut asking = Command::new(env!("CARGO_BIN_EXE_haat"));
    asking.arg("health").args(flags).env_clear().env("HAAT_PRIVATE_LISTEN", private.to_string());
    // Where there is no haat.toml.
    asking.current_dir(std::env::temp_dir());
    patiently("answer of haat health", spawn_blocking(move || asking.output())).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_gateway_that_serves_is_healthy_and_ready() {
    let world = World::start(&[]).await;
    let address = world.server.private_address();
    let everywhere = SocketAddr::new("0.0.0.0".parse().unwrap(), address.port());
    for address in [address, everywhere] {
        for flags in [&[][..], &["--ready"]] {
            let answer = health(address, flags).await;
            assert_eq!(answer.status.code(), Some(0), "{address} {flags:?}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_gateway_that_drains_is_healthy_but_not_ready() {
    let world = World::start(&[]).await;
    let address = world.server.private_address();
    let mut held = world.guest().await;
    let drain = tokio::spawn(world.server.drain(Duration::from_secs(600)));
    held.event("server:draining").await;
    assert_eq!(health(address, &[]).await.status.code(), Some(0));
    let answer = health(address, &["--ready"]).await;
    assert_eq!(answer.status.code(), Some(1), "{answer:?}");
    assert!(String::from_utf8_lossy(&answer.stderr).contains("draining"), "{answer:?}");
    held.drop_connection().await;
    patiently("end of the drain", drain).await.unwrap();
}

#[tokio::test]
async fn no_gateway_is_not_healthy() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(health(nobody, &[]).await.status.code(), Some(1));
}

#[tokio::test]
async fn one_that_never_answers_is_not_healthy() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(health(silent.local_addr().unwrap(), &[]).await.status.code(), Some(1));
}
