//! An ordered set that is cheap while it is small, as most are here: eight attempts have eight
//! timers, and all requests of a client mostly stand in one lane.
//!
//! All ordered sets of an engine are of the same [`Key`]: in WebAssembly each kind of tree would
//! cost 5 kB more.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

/// What a place has its turn by, and the place.
pub(crate) type Key = (u64, u64);

/// So many are kept in one sorted array, where an insertion moves 512 bytes at most.
const FEW: usize = 32;

/// An ordered set: the first few items in an array, those that find it full in a tree.
#[derive(Debug, Default)]
pub(crate) struct SmallSet {
    /// Greatest first, so that the least is taken from the end.
    few: Vec<Key>,
    many: BTreeSet<Key>,
}

impl SmallSet {
    /// Adds an item that is not there.
    pub(crate) fn insert(&mut self, item: Key) {
        if self.few.len() == FEW {
            self.many.insert(item);
            return;
        }
        debug_assert!(!self.few.contains(&item));
        let place = self.few.iter().position(|other| *other < item).unwrap_or(self.few.len());
        self.few.insert(place, item);
    }

    /// Removes an item; nothing happens if it is not there.
    pub(crate) fn remove(&mut self, item: &Key) {
        // From the end: what leaves has mostly been there for long.
        match self.few.iter().rposition(|other| other == item) {
            Some(place) => drop(self.few.remove(place)),
            None => drop(self.many.remove(item)),
        }
    }

    /// Removes one item and adds another.
    pub(crate) fn replace(&mut self, old: &Key, new: Key) {
        match self.few.as_mut_slice() {
            [only] if only == old && self.many.is_empty() => *only = new,
            _ => {
                self.remove(old);
                self.insert(new);
            }
        }
    }

    pub(crate) fn first(&self) -> Option<&Key> {
        let few = self.few.last();
        if self.many.is_empty() {
            return few;
        }
        few.into_iter().chain(self.many.first()).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_a_set_however_many_there_are(
            steps in prop::collection::vec((any::<bool>(), 0u8..100), 0..400),
        ) {
            let (mut set, mut model) = (SmallSet::default(), BTreeSet::new());
            for (add, item) in steps {
                let item = (u64::from(item), 0);
                if add && model.insert(item) {
                    set.insert(item);
                } else if !add {
                    model.remove(&item);
                    set.remove(&item);
                }
                prop_assert_eq!(set.first(), model.first());
            }
        }
    }
}
