//! A second gateway on a port that is taken fails, and says where.

mod support;

use haat_adapter::memory::{Engine, Limits};
use haat_server::server::Server;
use support::{World, config};

#[tokio::test]
async fn one_on_the_port_of_another_does_not_start_and_the_other_goes_on() {
    for shards in ["1", "4"] {
        let world = World::start(&[("HAAT_SHARDS", shards)]).await;
        let taken = world.address.to_string();
        for more in ["1", "4"] {
            let config = config(&[("HAAT_LISTEN", &taken), ("HAAT_SHARDS", more)]);
            let error = Server::join(config, &Engine::new(Limits::default())).await.err().expect("no second server");
            assert!(error.to_string().starts_with(&format!("cannot listen on {taken}")), "{error}");
        }
        world.supplier(&["main"]).await.join("main").await;
    }
}

#[tokio::test]
async fn one_on_the_private_port_of_another_does_not_start() {
    let world = World::start(&[]).await;
    let taken = world.server.private_address().to_string();
    let config = config(&[("HAAT_PRIVATE_LISTEN", &taken)]);
    let error = Server::join(config, &Engine::new(Limits::default())).await.err().expect("no second server");
    assert!(error.to_string().starts_with(&format!("cannot listen on {taken}")), "{error}");
}

#[tokio::test]
async fn a_port_can_be_taken_over_once_the_other_has_stopped() {
    let world = World::start(&[]).await;
    let taken = world.address.to_string();
    world.server.stop().await;
    let next = World::start(&[("HAAT_LISTEN", &taken)]).await;
    assert_eq!(next.address.to_string(), taken);
    next.guest().await;
}
