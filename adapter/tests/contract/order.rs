//! Every gateway sees one order, however many append at once.

use std::sync::Arc;

use super::fleet::{Fleet, Gateway, chat, new, seqs};

const THREADS: usize = 8;
const EACH: usize = 250;
const STREAMS: [&str; 3] = ["spring", "summer", "autumn"];

pub(crate) async fn is_the_same_for_every_gateway_when_threads_share_a_stream(fleet: Fleet) {
    STREAMS.iter().for_each(|stream| fleet.watch(stream));
    append_from_threads(&fleet).await;
    let total = THREADS * EACH;
    for stream in STREAMS {
        let first = fleet.gateways[0].heard.entries(stream, total).await;
        assert_eq!(seqs(&first), Vec::from_iter(1..=total as u64));
        assert!(first.is_sorted_by(|a, b| a.clock < b.clock));
        for gateway in &fleet.gateways[1..] {
            assert_eq!(gateway.heard.entries(stream, total).await, first, "at {}", gateway.name);
        }
    }
}

pub(crate) async fn rises_across_streams(fleet: Fleet) {
    let mut clock = 0;
    for index in 0..100 {
        let gateway = &fleet.gateways[index % fleet.gateways.len()];
        let entry = new(gateway.store.append(chat(["spring", "summer"][index % 2], "hi")).await);
        assert!(entry.clock > clock, "{} after {clock}", entry.clock);
        clock = entry.clock;
    }
}

/// Each thread appends [`EACH`] entries to every one of [`STREAMS`].
async fn append_from_threads(fleet: &Fleet) {
    let runtime = tokio::runtime::Handle::current();
    let threads = (0..THREADS).map(|thread| {
        let runtime = runtime.clone();
        let Gateway { store, .. } = &fleet.gateways[thread % fleet.gateways.len()];
        let store = Arc::clone(store);
        tokio::task::spawn_blocking(move || {
            runtime.block_on(async {
                for index in 0..EACH {
                    for stream in STREAMS {
                        new(store.append(chat(stream, &format!("{thread}/{index}"))).await);
                    }
                }
            });
        })
    });
    for thread in threads.collect::<Vec<_>>() {
        thread.await.expect("no thread fails");
    }
}
