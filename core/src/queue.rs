//! Per-class lists threaded through one slab.
//!
//! Requests that consume the same set of scopes share a *lane*. A lane has, for each class, a
//! first-come-first-served list threaded through the slab (push, pop and cancel touch no other
//! entry than the neighbours), and beside it a small ordered set of those that were sent before
//! and came back: they are few (what was in flight when a scope was refused), and each goes back
//! to its old place, before everything younger.
//!
//! A lane whose scopes cannot send is *parked* and then costs the others nothing: only lanes
//! that are ready stand in the order from which the next request is taken.

use alloc::vec::Vec;

use crate::chunks::Chunks;
use crate::event::{Priority, RequestId};
use crate::key_set::{Key, KeySet};

const NONE: u32 = u32::MAX;
pub(crate) const CLASSES: usize = Priority::ALL.len();

/// Lanes that share the client's concurrency, and lanes apart from it.
const GROUPS: usize = 2;

/// The position in the order of submission; a request keeps it for life.
type Sequence = u64;

/// So many bits it has: at a billion requests a second they last for two years.
const SEQUENCE_BITS: u32 = 56;

/// Where an entry is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Free,
    /// Not queued: in flight, or waiting alone.
    Out,
    /// In its lane's list.
    Fresh,
    /// In its lane's set of those that came back.
    Returned,
}

#[derive(Debug)]
struct Entry<T> {
    sequence: Sequence,
    previous: u32,
    next: u32,
    lane: u32,
    generation: u32,
    class: Priority,
    place: Place,
    value: Option<T>,
}

#[derive(Debug)]
struct List {
    head: u32,
    tail: u32,
    returned: KeySet,
    /// The head, and the sequence under which this list stands in the ready order, if it does.
    listed: Option<(Sequence, u32)>,
    /// It is counted among those that only a full scope holds back.
    held_back: bool,
}

impl Default for List {
    fn default() -> Self {
        List { head: NONE, tail: NONE, returned: KeySet::default(), listed: None, held_back: false }
    }
}

/// Why a lane is not in the ready order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Parked {
    #[default]
    No,
    /// A scope of its is closed, or there is no token.
    Closed,
    /// Its scopes are open, but as many attempts are in flight as may be.
    Full,
    /// What is left of a quota is kept for urgent requests.
    Reserved,
}

#[derive(Debug, Default)]
struct Lane {
    lists: [List; CLASSES],
    apart: bool,
    parked: Parked,
    /// Entries of this lane, queued or not.
    entries: u32,
    /// Those that are queued.
    queued: u32,
}

/// The queue of all requests of an engine, with a value of the engine's for each.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    slab: Chunks<Entry<T>>,
    free: u32,
    lanes: Vec<Option<Lane>>,
    free_lanes: Vec<u32>,
    ready: [[KeySet; CLASSES]; GROUPS],
    /// Lists that stand in the ready order, by group.
    lists_ready: [u32; GROUPS],
    next_sequence: Sequence,
    queued: [u32; CLASSES],
    /// Lists with somebody whom only a full scope holds back.
    held_back: [u32; CLASSES],
    entries: u32,
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        Queue {
            slab: Chunks::new(),
            free: NONE,
            lanes: Vec::new(),
            free_lanes: Vec::new(),
            ready: Default::default(),
            lists_ready: [0; GROUPS],
            next_sequence: 0,
            queued: [0; CLASSES],
            held_back: [0; CLASSES],
            entries: 0,
        }
    }

    /// Makes a lane; `apart` from the client's concurrency or not.
    pub(crate) fn add_lane(&mut self, apart: bool) -> u32 {
        let lane = Some(Lane { apart, ..Lane::default() });
        match self.free_lanes.pop() {
            Some(index) => {
                self.lanes[index as usize] = lane;
                index
            }
            None => {
                self.lanes.push(lane);
                (self.lanes.len() - 1) as u32
            }
        }
    }

    /// Forgets a lane that has no entries.
    pub(crate) fn remove_lane(&mut self, lane: u32) {
        debug_assert_eq!(self.lane(lane).entries, 0);
        self.lanes[lane as usize] = None;
        self.free_lanes.push(lane);
    }

    /// Adds an entry to a lane, not queued yet, at the end of the order of submission.
    pub(crate) fn insert(&mut self, lane: u32, class: Priority, value: T) -> RequestId {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.entries += 1;
        self.lane_mut(lane).entries += 1;
        let entry = |generation| Entry {
            sequence,
            previous: NONE,
            next: NONE,
            lane,
            generation,
            class,
            place: Place::Out,
            value: Some(value),
        };
        if self.free == NONE {
            return RequestId::new(self.slab.push(entry(0)), 0);
        }
        let slot = self.free;
        let old = &mut self.slab[slot];
        self.free = old.next;
        let generation = old.generation.wrapping_add(1);
        *old = entry(generation);
        RequestId::new(slot, generation)
    }

    /// Takes an entry out for good, queued or not, and says in which lane it was.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<u32> {
        self.withdraw(slot);
        let entry = &mut self.slab[slot];
        entry.value.take()?;
        entry.place = Place::Free;
        entry.next = core::mem::replace(&mut self.free, slot);
        let lane = entry.lane;
        self.entries -= 1;
        self.lane_mut(lane).entries -= 1;
        Some(lane)
    }

    /// Queues a new entry behind all of its lane and class.
    pub(crate) fn push(&mut self, slot: u32) {
        let entry = &self.slab[slot];
        debug_assert_eq!(entry.place, Place::Out);
        let (lane, class) = (entry.lane, entry.class);
        self.queued[class.index()] += 1;
        let owner = self.lane_mut(lane);
        owner.queued += 1;
        let list = &mut owner.lists[class.index()];
        let tail = core::mem::replace(&mut list.tail, slot);
        if tail == NONE {
            list.head = slot;
        }
        let entry = &mut self.slab[slot];
        (entry.previous, entry.next, entry.place) = (tail, NONE, Place::Fresh);
        match tail {
            NONE => self.relist(lane, class),
            tail => self.slab[tail].next = slot,
        }
    }

    /// Queues an entry that was queued before at its old place.
    pub(crate) fn requeue(&mut self, slot: u32) {
        let entry = &mut self.slab[slot];
        debug_assert_eq!(entry.place, Place::Out);
        entry.place = Place::Returned;
        let (lane, class, sequence) = (entry.lane, entry.class, entry.sequence);
        self.queued[class.index()] += 1;
        let owner = self.lane_mut(lane);
        owner.queued += 1;
        owner.lists[class.index()].returned.insert((sequence, u64::from(slot)));
        self.relist(lane, class);
    }

    /// Takes an entry out of its list; it stays an entry. Nothing happens if it is not queued.
    pub(crate) fn withdraw(&mut self, slot: u32) {
        let entry = &mut self.slab[slot];
        let Entry { sequence, previous, next, lane, class, place, .. } = *entry;
        if let Place::Free | Place::Out = place {
            return;
        }
        entry.place = Place::Out;
        self.queued[class.index()] -= 1;
        let owner = self.lane_mut(lane);
        owner.queued -= 1;
        let list = &mut owner.lists[class.index()];
        if place == Place::Returned {
            list.returned.remove(&(sequence, u64::from(slot)));
            return self.relist(lane, class);
        }
        if next == NONE {
            list.tail = previous;
        }
        if previous == NONE {
            list.head = next;
        }
        if next != NONE {
            self.slab[next].previous = previous;
        }
        match previous {
            NONE => self.relist(lane, class),
            previous => self.slab[previous].next = next,
        }
    }

    /// Takes a lane out of the ready order, or puts it back.
    pub(crate) fn set_parked(&mut self, lane: u32, parked: Parked) {
        self.lane_mut(lane).parked = parked;
        for class in Priority::ALL {
            self.relist(lane, class);
        }
    }

    /// Is there a request of this class whom only a full scope holds back?
    pub(crate) fn holds_back(&self, class: Priority) -> bool {
        self.held_back[class.index()] > 0
    }

    /// Does any lane stand in the ready order? `shared` as in [`first`](Self::first).
    pub(crate) fn is_ready(&self, shared: bool) -> bool {
        let [common, apart] = self.lists_ready;
        apart > 0 || shared && common > 0
    }

    /// The ready lane with the oldest request of a class, and that request. `shared`: also
    /// lanes that need one of the client's slots.
    #[inline]
    pub(crate) fn first(&self, class: Priority, shared: bool) -> Option<(u32, u32)> {
        let [common, apart] = &self.ready;
        let apart = apart[class.index()].first();
        let common = if shared { common[class.index()].first() } else { None };
        let &(_, lane) = match (common, apart) {
            (Some(common), Some(apart)) => common.min(apart),
            (common, apart) => common.or(apart)?,
        };
        let lane = lane as u32;
        Some((lane, self.lane(lane).lists[class.index()].listed?.1))
    }

    /// The entry that this id names, if it is still there.
    pub(crate) fn find(&self, id: RequestId) -> Option<&T> {
        let slot = id.slot();
        let entry = self.slab.get(slot)?;
        let same = RequestId::new(slot, entry.generation) == id;
        entry.value.as_ref().filter(|_| same)
    }

    pub(crate) fn id(&self, slot: u32) -> RequestId {
        RequestId::new(slot, self.slab[slot].generation)
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&T> {
        self.slab.get(slot)?.value.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.slab.get_mut(slot)?.value.as_mut()
    }

    /// An entry, and what it has its turn by: its class, then the order of submission.
    pub(crate) fn turn(&self, slot: u32) -> Key {
        let Entry { class, sequence, .. } = self.slab[slot];
        ((class as u64) << SEQUENCE_BITS | sequence, u64::from(slot))
    }

    pub(crate) fn class_of(&self, slot: u32) -> Priority {
        self.slab[slot].class
    }

    pub(crate) fn lane_of(&self, slot: u32) -> u32 {
        self.slab[slot].lane
    }

    /// Does this lane have requests that wait for their turn?
    pub(crate) fn has_queued(&self, lane: u32) -> bool {
        self.lane(lane).queued > 0
    }

    pub(crate) fn lane_is_empty(&self, lane: u32) -> bool {
        self.lane(lane).entries == 0
    }

    pub(crate) fn parked(&self, lane: u32) -> Parked {
        self.lane(lane).parked
    }

    /// How many of a lane wait for their turn.
    pub(crate) fn queued_in(&self, lane: u32) -> u32 {
        self.lane(lane).queued
    }

    pub(crate) fn is_apart(&self, lane: u32) -> bool {
        self.lane(lane).apart
    }

    /// Those of a lane that were sent before and wait for their turn again.
    pub(crate) fn returned(&self, lane: u32) -> impl Iterator<Item = u32> {
        self.lane(lane)
            .lists
            .iter()
            .flat_map(|list| list.returned.iter().map(|entry| entry.1 as u32))
    }

    /// All entries, in the order of their places in the slab.
    pub(crate) fn slots(&self) -> impl Iterator<Item = u32> {
        (0..self.slab.len()).filter(|slot| self.slab[*slot].value.is_some())
    }

    /// How many requests wait for their turn, by class.
    pub(crate) fn queued(&self) -> [u32; CLASSES] {
        self.queued
    }

    /// And in all classes.
    pub(crate) fn waiting(&self) -> u64 {
        self.queued.iter().map(|n| u64::from(*n)).sum()
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> u32 {
        self.entries
    }

    /// Brings the ready order in line with the head of one list.
    fn relist(&mut self, lane: u32, class: Priority) {
        let head = self.head(lane, class);
        let owner = self.lane(lane);
        let (apart, parked) = (owner.apart, owner.parked);
        let List { listed: old, held_back, .. } = owner.lists[class.index()];
        let holds_back = parked == Parked::Full && head.is_some();
        if holds_back != held_back {
            self.list_mut(lane, class).held_back = holds_back;
            let count = &mut self.held_back[class.index()];
            *count = if holds_back { *count + 1 } else { *count - 1 };
        }
        let ready = match parked {
            Parked::No => true,
            Parked::Reserved => class == Priority::High,
            Parked::Closed | Parked::Full => false,
        };
        let new = head.filter(|_| ready);
        if new == old {
            return;
        }
        let ready = &mut self.ready[usize::from(apart)][class.index()];
        let lane_key = u64::from(lane);
        match (old, new) {
            (Some((old, _)), Some((new, _))) => ready.replace(&(old, lane_key), (new, lane_key)),
            (Some((old, _)), None) => {
                ready.remove(&(old, lane_key));
                self.lists_ready[usize::from(apart)] -= 1;
            }
            (None, Some((new, _))) => {
                ready.insert((new, lane_key));
                self.lists_ready[usize::from(apart)] += 1;
            }
            (None, None) => {}
        }
        self.list_mut(lane, class).listed = new;
    }

    fn head(&self, lane: u32, class: Priority) -> Option<(Sequence, u32)> {
        let list = &self.lane(lane).lists[class.index()];
        let fresh = match list.head {
            NONE => None,
            slot => Some((self.slab[slot].sequence, slot)),
        };
        match (fresh, list.returned.first().map(|&(sequence, slot)| (sequence, slot as u32))) {
            (Some(fresh), Some(returned)) => Some(fresh.min(returned)),
            (fresh, returned) => fresh.or(returned),
        }
    }

    fn lane(&self, lane: u32) -> &Lane {
        self.lanes[lane as usize].as_ref().expect("a lane is removed only when it has no entries")
    }

    fn lane_mut(&mut self, lane: u32) -> &mut Lane {
        self.lanes[lane as usize].as_mut().expect("a lane is removed only when it has no entries")
    }

    fn list_mut(&mut self, lane: u32, class: Priority) -> &mut List {
        &mut self.lane_mut(lane).lists[class.index()]
    }
}

/// Sees to it that a class which has somebody to send is not passed over for ever.
#[derive(Debug, Default)]
pub(crate) struct FairShare {
    /// Sends of others since the class was served, while it had somebody to send.
    passed_over: [u32; CLASSES],
}

impl FairShare {
    /// Which class is next, of those that have somebody to send.
    pub(crate) fn choose(&self, eligible: [bool; CLASSES], share: u32) -> Option<Priority> {
        let has = |class: &&Priority| eligible[class.index()];
        let owed = |class: &&Priority| self.passed_over[class.index()] + 1 >= share;
        let mut waiting = Priority::ALL.iter().filter(has);
        waiting.clone().find(owed).or_else(|| waiting.next()).copied()
    }

    /// A request of `served` was sent.
    pub(crate) fn sent(&mut self, served: Priority, eligible: [bool; CLASSES]) {
        for (class, count) in Priority::ALL.into_iter().zip(&mut self.passed_over) {
            let waits = class != served && eligible[class.index()];
            *count = if waits { count.saturating_add(1) } else { 0 };
        }
    }
}

#[cfg(test)]
mod tests;
