//! Purchases, as everybody is told of them: the first at once, those that follow within a second rolled up into one. They
//! are decoration: one that is lost with its gateway is in the ledger all the same.

use std::{
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use haat_adapter::Append;
use rustc_hash::FxHashMap;

use super::{Live, chat::standing, reject::json};

/// Least time between two notices of the same product, of one gateway.
const INTERVAL: Duration = Duration::from_secs(1);

/// What was bought since the last notice; an entry is there as long as the last one is not old.
#[derive(Debug, Default)]
pub(super) struct Purchases(Mutex<FxHashMap<Key, Option<Rolled>>>);

/// Stream and product.
type Key = (Arc<str>, String);

#[derive(Debug)]
struct Rolled {
    /// The newest buyer's, as JSON.
    name: String,
    quantity: u64,
    buyers: u64,
}

impl Purchases {
    /// Takes a purchase. Returns it if it is to be told at once.
    fn take(&self, key: &Key, bought: Rolled) -> Option<Rolled> {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match pending.get_mut(key) {
            None => {
                pending.insert(key.clone(), None);
                return Some(bought);
            }
            Some(Some(rolled)) => {
                rolled.name = bought.name;
                rolled.quantity = rolled.quantity.saturating_add(bought.quantity);
                rolled.buyers += bought.buyers;
            }
            Some(none) => *none = Some(bought),
        }
        None
    }

    /// What is to be told after an interval; `None`: nothing came, and the next one is told at once.
    fn next(&self, key: &Key) -> Option<Rolled> {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = pending.get_mut(key).and_then(Option::take);
        if next.is_none() {
            pending.remove(key);
        }
        next
    }
}

impl Live {
    /// Somebody, whose name this is as JSON, has bought something.
    pub(super) fn bought(self: &Rc<Self>, stream: &Arc<str>, product: String, name: &str, quantity: u64) {
        let key = (stream.clone(), product);
        let bought = Rolled { name: name.to_owned(), quantity, buyers: 1 };
        let Some(first) = self.shared.purchases.take(&key, bought) else { return };
        let live = self.clone();
        tokio::task::spawn_local(async move {
            let mut next = Some(first);
            while let Some(bought) = next {
                live.tell_bought(&key, &bought).await;
                tokio::time::sleep(INTERVAL).await;
                next = live.shared.purchases.next(&key);
            }
        });
    }

    async fn tell_bought(&self, (stream, product): &Key, bought: &Rolled) {
        let Rolled { name, quantity, buyers } = bought;
        let append = Append {
            stream: stream.to_string(),
            event: "purchase".to_owned(),
            data: vec![
                format!(r#"{{"stream":"{stream}","seq":"#),
                format!(
                    r#","user":{{"name":{name}}},"product":{},"quantity":{quantity},"buyers":{buyers}}}"#,
                    json(product)
                ),
            ],
            checks: standing(),
            ..Append::default()
        };
        let _ = self.shared.store.append(append).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, quantity: u64) -> Rolled {
        Rolled { name: name.to_owned(), quantity, buyers: 1 }
    }

    #[test]
    fn the_first_is_told_at_once_and_the_rest_together() {
        let (purchases, key) = (Purchases::default(), ("main".into(), "saree".to_owned()));
        let other = ("main".into(), "kurta".to_owned());
        assert!(purchases.take(&key, one("ana", 1)).is_some());
        assert!(purchases.take(&key, one("bo", 2)).is_none());
        assert!(purchases.take(&key, one("chi", 3)).is_none());
        assert!(purchases.take(&other, one("dev", 1)).is_some());
        let rolled = purchases.next(&key).unwrap();
        assert_eq!((&*rolled.name, rolled.quantity, rolled.buyers), ("chi", 5, 2));
        assert!(purchases.next(&key).is_none());
        assert!(purchases.take(&key, one("eva", 1)).is_some());
    }
}
