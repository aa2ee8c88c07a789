//! An ordered set of small numbers, in sorted arrays.
//!
//! All ordered sets of an engine are of this one kind. Most are small (eight attempts have eight
//! timers, and all requests of a client mostly stand in one lane), and then this is one short
//! array. A B-tree of the standard library is no faster at any size that occurs here, and ten
//! kilobytes of WebAssembly.

use alloc::vec::Vec;

/// What a place has its turn by, and the place.
pub(crate) type Key = (u64, u64);

/// So many are kept in one array, where an insertion moves two kilobytes at most.
const MOST: usize = 128;

/// An ordered set.
#[derive(Debug, Default)]
pub(crate) struct KeySet {
    /// Arrays that are not empty, but for the only one. Keys descend in each and from one to the
    /// next, so that the least is taken from the end, and what is added last, which is mostly
    /// the greatest, is found first.
    arrays: Vec<Vec<Key>>,
}

impl KeySet {
    /// Adds a key. Nothing happens if it is there.
    pub(crate) fn insert(&mut self, key: Key) {
        let (mut at, place) = match self.find(&key) {
            Some((_, _, true)) => return,
            Some((at, place, false)) => (at, place),
            None => {
                self.arrays.push(Vec::new());
                (0, 0)
            }
        };
        let Some(array) = self.arrays.get_mut(at) else {
            return; // not reached: it was just found
        };
        array.insert(place, key);
        if array.len() > MOST {
            let lesser = array.split_off(MOST / 2);
            at += 1;
            self.arrays.insert(at, lesser);
        }
    }

    /// Removes a key. Nothing happens if it is not there.
    pub(crate) fn remove(&mut self, key: &Key) {
        let Some((at, place, true)) = self.find(key) else {
            return;
        };
        let only = self.arrays.len() == 1;
        if let Some(array) = self.arrays.get_mut(at) {
            array.remove(place);
            if array.is_empty() && !only {
                self.arrays.remove(at);
            }
        }
    }

    /// Removes one key and adds another.
    pub(crate) fn replace(&mut self, old: &Key, new: Key) {
        if let [array] = self.arrays.as_mut_slice()
            && let [only] = array.as_mut_slice()
            && only == old
        {
            *only = new;
            return;
        }
        self.remove(old);
        self.insert(new);
    }

    /// The least.
    pub(crate) fn first(&self) -> Option<&Key> {
        self.arrays.last()?.last()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first().is_none()
    }

    /// All keys, the least first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Key> {
        self.arrays.iter().rev().flat_map(|array| array.iter().rev())
    }

    /// The array and the place in it where a key is, or where it belongs, and whether it is there;
    /// `None`: there is no array yet.
    fn find(&self, key: &Key) -> Option<(usize, usize, bool)> {
        // The first array that does not end before it, else the last.
        let last = self.arrays.len().checked_sub(1)?;
        let ahead = |array: &Vec<Key>| array.last().is_some_and(|least| least > key);
        let at = if last == 0 { 0 } else { self.arrays.partition_point(ahead).min(last) };
        let array = self.arrays.get(at)?;
        let place = array.partition_point(|other| other > key);
        Some((at, place, array.get(place) == Some(key)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_is_a_set_however_many_there_are(
            steps in prop::collection::vec((0u8..5, 0u64..2000), 0..3000),
        ) {
            let (mut set, mut model) = (KeySet::default(), BTreeSet::new());
            for (step, number) in steps {
                let key = (number, number % 3);
                match step {
                    0 => {
                        set.remove(&key);
                        model.remove(&key);
                    }
                    1 => {
                        let old = (number / 2, number / 2 % 3);
                        set.replace(&old, key);
                        model.remove(&old);
                        model.insert(key);
                    }
                    _ => {
                        set.insert(key);
                        model.insert(key);
                    }
                }
                prop_assert_eq!(set.first(), model.first());
                prop_assert_eq!(set.is_empty(), model.is_empty());
            }
            prop_assert!(set.iter().eq(&model));
            prop_assert!(set.arrays.iter().all(|array| array.len() <= MOST));
            while let Some(&key) = set.first() {
                set.remove(&key);
                model.remove(&key);
                prop_assert_eq!(set.first(), model.first());
            }
            prop_assert!(set.arrays.len() <= 1);
        }
    }

    #[test]
    fn many_in_a_row_split_and_join() {
        let mut set = KeySet::default();
        for number in 0..100_000 {
            set.insert((number, 0));
        }
        for number in (0..100_000).step_by(2) {
            set.remove(&(number, 0));
        }
        assert!(set.iter().map(|key| key.0).eq((1..100_000).step_by(2)));
    }
}
