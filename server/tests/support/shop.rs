//! A server that takes webhooks.
#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU16, Ordering},
};

use axum::{Router, body::Bytes, extract::State, routing::post};
use http::{HeaderMap, StatusCode};
use tokio::sync::Notify;

use crate::support;

pub const HOOK_SECRET: &str = "another secret, of thirty-two bytes or more";

/// A server that writes down what it is told, and answers as it is set.
#[derive(Clone, Default)]
pub struct Shop(Arc<Inner>);

#[derive(Default)]
struct Inner {
    told: Mutex<Vec<(HeaderMap, String)>>,
    answers: AtomicU16,
    changed: Notify,
}

impl Shop {
    /// Starts one that answers with this status. Its address.
    pub async fn open(status: u16) -> (Self, String) {
        let shop = Self::default();
        shop.answer(status);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/hook?shop=1", listener.local_addr().unwrap());
        let router = Router::new().route("/hook", post(take)).with_state(shop.clone());
        tokio::spawn(async move { drop(axum::serve(listener, router).await) });
        (shop, address)
    }

    pub fn answer(&self, status: u16) {
        self.0.answers.store(status, Ordering::SeqCst);
    }

    /// What it was told so far.
    pub fn told(&self) -> Vec<(HeaderMap, String)> {
        self.0.told.lock().unwrap().clone()
    }

    /// What it was told, once there is enough.
    pub async fn until(&self, enough: impl Fn(&[(HeaderMap, String)]) -> bool) -> Vec<(HeaderMap, String)> {
        support::patiently("deliveries", async {
            loop {
                let changed = self.0.changed.notified();
                {
                    let told = self.0.told.lock().unwrap();
                    if enough(&told) {
                        return told.clone();
                    }
                }
                changed.await;
            }
        })
        .await
    }
}

async fn take(State(shop): State<Shop>, headers: HeaderMap, body: Bytes) -> StatusCode {
    shop.0.told.lock().unwrap().push((headers, String::from_utf8(body.into()).unwrap()));
    shop.0.changed.notify_waiters();
    StatusCode::from_u16(shop.0.answers.load(Ordering::SeqCst)).unwrap()
}

pub fn events(told: &[(HeaderMap, String)]) -> Vec<String> {
    told.iter().map(|(headers, _)| headers["haat-event"].to_str().unwrap().to_owned()).collect()
}

pub fn variables(url: &str) -> [(&'static str, &str); 2] {
    [("HAAT_WEBHOOKS_URLS", url), ("HAAT_WEBHOOKS_SECRET", HOOK_SECRET)]
}
