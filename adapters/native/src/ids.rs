//! Names for requests: cheap to look up and cheap to make.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

use bytes::Bytes;
use cxone_core::RequestId;
use http::HeaderValue;
use uuid::Uuid;
use uuid::fmt::Hyphenated;

/// 2⁶⁴ divided by the golden ratio, made odd (Knuth, The Art of Computer Programming §6.4).
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// What is kept for each of an engine's requests, in the places that the engine gives them.
pub(crate) struct Requests<T> {
    places: Vec<Option<(RequestId, T)>>,
}

impl<T> Requests<T> {
    pub(crate) fn get_mut(&mut self, id: RequestId) -> Option<&mut T> {
        match self.places.get_mut(id.slot() as usize)? {
            Some((of, it)) if *of == id => Some(it),
            _ => None,
        }
    }

    pub(crate) fn insert(&mut self, id: RequestId, it: T) {
        let place = id.slot() as usize;
        if self.places.len() <= place {
            self.places.resize_with(place + 1, || None);
        }
        self.places[place] = Some((id, it));
    }

    pub(crate) fn remove(&mut self, id: RequestId) -> Option<T> {
        let place = self.places.get_mut(id.slot() as usize)?;
        place.take_if(|(of, _)| *of == id).map(|(_, it)| it)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.places.iter().flatten().count()
    }

    /// Takes them all out.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = (RequestId, T)> + use<T> {
        std::mem::take(&mut self.places).into_iter().flatten()
    }
}

impl<T> Default for Requests<T> {
    fn default() -> Self {
        Requests { places: Vec::new() }
    }
}

/// Random bits that nobody can foresee, made from random keys and a counter: asking the system for
/// them would be a system call each time.
pub(crate) fn random() -> [u64; 2] {
    static KEYS: LazyLock<[RandomState; 2]> = LazyLock::new(Default::default);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    KEYS.each_ref().map(|key| key.hash_one(count))
}

/// A `X-Correlation-ID` for each request. They are made by the batch and cut from one piece of
/// memory, which spares each its own.
#[derive(Default)]
pub(crate) struct CorrelationIds(Mutex<Bytes>);

impl CorrelationIds {
    /// A UUID of version 4, as a header field has it.
    pub(crate) fn next(&self) -> Option<HeaderValue> {
        let mut rest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if rest.is_empty() {
            let mut batch = vec![0; BATCH * Hyphenated::LENGTH];
            let ids = batch.chunks_exact_mut(Hyphenated::LENGTH).zip(uuids(random()));
            ids.for_each(|(text, id)| _ = id.hyphenated().encode_lower(text));
            *rest = batch.into();
        }
        let id = rest.split_to(Hyphenated::LENGTH);
        drop(rest);
        HeaderValue::from_maybe_shared(id).ok()
    }
}

/// UUIDs of version 4, from a random start: each half is a counter, mixed.
fn uuids(start: [u64; 2]) -> impl Iterator<Item = Uuid> {
    (0..).map(move |n: u64| {
        let [high, low] = start.map(|half| mix(half.wrapping_add(n.wrapping_mul(SPREAD))));
        let random = u128::from(high) << 64 | u128::from(low);
        uuid::Builder::from_random_bytes(random.to_be_bytes()).into_uuid()
    })
}

/// Few enough that an answer which is kept holds on to little.
const BATCH: usize = 16;

/// One step of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
fn mix(mut n: u64) -> u64 {
    n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ n >> 31
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_place_that_is_used_again_is_not_its_old_owners() {
        let [old, new] = [7, 7 + (1 << 32)].map(RequestId::from_u64);
        assert_eq!(old.slot(), new.slot());
        let mut requests = Requests::default();
        requests.insert(old, "old");
        assert_eq!(requests.remove(new), None);
        assert_eq!(requests.remove(old), Some("old"));
        requests.insert(new, "new");
        assert_eq!(requests.get_mut(old), None);
        assert_eq!(requests.get_mut(new), Some(&mut "new"));
        assert_eq!(requests.drain().collect::<Vec<_>>(), [(new, "new")]);
        assert!(requests.get_mut(new).is_none());
    }

    #[test]
    fn correlation_ids_are_uuids_of_version_4_and_all_different() {
        let ids = CorrelationIds::default();
        let ids: Vec<Uuid> = (0..10_000)
            .map(|_| ids.next().unwrap().to_str().unwrap().parse().expect("a UUID"))
            .collect();
        assert!(ids.iter().all(|id| id.get_version_num() == 4));
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
        // Neither half is a counter that could be told from the one before.
        let close = ids.windows(2).filter(|w| w[0].as_u128().abs_diff(w[1].as_u128()) >> 100 == 0);
        assert!(close.count() < 10);
    }
}
