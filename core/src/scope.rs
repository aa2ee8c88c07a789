//! Scopes and the lanes through them: who shares a limit with whom, and who waits for what.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::config::{MAX_SCOPES, ScopeConfig};
use crate::gate::{Gate, Permit, Ticket};
use crate::pacer::{Asker, Mark, Pacer, Pacing};
use crate::queue::Parked;
use crate::time::Instant;

/// A pause that grows by less is no news: those that were refused together state moments apart by
/// no more than the time that their answers took.
const NEWS: Duration = Duration::from_millis(100);

/// One server-side limit, as far as the client tells them apart.
#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) name: Arc<str>,
    pub(crate) gate: Gate,
    pub(crate) pacer: Pacer,
    /// Held by the user's `pause`, beside the gate.
    pub(crate) held: bool,
    pub(crate) in_flight: u32,
    /// When the gate is looked at again for the lanes that are parked here.
    pub(crate) timer: Option<Instant>,
    /// The pause that was told last: until when, and the number of its round.
    told: (Instant, u32),
    /// Its attempts count apart from the client's concurrency.
    apart: bool,
    /// It is in the configuration, or the default one: never forgotten.
    permanent: bool,
    lanes: Vec<u32>,
    parked: Vec<u32>,
}

impl Scope {
    fn new(
        name: Arc<str>,
        concurrency: Option<u32>,
        apart: bool,
        pacing: Pacing,
        permanent: bool,
    ) -> Scope {
        Scope {
            name,
            gate: Gate::new(),
            pacer: Pacer::new(concurrency, pacing),
            held: false,
            in_flight: 0,
            timer: None,
            told: (Instant::ORIGIN, 0),
            apart,
            permanent,
            lanes: Vec::new(),
            parked: Vec::new(),
        }
    }

    /// Is a pause until then, of that round, worth telling beside the one that was told last? If so
    /// it counts as told.
    pub(crate) fn is_news(&mut self, until: Instant, attempt: u32, now: Instant) -> bool {
        let (told, last) = self.told;
        let news = now >= told || attempt != last || until >= told + NEWS;
        if news {
            self.told = (until, attempt);
        }
        news
    }

    /// May it send? A hold has no moment at which it ends.
    pub(crate) fn permit(&self, now: Instant, asker: Asker) -> Permit {
        if self.held {
            return Permit::AfterAnswer;
        }
        let gate = self.gate.permit(now, self.in_flight);
        gate.and(self.pacer.permit(now, self.in_flight, asker))
    }

    /// The latest deadline that the server has set and that is still ahead.
    pub(crate) fn closed_until(&self, now: Instant) -> Option<Instant> {
        Some(self.opened_at()).filter(|at| *at > now)
    }

    /// The latest deadline that the server has set, whether it is past or not.
    fn opened_at(&self) -> Instant {
        self.gate.not_before().max(self.pacer.spent_until())
    }

    /// The latest moment that the server has stated itself, which may be past.
    pub(crate) fn stated_until(&self) -> Instant {
        self.gate.stated_until().max(self.pacer.spent_until())
    }

    /// How many attempts may be in flight here, given the client's concurrency.
    pub(crate) fn limit(&self, client: u32) -> u32 {
        match self.pacer.concurrency() {
            Some(own) if self.apart => own,
            Some(own) => own.min(client),
            None => client,
        }
    }

    pub(crate) fn has_parked(&self) -> bool {
        !self.parked.is_empty()
    }

    pub(crate) fn lanes(&self) -> &[u32] {
        &self.lanes
    }

    fn is_forgettable(&self, now: Instant) -> bool {
        let unused = self.lanes.is_empty() && !self.held && !self.permanent;
        let forgettable = self.gate.is_forgettable(now) && self.pacer.is_forgettable(now);
        unused && forgettable && self.closed_until(now).is_none()
    }
}

/// What an attempt remembers of a scope from when it was sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stub {
    pub(crate) ticket: Ticket,
    pub(crate) mark: Mark,
}

/// What a lane is parked on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Blocker {
    Scope(u32),
    Token,
}

/// What the requests of one lane have in common.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct LaneKey {
    /// Narrowest first, then `NONE`.
    scopes: [u32; MAX_SCOPES],
    pub(crate) auth: bool,
}

const NONE: u32 = u32::MAX;

impl LaneKey {
    /// The scopes, narrowest first.
    pub(crate) fn scopes(self) -> LaneScopes {
        LaneScopes { scopes: self.scopes, next: 0 }
    }
}

/// The scopes of a lane. Every call comes by here, and in code that is made small the adapters of
/// the standard library are calls of their own.
pub(crate) struct LaneScopes {
    scopes: [u32; MAX_SCOPES],
    next: usize,
}

impl Iterator for LaneScopes {
    type Item = u32;

    #[inline(always)]
    fn next(&mut self) -> Option<u32> {
        let scope = *self.scopes.get(self.next)?;
        self.next += 1;
        (scope != NONE).then_some(scope)
    }
}

#[derive(Debug)]
struct LaneState {
    key: LaneKey,
    blocker: Option<Blocker>,
}

/// All scopes by name, and all lanes by what they need.
#[derive(Debug, Default)]
pub(crate) struct Scopes {
    slots: Vec<Option<Scope>>,
    free: Vec<u32>,
    /// The scopes in the order of their names.
    by_name: Vec<u32>,
    /// The scope of requests that name none.
    default: u32,
    /// At so many scopes, those that have come to be forgettable are looked for.
    sweep_at: usize,
    lanes: Vec<Option<LaneState>>,
    /// The lanes in the order of their keys.
    by_key: Vec<u32>,
    /// The lane that was asked for last, which is mostly asked for again.
    recent: u32,
    token_parked: Vec<u32>,
    /// How scopes are paced of which nothing else is said.
    pacing: Pacing,
}

impl Scopes {
    pub(crate) fn new(default: &str, known: &[ScopeConfig], pacing: Pacing) -> Scopes {
        let mut scopes = Scopes { sweep_at: FIRST_SWEEP, pacing, ..Scopes::default() };
        for scope in known {
            let pacing = scope.pacing.unwrap_or(pacing);
            scopes.add(&scope.name, scope.concurrency, scope.apart, pacing, true);
        }
        let default =
            scopes.find(default).unwrap_or_else(|| scopes.add(default, None, false, pacing, true));
        Scopes { default, ..scopes }
    }

    pub(crate) fn find(&self, name: &str) -> Option<u32> {
        self.place_of(name).ok().map(|place| self.by_name[place])
    }

    /// Where a scope of this name stands in their order, or would.
    fn place_of(&self, name: &str) -> Result<usize, usize> {
        self.by_name.binary_search_by(|scope| (*self.scope(*scope).name).cmp(name))
    }

    /// Where a lane of this key stands in their order, or would.
    fn place_of_key(&self, key: LaneKey) -> Result<usize, usize> {
        self.by_key.binary_search_by(|lane| self.lane(*lane).key.cmp(&key))
    }

    pub(crate) fn find_or_add(&mut self, name: &str, now: Instant) -> u32 {
        self.find(name).unwrap_or_else(|| {
            self.sweep(now);
            self.add(name, None, false, self.pacing, false)
        })
    }

    /// The lane of requests with these scopes, if there is one.
    pub(crate) fn find_lane(&mut self, key: LaneKey) -> Option<u32> {
        match self.lanes.get(self.recent as usize) {
            Some(Some(lane)) if lane.key == key => {}
            _ => self.recent = self.by_key[self.place_of_key(key).ok()?],
        }
        Some(self.recent)
    }

    /// The key for requests with these scopes, which are made if they are not there; of none, that
    /// with the default scope.
    pub(crate) fn key(&mut self, names: &[&str], auth: bool, now: Instant) -> LaneKey {
        let mut scopes = [NONE; MAX_SCOPES];
        if names.is_empty() {
            scopes[0] = self.default;
        }
        if names.iter().any(|name| self.find(name).is_none()) {
            self.sweep(now);
        }
        for (place, name) in scopes.iter_mut().zip(names) {
            let scope = self.find(name);
            *place = scope.unwrap_or_else(|| self.add(name, None, false, self.pacing, false));
        }
        LaneKey { scopes, auth }
    }

    /// Do attempts of this lane count apart from the client's concurrency?
    pub(crate) fn is_apart(&self, key: LaneKey) -> bool {
        key.scopes().any(|scope| self.scope(scope).apart)
    }

    /// Keeps the lane that the queue calls `lane`.
    pub(crate) fn add_lane(&mut self, lane: u32, key: LaneKey) {
        if self.lanes.len() <= lane as usize {
            self.lanes.resize_with(lane as usize + 1, || None);
        }
        let (Ok(place) | Err(place)) = self.place_of_key(key);
        self.by_key.insert(place, lane);
        self.lanes[lane as usize] = Some(LaneState { key, blocker: None });
        for scope in key.scopes() {
            self.scope_mut(scope).lanes.push(lane);
        }
    }

    /// Forgets a lane that no request uses, and those of its scopes of which nothing is known.
    pub(crate) fn remove_lane(&mut self, lane: u32, now: Instant) {
        self.unpark(lane);
        let key = self.lane_key(lane);
        if let Ok(place) = self.place_of_key(key) {
            self.by_key.remove(place);
        }
        self.lanes[lane as usize] = None;
        for scope in key.scopes() {
            self.scope_mut(scope).lanes.retain(|other| *other != lane);
            self.forget_idle(scope, now);
        }
    }

    /// Forgets a scope if nothing is known of it and nobody uses it.
    pub(crate) fn forget_idle(&mut self, scope: u32, now: Instant) {
        if self.scope(scope).is_forgettable(now) {
            if let Ok(place) = self.place_of(&self.scope(scope).name) {
                self.by_name.remove(place);
            }
            self.slots[scope as usize] = None;
            self.free.push(scope);
        }
    }

    pub(crate) fn lane_key(&self, lane: u32) -> LaneKey {
        self.lane(lane).key
    }

    /// The first of a lane's scopes that cannot send now, and whether it is closed; only if none
    /// is, one that is merely full.
    pub(crate) fn blocking(&self, lane: u32, now: Instant, asker: Asker) -> Option<(u32, Parked)> {
        let (mut full, mut reserved) = (None, None);
        for scope in self.lane_key(lane).scopes() {
            match self.scope(scope).permit(now, asker) {
                Permit::Now => {}
                Permit::Full => full = full.or(Some((scope, Parked::Full))),
                Permit::At(_) | Permit::AfterAnswer => {
                    let urgent = Asker { high: true, ..asker };
                    match self.scope(scope).permit(now, urgent) {
                        Permit::Now if !asker.high => {
                            reserved = reserved.or(Some((scope, Parked::Reserved)));
                        }
                        _ => return Some((scope, Parked::Closed)),
                    }
                }
            }
        }
        full.or(reserved)
    }

    /// The latest deadline of a lane's scopes that is still ahead, and whose it is.
    pub(crate) fn closed_until(&self, lane: u32, now: Instant) -> Option<Instant> {
        let scopes = self.lane_key(lane).scopes();
        scopes.filter_map(|scope| self.scope(scope).closed_until(now)).max()
    }

    /// The latest moment that the server has stated for one of a lane's scopes; it may be past.
    pub(crate) fn stated_until(&self, lane: u32) -> Instant {
        let stated_until = |scope| self.scope(scope).stated_until();
        self.lane_key(lane).scopes().map(stated_until).max().unwrap_or_default()
    }

    /// When the last of a lane's scopes was open again, as far as deadlines of the server go.
    pub(crate) fn opened_at(&self, lane: u32) -> Instant {
        let opened_at = |scope| self.scope(scope).opened_at();
        self.lane_key(lane).scopes().map(opened_at).max().unwrap_or_default()
    }

    /// Notes that a lane waits for `blocker`, and for nothing else: one that is kept from a reserve
    /// is looked at again for its urgent requests, which may lack something different.
    pub(crate) fn park(&mut self, lane: u32, blocker: Blocker) {
        self.unpark(lane);
        self.lane_mut(lane).blocker = Some(blocker);
        match blocker {
            Blocker::Scope(scope) => self.scope_mut(scope).parked.push(lane),
            Blocker::Token => self.token_parked.push(lane),
        }
    }

    /// Notes that a lane waits for nothing; says for what it did.
    pub(crate) fn unpark(&mut self, lane: u32) -> Option<Blocker> {
        let blocker = self.lane_mut(lane).blocker.take()?;
        let list = match blocker {
            Blocker::Scope(scope) => &mut self.scope_mut(scope).parked,
            Blocker::Token => &mut self.token_parked,
        };
        list.retain(|other| *other != lane);
        Some(blocker)
    }

    /// The lanes that are parked on a scope.
    pub(crate) fn parked_on(&self, scope: u32) -> &[u32] {
        &self.scope(scope).parked
    }

    /// The lanes that wait for `blocker`; from now on they wait for nothing.
    pub(crate) fn release(&mut self, blocker: Blocker) -> Vec<u32> {
        let lanes = match blocker {
            Blocker::Scope(scope) => core::mem::take(&mut self.scope_mut(scope).parked),
            Blocker::Token => core::mem::take(&mut self.token_parked),
        };
        for lane in &lanes {
            self.lane_mut(*lane).blocker = None;
        }
        lanes
    }

    pub(crate) fn token_awaited(&self) -> bool {
        !self.token_parked.is_empty()
    }

    /// Counts an attempt of this lane in each of its scopes.
    pub(crate) fn sent(&mut self, lane: u32, now: Instant, asker: Asker) -> [Stub; MAX_SCOPES] {
        let mut stubs = [Stub::default(); MAX_SCOPES];
        let mut scopes = self.lane_key(lane).scopes();
        for stub in &mut stubs {
            let Some(scope) = scopes.next() else { break };
            let scope = self.scope_mut(scope);
            scope.in_flight += 1;
            *stub = Stub { ticket: scope.gate.sent(), mark: scope.pacer.sent(now, asker) };
        }
        stubs
    }

    pub(crate) fn scope(&self, scope: u32) -> &Scope {
        self.slots[scope as usize].as_ref().expect(IN_USE)
    }

    pub(crate) fn scope_mut(&mut self, scope: u32) -> &mut Scope {
        self.slots[scope as usize].as_mut().expect(IN_USE)
    }

    /// The scope in this place, if there is one.
    pub(crate) fn get_mut(&mut self, scope: u32) -> Option<&mut Scope> {
        self.slots.get_mut(scope as usize)?.as_mut()
    }

    /// All scopes, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Scope)> {
        self.by_name.iter().map(|scope| (*scope, self.scope(*scope)))
    }

    fn add(
        &mut self,
        name: &str,
        concurrency: Option<u32>,
        apart: bool,
        pacing: Pacing,
        permanent: bool,
    ) -> u32 {
        let (Ok(place) | Err(place)) = self.place_of(name);
        let scope = Some(Scope::new(name.into(), concurrency, apart, pacing, permanent));
        let index = match self.free.pop() {
            Some(index) => {
                self.slots[index as usize] = scope;
                index
            }
            None => {
                self.slots.push(scope);
                (self.slots.len() - 1) as u32
            }
        };
        self.by_name.insert(place, index);
        index
    }

    /// A scope that was refused and then left alone outlives its lanes. So that such ones do not
    /// add up, all are looked through whenever their number has doubled.
    fn sweep(&mut self, now: Instant) {
        if self.by_name.len() < self.sweep_at {
            return;
        }
        for scope in self.by_name.clone() {
            self.forget_idle(scope, now);
        }
        self.sweep_at = FIRST_SWEEP.max(self.by_name.len() * 2);
    }

    fn lane(&self, lane: u32) -> &LaneState {
        self.lanes[lane as usize].as_ref().expect(IN_USE)
    }

    fn lane_mut(&mut self, lane: u32) -> &mut LaneState {
        self.lanes[lane as usize].as_mut().expect(IN_USE)
    }
}

const FIRST_SWEEP: usize = 64;

/// Why a lookup by number cannot miss.
const IN_USE: &str = "a scope outlives its lanes, and a lane its requests";
