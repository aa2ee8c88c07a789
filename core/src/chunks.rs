//! An array that grows without moving what it holds. At a million requests a doubling `Vec` holds
//! up to twice what it needs, and copies all of it in the middle of a submit.

use alloc::vec::Vec;
use core::ops::{Index, IndexMut};

const CHUNK: usize = 512;

/// Items by their places, in chunks of equal length. Nothing is ever taken out.
#[derive(Debug)]
pub(crate) struct Chunks<T>(Vec<Vec<T>>);

impl<T> Chunks<T> {
    pub(crate) fn new() -> Self {
        Chunks(Vec::new())
    }

    /// Adds an item, and says at which place.
    pub(crate) fn push(&mut self, item: T) -> u32 {
        match self.0.last_mut() {
            // The first chunk grows as it must: most engines need no more.
            None => self.0.push(vec![item]),
            Some(last) if last.len() == CHUNK => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(item);
                self.0.push(chunk);
            }
            Some(last) => last.push(item),
        }
        self.len() - 1
    }

    pub(crate) fn len(&self) -> u32 {
        let last = self.0.last().map_or(0, Vec::len);
        (self.0.len().saturating_sub(1) * CHUNK + last) as u32
    }

    pub(crate) fn get(&self, place: u32) -> Option<&T> {
        self.0.get(place as usize / CHUNK)?.get(place as usize % CHUNK)
    }

    pub(crate) fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        self.0.get_mut(place as usize / CHUNK)?.get_mut(place as usize % CHUNK)
    }
}

impl<T> Index<u32> for Chunks<T> {
    type Output = T;

    fn index(&self, place: u32) -> &T {
        &self.0[place as usize / CHUNK][place as usize % CHUNK]
    }
}

impl<T> IndexMut<u32> for Chunks<T> {
    fn index_mut(&mut self, place: u32) -> &mut T {
        &mut self.0[place as usize / CHUNK][place as usize % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_keeps_its_place() {
        let mut chunks = Chunks::new();
        let most = CHUNK as u32 * 3;
        for i in 0..most {
            assert_eq!(chunks.get(i), None);
            assert_eq!(chunks.push(i), i);
            assert_eq!(chunks.len(), i + 1);
        }
        assert!((0..most).all(|i| chunks[i] == i && chunks.get(i) == Some(&i)));
    }
}
