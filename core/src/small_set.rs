//! An ordered set that is cheap while it is small, as most are here: eight attempts have eight
//! timers, and all requests of a client mostly stand in one lane.

use std::collections::BTreeSet;

/// So many are kept in one sorted array, where an insertion moves 512 bytes at most.
const FEW: usize = 32;

/// An ordered set: the first few items in an array, those that find it full in a tree.
#[derive(Debug)]
pub(crate) struct SmallSet<T> {
    /// Greatest first, so that the least is taken from the end.
    few: Vec<T>,
    many: BTreeSet<T>,
}

impl<T> Default for SmallSet<T> {
    fn default() -> Self {
        SmallSet { few: Vec::new(), many: BTreeSet::new() }
    }
}

impl<T: Ord + Copy> SmallSet<T> {
    /// Adds an item that is not there.
    pub(crate) fn insert(&mut self, item: T) {
        if self.few.len() == FEW {
            self.many.insert(item);
            return;
        }
        debug_assert!(!self.few.contains(&item));
        let place = self.few.iter().position(|other| *other < item).unwrap_or(self.few.len());
        self.few.insert(place, item);
    }

    /// Removes an item; nothing happens if it is not there.
    pub(crate) fn remove(&mut self, item: &T) {
        // From the end: what leaves has mostly been there for long.
        match self.few.iter().rposition(|other| other == item) {
            Some(place) => drop(self.few.remove(place)),
            None => drop(self.many.remove(item)),
        }
    }

    /// Removes one item and adds another.
    pub(crate) fn replace(&mut self, old: &T, new: T) {
        match self.few.as_mut_slice() {
            [only] if only == old && self.many.is_empty() => *only = new,
            _ => {
                self.remove(old);
                self.insert(new);
            }
        }
    }

    pub(crate) fn first(&self) -> Option<&T> {
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
