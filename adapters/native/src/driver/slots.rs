//! Something for each of an engine's requests, cheap to look up.

use cxone_core::RequestId;

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

#[cfg(test)]
mod tests {
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
}
