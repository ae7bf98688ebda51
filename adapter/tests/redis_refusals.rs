//! What a real Redis refuses: the gateway passes it on, stays connected where that helps, and goes on when it is over.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

#[allow(dead_code, reason = "the contract's cases use the rest")]
#[path = "contract/fleet.rs"]
mod fleet;
#[macro_use]
#[path = "support/gateway.rs"]
mod gateway;
mod support;

use std::time::Instant;

use gateway::{Gateway, LONG, unavailable, until};
use haat_adapter::{Adapter, Health, StoreError, redis::RedisSettings};
use support::Server;

/// Runs a command whose last word is empty.
fn unset(connection: &mut redis::Connection, option: &str) {
    redis::cmd("CONFIG").arg("SET").arg(option).arg("").exec(connection).unwrap();
}

redis_test!(says_that_replicas_are_missing, async || {
    let server = Server::start();
    let gateway = Gateway::start(RedisSettings::new(server.url())).await;
    gateway.insist("before").await;
    server.command::<()>("CONFIG SET min-replicas-to-write 1");
    assert!(unavailable(gateway.say("refused").await).contains("NOREPLICAS"));
    server.command::<()>("CONFIG SET min-replicas-to-write 0");
    assert_eq!(gateway.insist("after").await.position.seq, 2);
    assert_eq!(gateway.engine.stats().connections.0, 1);
});

redis_test!(says_that_redis_cannot_save, async || {
    let server = Server::start();
    let gateway = Gateway::start(RedisSettings::new(server.url())).await;
    gateway.insist("before").await;
    let folder: Vec<String> = server.command("CONFIG GET dir");
    // Nothing can be saved under the name of a folder.
    let taken = std::path::Path::new(&folder[1]).join("dump.rdb");
    std::fs::create_dir(&taken).unwrap();
    redis::cmd("CONFIG").arg("SET").arg("save").arg("900 1").exec(&mut server.connection()).unwrap();
    server.command::<()>("BGSAVE");
    until("saving fails", || server.command::<String>("INFO persistence").contains("rdb_last_bgsave_status:err")).await;
    assert!(unavailable(gateway.say("refused").await).contains("MISCONF"));
    // It takes no writes, but it answers.
    gateway.up().await;
    unset(&mut server.connection(), "save");
    std::fs::remove_dir(&taken).unwrap();
    assert_eq!(gateway.insist("after").await.position.seq, 2);
    assert_eq!(gateway.engine.stats().connections.0, 1);
});

redis_test!(says_that_a_script_keeps_redis_busy, async || {
    let server = Server::start();
    let gateway = Gateway::start(RedisSettings::new(server.url())).await;
    gateway.insist("before").await;
    server.command::<()>("CONFIG SET busy-reply-threshold 50");
    let (mut looping, mut ending) = (server.connection(), server.connection());
    let script = std::thread::spawn(move || {
        let _ = redis::cmd("EVAL").arg("while true do end").arg(0).exec(&mut looping);
    });
    let started = Instant::now();
    loop {
        match gateway.say("refused").await {
            Err(StoreError::Unavailable(why)) if why.contains("BUSY") => break,
            // The script has not begun, or not been noticed.
            _ => assert!(started.elapsed() < LONG, "it is never busy"),
        }
    }
    redis::cmd("SCRIPT").arg("KILL").exec(&mut ending).unwrap();
    script.join().unwrap();
    gateway.insist("after").await;
    assert_eq!(gateway.engine.stats().connections.0, 1, "a new connection would not have been better");
});

redis_test!(waits_until_redis_has_loaded_its_data, async || {
    let mut server = Server::with(&[
        "--key-load-delay",
        "300000",
        "--loading-process-events-interval-bytes",
        "1024",
        "--rdbcompression",
        "no",
    ]);
    let gateway = Gateway::start(RedisSettings::new(server.url())).await;
    gateway.insist("before").await;
    (0..10).for_each(|number| server.command::<()>(&format!("SET filler{number} {}", "x".repeat(2_048))));
    server.command::<()>("SAVE");
    server.kill();
    server.start_again();
    until("it is said", || matches!(gateway.engine.health(), Health::Down(why) if why.contains("LOADING"))).await;
    unavailable(gateway.say("refused").await);
    gateway.up().await;
    assert_eq!(gateway.insist("after").await.position.seq, 2);
});

redis_test!(says_which_right_is_missing, async || {
    let server = Server::start();
    let gateway = Gateway::start(RedisSettings::new(server.url())).await;
    gateway.insist("before").await;
    server.command::<()>("ACL SETUSER default -evalsha");
    assert!(unavailable(gateway.say("refused").await).contains("NOPERM"));
    server.command::<()>("ACL SETUSER default +evalsha");
    assert_eq!(gateway.insist("after").await.position.seq, 2);
    assert_eq!(gateway.engine.stats().connections.0, 1);
});

redis_test!(says_that_a_password_is_wanted, async || {
    let server = Server::start();
    let gateway = Gateway::start(RedisSettings::new(server.url())).await;
    gateway.insist("before").await;
    let mut admin = server.connection();
    redis::cmd("CONFIG").arg("SET").arg("requirepass").arg("s3cret").exec(&mut admin).unwrap();
    for kind in ["normal", "pubsub"] {
        redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg(kind).arg("SKIPME").arg("yes").exec(&mut admin).unwrap();
    }
    until("it is said", || matches!(gateway.engine.health(), Health::Down(why) if why.contains("NOAUTH"))).await;
    unset(&mut admin, "requirepass");
    gateway.up().await;
    assert_eq!(gateway.insist("after").await.position.seq, 2);
});
