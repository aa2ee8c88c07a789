//! The queue by itself, beside a naive one: a vector of all entries, searched for every answer.

use proptest::prelude::*;

use super::*;

const LANES: usize = 4;

/// An entry as the naive queue keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Known {
    id: RequestId,
    value: u64,
    sequence: u64,
    lane: usize,
    class: Priority,
    place: Place,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Insert(usize, Priority),
    Push(usize),
    Requeue(usize),
    Withdraw(usize),
    Remove(usize),
    Park(usize, Parked),
    Renew(usize),
}

/// The real queue, the naive one, and the lanes of both: which they are, and how they are.
struct Pair {
    queue: Queue<u64>,
    known: Vec<Known>,
    lanes: [(u32, Parked); LANES],
    inserted: u64,
    /// The ids of those that were removed: they name nobody ever after.
    gone: Vec<RequestId>,
}

impl Pair {
    fn new() -> Pair {
        let mut queue = Queue::new();
        let lanes = [false, true, false, true].map(|apart| (queue.add_lane(apart), Parked::No));
        Pair { queue, known: Vec::new(), lanes, inserted: 0, gone: Vec::new() }
    }

    fn play(&mut self, step: Step) {
        match step {
            Step::Insert(lane, class) => {
                let value = self.inserted * 7;
                let id = self.queue.insert(self.lanes[lane].0, class, value);
                let (sequence, place) = (self.inserted, Place::Out);
                self.known.push(Known { id, value, sequence, lane, class, place });
                self.inserted += 1;
            }
            Step::Push(i) => {
                // Only the youngest of its lane and class can be pushed behind all others.
                let younger = |it: &Known, other: &Known| {
                    (it.lane, it.class) == (other.lane, other.class) && other.sequence > it.sequence
                };
                if let Some(it) = self.pick(i, |place| place == Place::Out)
                    && !self
                        .known
                        .iter()
                        .any(|other| younger(&self.known[it], other) && other.place == Place::Fresh)
                {
                    self.queue.push(self.known[it].id.slot());
                    self.known[it].place = Place::Fresh;
                }
            }
            Step::Requeue(i) => {
                if let Some(it) = self.pick(i, |place| place == Place::Out) {
                    self.queue.requeue(self.known[it].id.slot());
                    self.known[it].place = Place::Returned;
                }
            }
            Step::Withdraw(i) => {
                if let Some(it) = self.pick(i, |_| true) {
                    self.queue.withdraw(self.known[it].id.slot());
                    self.known[it].place = Place::Out;
                }
            }
            Step::Remove(i) => {
                if let Some(it) = self.pick(i, |_| true) {
                    let gone = self.known.remove(it);
                    assert_eq!(self.queue.remove(gone.id.slot()), Some(self.lanes[gone.lane].0));
                    self.gone.push(gone.id);
                    assert_eq!(self.queue.get(gone.id.slot()), None);
                }
            }
            Step::Park(lane, parked) => {
                self.queue.set_parked(self.lanes[lane].0, parked);
                self.lanes[lane].1 = parked;
            }
            Step::Renew(lane) => {
                if self.known.iter().all(|it| it.lane != lane) {
                    let (old, parked) = self.lanes[lane];
                    self.queue.remove_lane(old);
                    let new = self.queue.add_lane(lane % 2 == 1);
                    assert_eq!(new, old, "the place of a lane is used again");
                    self.queue.set_parked(new, parked);
                }
            }
        }
    }

    fn pick(&self, i: usize, of: impl Fn(Place) -> bool) -> Option<usize> {
        let fitting: Vec<usize> =
            (0..self.known.len()).filter(|it| of(self.known[*it].place)).collect();
        (!fitting.is_empty()).then(|| fitting[i % fitting.len()])
    }

    /// The entries that are queued in lanes like this.
    fn queued(&self, lane: impl Fn(usize) -> bool) -> impl Iterator<Item = &Known> {
        let waits = |it: &&Known| matches!(it.place, Place::Fresh | Place::Returned);
        self.known.iter().filter(waits).filter(move |it| lane(it.lane))
    }

    /// May the first of this class be sent from that lane?
    fn is_open(&self, lane: usize, class: Priority, shared: bool) -> bool {
        let open = match self.lanes[lane].1 {
            Parked::No => true,
            Parked::Reserved => class == Priority::High,
            Parked::Closed | Parked::Full => false,
        };
        open && (shared || lane % 2 == 1)
    }

    fn check(&mut self) {
        for it in &self.known {
            assert_eq!(self.queue.get_mut(it.id.slot()).copied(), Some(it.value));
        }
        let Pair { queue, known, lanes, gone, .. } = &*self;
        assert_eq!(queue.len() as usize, known.len());
        assert_eq!(queue.waiting() as usize, self.queued(|_| true).count());
        for class in Priority::ALL {
            let of_class = |it: &&Known| it.class == class;
            let count = self.queued(|_| true).filter(of_class).count();
            assert_eq!(queue.queued()[class.index()] as usize, count);
            let full =
                self.queued(|lane| lanes[lane].1 == Parked::Full).any(|it| it.class == class);
            assert_eq!(queue.holds_back(class), full);
            for shared in [false, true] {
                let open = |lane: usize| self.is_open(lane, class, shared);
                let first = self.queued(open).filter(of_class).min_by_key(|it| it.sequence);
                let first = first.map(|it| (lanes[it.lane].0, it.id.slot()));
                assert_eq!(queue.first(class, shared), first);
            }
        }
        for shared in [false, true] {
            let ready = self.queued(|_| true).any(|it| self.is_open(it.lane, it.class, shared));
            assert_eq!(queue.is_ready(shared), ready);
        }
        for (lane, &(place, parked)) in lanes.iter().enumerate() {
            let count = self.queued(|it| it == lane).count();
            assert_eq!(queue.queued_in(place) as usize, count);
            assert_eq!(queue.has_queued(place), count > 0);
            assert_eq!(queue.lane_is_empty(place), known.iter().all(|it| it.lane != lane));
            assert_eq!(queue.parked(place), parked);
            assert_eq!(queue.is_apart(place), lane % 2 == 1);
            let mut returned: Vec<u32> = queue.returned(place).collect();
            let mut expected: Vec<u32> = known
                .iter()
                .filter(|it| it.lane == lane && it.place == Place::Returned)
                .map(|it| it.id.slot())
                .collect();
            returned.sort_unstable();
            expected.sort_unstable();
            assert_eq!(returned, expected);
        }
        let mut slots: Vec<u32> = known.iter().map(|it| it.id.slot()).collect();
        slots.sort_unstable();
        assert_eq!(queue.slots().collect::<Vec<_>>(), slots);
        for it in known {
            let slot = it.id.slot();
            assert_eq!((queue.id(slot), queue.lane_of(slot)), (it.id, lanes[it.lane].0));
            assert_eq!(queue.class_of(slot), it.class);
            assert_eq!(queue.find(it.id), Some(&it.value));
            assert_eq!(queue.get(slot), Some(&it.value));
        }
        assert!(gone.iter().all(|id| queue.find(*id).is_none()), "a place is another's by now");
        // A turn is by class, then by age.
        let mut by_turn = known.clone();
        by_turn.sort_by_key(|it| queue.turn(it.id.slot()));
        assert!(by_turn.is_sorted_by_key(|it| (it.class, it.sequence)));
    }
}

fn step() -> impl Strategy<Value = Step> {
    let class = || prop::sample::select(&Priority::ALL[..]);
    let parked =
        || prop::sample::select(&[Parked::No, Parked::Closed, Parked::Reserved, Parked::Full][..]);
    let any = || 0..64usize;
    prop_oneof![
        4 => (0..LANES, class()).prop_map(|(lane, class)| Step::Insert(lane, class)),
        6 => any().prop_map(Step::Push),
        3 => any().prop_map(Step::Requeue),
        3 => any().prop_map(Step::Withdraw),
        2 => any().prop_map(Step::Remove),
        2 => (0..LANES, parked()).prop_map(|(lane, parked)| Step::Park(lane, parked)),
        1 => (0..LANES).prop_map(Step::Renew),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn t18_x25_it_answers_as_a_naive_queue_does(steps in prop::collection::vec(step(), 1..80)) {
        let mut pair = Pair::new();
        for step in steps {
            pair.play(step);
            pair.check();
        }
    }
}

#[test]
fn x26_the_class_that_is_owed_is_chosen_in_time() {
    let mut fair = FairShare::default();
    let all = [true; 3];
    let served: Vec<Priority> = (0..8)
        .map(|_| {
            let class = fair.choose(all, 4).expect("all have somebody");
            fair.sent(class, all);
            class
        })
        .collect();
    use Priority::{High, Low, Normal};
    assert_eq!(served, [High, High, High, Normal, Low, High, High, Normal]);
    assert_eq!(fair.choose([false, false, true], 4), Some(Low));
    assert_eq!(fair.choose([false; 3], 4), None);
}
