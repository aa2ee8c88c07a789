//! Names for requests: cheap to look up and cheap to make.

use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

use bytes::Bytes;
use http::HeaderValue;
use uuid::Uuid;
use uuid::fmt::Hyphenated;

/// A map by the engine's ids. They are counted up by the engine and not chosen by anybody, so a
/// hash that nobody can foresee would be wasted on them.
pub(crate) type IdMap<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<IdHasher>>;

/// Multiplies and folds, as FxHash does.
#[derive(Default)]
pub(crate) struct IdHasher(u64);

/// 2⁶⁴ divided by the golden ratio, made odd (Knuth, The Art of Computer Programming §6.4).
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for IdHasher {
    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0.rotate_left(26) ^ n).wrapping_mul(SPREAD);
    }

    fn write_u32(&mut self, n: u32) {
        self.write_u64(n.into());
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64((*byte).into()));
    }

    fn finish(&self) -> u64 {
        // The map looks at both ends; a product is best at its upper one.
        self.0.rotate_left(26)
    }
}

/// A UUID of version 4 that nobody can foresee, made from random keys and a counter: asking the
/// system for random bytes would be a system call for each request. Its lower half is a keyed hash
/// (SipHash), the upper one keeps apart what others make.
pub(crate) fn fresh_uuid() -> Uuid {
    static KEYS: LazyLock<(RandomState, u64)> = LazyLock::new(|| {
        let key = RandomState::new();
        let start = RandomState::new().hash_one(0);
        (key, start)
    });
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let (key, start) = &*KEYS;
    let high = mix(start.wrapping_add(count.wrapping_mul(SPREAD)));
    let random = u128::from(high) << 64 | u128::from(key.hash_one(count));
    uuid::Builder::from_random_bytes(random.to_be_bytes()).into_uuid()
}

/// A `X-Correlation-ID` for each request. They are cut from one piece of memory, several from each,
/// which spares each its own.
#[derive(Default)]
pub(crate) struct CorrelationIds(Mutex<Bytes>);

impl CorrelationIds {
    /// A fresh UUID, as a header field has it.
    pub(crate) fn next(&self) -> Option<HeaderValue> {
        let mut rest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if rest.is_empty() {
            let mut several = vec![0; SEVERAL * Hyphenated::LENGTH];
            for id in several.chunks_exact_mut(Hyphenated::LENGTH) {
                fresh_uuid().hyphenated().encode_lower(id);
            }
            *rest = several.into();
        }
        let id = rest.split_to(Hyphenated::LENGTH);
        drop(rest);
        HeaderValue::from_maybe_shared(id).ok()
    }
}

/// Few enough that an answer which is kept holds on to little.
const SEVERAL: usize = 16;

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
    fn correlation_ids_are_uuids_and_all_different() {
        let ids = CorrelationIds::default();
        let ids: BTreeSet<Uuid> = (0..1000)
            .map(|_| ids.next().unwrap().to_str().unwrap().parse().expect("a UUID"))
            .collect();
        assert_eq!(ids.len(), 1000);
    }

    #[test]
    fn fresh_uuids_are_of_version_4_and_all_different() {
        let ids: Vec<Uuid> = (0..10_000).map(|_| fresh_uuid()).collect();
        assert!(ids.iter().all(|id| id.get_version_num() == 4));
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
        // Neither half is a counter that could be told from the one before.
        let close = ids.windows(2).filter(|w| w[0].as_u128().abs_diff(w[1].as_u128()) >> 100 == 0);
        assert!(close.count() < 10);
    }
}
