//! What every engine promises, run against each: the cases are in `contract/`, and know only the traits.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

#[macro_use]
#[path = "contract/mod.rs"]
mod suite;
mod support;

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use haat_adapter::{
    Adapter, Broadcast, Health, Inbound, Market, QueueFull, Replies, Request, RequestError,
    memory::{Engine, Limits},
    redis::{self, Mode, RedisSettings},
};
use suite::{
    fleet::{Fleet, Gateway, Recorder},
    sale::Sale,
};
use support::{Server, cluster::Cluster};

/// Gateways of one process on the embedded engine.
fn memory_fleet() -> Fleet {
    memory_sale().fleet
}

/// The same, with what they sell.
fn memory_sale() -> Sale {
    let engine = Engine::new(Limits { log_entries: suite::fleet::LOG_ENTRIES, ..Limits::default() });
    let gateway = |index: usize| {
        let (name, heard) = (format!("gateway-{index}"), Arc::new(Recorder::default()));
        let inbound = Arc::downgrade(&heard);
        let adapter = engine.attach(&name, inbound);
        Gateway { name, store: engine.clone(), adapter, heard }
    };
    let gateways = (0..suite::fleet::GATEWAYS).map(gateway).collect();
    let market = engine.clone();
    let fleet = Fleet {
        gateways,
        pass: Box::new(|time| Box::pin(tokio::time::advance(time))),
        lose_data: Box::new(move || {
            engine.lose_data();
            Box::pin(std::future::ready(()))
        }),
    };
    Sale { fleet, markets: vec![market; suite::fleet::GATEWAYS] }
}

/// Gateways on one Redis, which ends with the fleet.
async fn redis_fleet(mode: Mode) -> Fleet {
    redis_sale(mode).await.fleet
}

/// The same, with what they sell. They have the rights that the operator's guide names, and no more.
async fn redis_sale(mode: Mode) -> Sale {
    const GUIDE: &str = include_str!("../../server/guide/operate.md");
    let (_, rights) = GUIDE.split_once("ACL SETUSER haat ").expect("the guide names the rights");
    let rights = rights.split("```").next().unwrap_or_default().split_whitespace();
    let server = Arc::new(Server::start());
    let mut admit = ::redis::cmd("ACL");
    admit.arg("SETUSER").arg("haat");
    rights.for_each(|right| {
        admit.arg(right);
    });
    admit.exec(&mut server.connection()).expect("Redis understands the guide");
    let url = format!("redis://haat:PASSWORD@127.0.0.1:{}", server.port);
    let settings = RedisSettings { mode: Some(mode), ..RedisSettings::new(url) };
    sale_on(settings, move || server.command::<()>("FLUSHALL")).await
}

/// Gateways on a Cluster that is used for many cases, with names of their own.
async fn cluster_fleet(cluster: Arc<Cluster>, case: &str) -> Fleet {
    cluster_sale(cluster, case).await.fleet
}

/// The same, with what they sell.
async fn cluster_sale(cluster: Arc<Cluster>, case: &str) -> Sale {
    let (prefix, channel_prefix) = (case.to_owned(), case.to_owned());
    let settings = RedisSettings { prefix, channel_prefix, ..RedisSettings::new(cluster.url()) };
    sale_on(settings, move || cluster.flush()).await
}

async fn sale_on(settings: RedisSettings, flush: impl Fn() + 'static) -> Sale {
    let (mut gateways, mut markets) = (Vec::new(), Vec::<Arc<dyn Market>>::new());
    for index in 0..suite::fleet::GATEWAYS {
        let (name, heard) = (format!("gateway-{index}"), Arc::new(Recorder::default()));
        let inbound: Arc<dyn Inbound> = heard.clone();
        let limits = redis::Limits { log_entries: suite::fleet::LOG_ENTRIES, ..redis::Limits::default() };
        let settings = RedisSettings { limits, ..settings.clone() };
        let engine = redis::Engine::connect(settings, Arc::downgrade(&inbound)).unwrap();
        gateways.push(Gateway { name, store: engine.clone(), adapter: Arc::new(Settled(engine.clone())), heard });
        markets.push(engine.clone());
        assert_eq!(engine.up(Duration::from_secs(20)).await, Health::Up);
        engine.settle().await;
    }
    let fleet = Fleet {
        gateways,
        pass: Box::new(|time| Box::pin(tokio::time::sleep(time))),
        lose_data: Box::new(move || {
            flush();
            Box::pin(std::future::ready(()))
        }),
    };
    Sale { fleet, markets }
}

/// An engine whose interest has reached Redis when it is told: the cases send right after.
struct Settled(Arc<redis::Engine>);

impl Adapter for Settled {
    fn broadcast(&self, broadcast: Broadcast) -> Result<(), QueueFull> {
        self.0.broadcast(broadcast)
    }

    fn request(&self, request: Request, timeout: Duration) -> BoxFuture<'_, Result<Replies, RequestError>> {
        self.0.request(request, timeout)
    }

    fn interest(&self, namespace: &str, room: &str, wanted: bool) {
        self.0.interest(namespace, room, wanted);
        let engine = self.0.clone();
        let settled = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(engine.settle());
        });
        settled.join().unwrap();
    }

    fn health(&self) -> Health {
        self.0.health()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.0.close()
    }
}

macro_rules! on_redis {
    ($fixture:ident, $mode:ident, $name:ident, $($module:ident { $($case:ident),+ $(,)? })+) => {
        mod $name {
            $(mod $module {
                $(#[tokio::test]
                async fn $case() {
                    if crate::support::is_there() {
                        crate::suite::$module::$case(crate::$fixture(crate::Mode::$mode).await).await;
                    }
                })+
            })+
        }
    };
}

macro_rules! classic { ($($cases:tt)+) => { on_redis!(redis_fleet, Classic, redis_classic, $($cases)+); }; }
macro_rules! sharded { ($($cases:tt)+) => { on_redis!(redis_fleet, Sharded, redis_sharded, $($cases)+); }; }
macro_rules! classic_sale { ($($cases:tt)+) => { on_redis!(redis_sale, Classic, redis_classic_market, $($cases)+); }; }
macro_rules! sharded_sale { ($($cases:tt)+) => { on_redis!(redis_sale, Sharded, redis_sharded_market, $($cases)+); }; }

contract_cases!(classic);
contract_cases!(sharded);
market_cases!(classic_sale);
market_cases!(sharded_sale);

/// A cluster takes seconds to come up: the cases of a module share one.
macro_rules! on_cluster {
    ($fixture:ident, $name:ident, $($module:ident { $($case:ident),+ $(,)? })+) => {
        mod $name {
            $(#[tokio::test]
            async fn $module() {
                if crate::support::is_there() {
                    let cluster = std::sync::Arc::new(crate::Cluster::start());
                    $(println!("case {}", stringify!($case));
                    crate::suite::$module::$case(crate::$fixture(cluster.clone(), stringify!($case)).await).await;)+
                }
            })+
        }
    };
}

macro_rules! cluster { ($($cases:tt)+) => { on_cluster!(cluster_fleet, redis_cluster, $($cases)+); }; }
macro_rules! cluster_sale { ($($cases:tt)+) => { on_cluster!(cluster_sale, redis_cluster_market, $($cases)+); }; }

contract_cases!(cluster);
market_cases!(cluster_sale);

macro_rules! memory {
    ($fixture:ident, $name:ident, $($module:ident { $($case:ident),+ $(,)? })+) => {
        mod $name {
            $(mod $module {
                $(#[tokio::test(start_paused = true)]
                async fn $case() {
                    crate::suite::$module::$case(crate::$fixture()).await;
                })+
            })+
        }
    };
}

macro_rules! fleet_cases { ($($cases:tt)+) => { memory!(memory_fleet, memory, $($cases)+); }; }
macro_rules! sale_cases { ($($cases:tt)+) => { memory!(memory_sale, memory_market, $($cases)+); }; }

contract_cases!(fleet_cases);
market_cases!(sale_cases);
