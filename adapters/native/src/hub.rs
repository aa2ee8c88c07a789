//! What all clones of a client share: the driver, and the way to it.
//!
//! No task owns the driver: whoever has something to tell it becomes it for that moment, so that
//! a request costs no switch between tasks but those of its own attempt. (The idea is flat
//! combining: Hendler, Incze, Shavit, Tzafrir, SPAA 2010.) Who finds it busy leaves the command in
//! the inbox and goes on; who has been the driver looks into the inbox before it lets go, and once
//! more after, so that nothing is left behind. Nobody ever waits for the driver, so nothing that
//! runs inside of it (a waker, a subscriber, the drop of a body, of a task in a runtime that has
//! ended) can lock itself out by telling it something.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::hint;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Poll, ready};

use cxone_core::AttemptId;
use futures_util::FutureExt;
use tokio::runtime;
use tokio::sync::{broadcast, oneshot};

use crate::attempt::{Instruction, Over};
use crate::driver::{Command, Driver, Ticket};
use crate::error::Error;
use crate::home::{self, Home, Keeper, Watch};
use crate::line::{Outcome, Work};
use crate::notice::{BACKLOG, Notice};
use crate::outgoing::Outgoing;
use crate::response::Received;
use crate::settings::{Settings, Transport};

/// So many commands of others are performed in a row; what is left is for the keeper, which lets
/// other tasks have their turns.
const COMMANDS_A_TURN: usize = 128;

/// So often the inbox is looked into again, if others keep filling it.
const TURNS: u32 = 4;

/// So often the driver is tried to get, a moment apart.
const TRIES: u32 = 64;

pub(crate) struct Hub {
    pub(crate) settings: Arc<Settings>,
    pub(crate) notices: broadcast::Sender<Notice>,
    // These three are locked in this order, and only the first while anything foreign runs. Whoever
    // has had the driver calls `work` after that, whatever came of it.
    driver: Mutex<Driver>,
    /// The thread that got it last.
    driven_by: AtomicUsize,
    link: Mutex<Link>,
    inbox: Mutex<VecDeque<Command>>,
    /// Is anything in the inbox?
    left_behind: AtomicBool,
}

/// What a request must know before it is handed over.
struct Link {
    home: Option<Arc<Home>>,
    transport: Transport,
    closed: bool,
}

/// A word on what to do with a body.
pub(crate) enum Word {
    Now(Option<Instruction>),
    Later(oneshot::Receiver<Instruction>),
}

impl Hub {
    pub(crate) fn new(settings: Settings, transport: Transport) -> Hub {
        Hub {
            driver: Mutex::new(Driver::new(&settings)),
            driven_by: AtomicUsize::new(0),
            settings: Arc::new(settings),
            notices: broadcast::Sender::new(BACKLOG),
            link: Mutex::new(Link { home: None, transport, closed: false }),
            inbox: Mutex::default(),
            left_behind: AtomicBool::new(false),
        }
    }

    /// Performs a command, after those that came before it; or leaves it to whoever is at it.
    pub(crate) fn send(self: &Arc<Self>, command: Command) {
        if let Some(mut driver) = self.ready() {
            self.perform(&mut driver, |driver| driver.step(self, command));
        } else {
            self.leave_behind(command);
        }
        self.work();
    }

    /// Hands over a request whose caller is within that runtime, if attempts run there. The first
    /// one may be out at once: it is for the caller to drive.
    pub(crate) fn submit(
        self: &Arc<Self>,
        outgoing: &Arc<Outgoing>,
        here: runtime::Id,
    ) -> Option<Option<Work>> {
        let driver = self.ready();
        let work = driver.filter(|driver| driver.is_at(here)).map(|mut driver| {
            let outgoing = outgoing.clone();
            self.perform(&mut driver, |driver| driver.submit_now(self, outgoing)).flatten()
        });
        self.work();
        work
    }

    /// Reports a head. The word on it is mostly there at once.
    pub(crate) fn head(self: &Arc<Self>, attempt: Ticket<AttemptId>, head: Box<Received>) -> Word {
        if let Some(mut driver) = self.ready() {
            let word = self.perform(&mut driver, |driver| driver.head(self, attempt, head));
            drop(driver);
            self.work();
            return Word::Now(word.flatten());
        }
        let (reply, word) = oneshot::channel();
        self.leave_behind(Command::Head(attempt, head, reply));
        self.work();
        Word::Later(word)
    }

    /// Reports an attempt over. If that was the end of its request, and nobody else tells it, this
    /// is the outcome.
    pub(crate) fn over(
        self: &Arc<Self>,
        attempt: Ticket<AttemptId>,
        over: Over,
    ) -> Option<Outcome> {
        let Some(mut driver) = self.ready() else {
            self.leave_behind(Command::Over(attempt, over));
            self.work();
            return None;
        };
        let outcome = self.perform(&mut driver, |driver| driver.over_now(self, attempt, over));
        drop(driver);
        self.work();
        outcome.flatten()
    }

    /// Performs what is in the inbox, unless somebody is at it. After some turns the rest is left to
    /// the keeper.
    pub(crate) fn work(self: &Arc<Self>) {
        let mut turns = 0;
        while self.has_left_behind() {
            // Elsewhere nobody knows whether the keeper will get a turn.
            if turns >= TURNS
                && let Some(home) = self.home().filter(|home| home.is_here())
            {
                return home.wake();
            }
            // Who has the driver looks into the inbox after having let go of it.
            let Some(mut driver) = self.driver() else { return };
            turns = if self.empty_inbox(&mut driver) { turns + 1 } else { TURNS };
        }
    }

    /// The driver, when all that came before is done; unless somebody else has it, or it is too much.
    fn ready(self: &Arc<Self>) -> Option<MutexGuard<'_, Driver>> {
        let mut driver = self.driver()?;
        // What the caller itself has left behind it sees here, and so what it knows of.
        let is_ready = !self.left_behind.load(Ordering::Acquire) || self.empty_inbox(&mut driver);
        is_ready.then_some(driver)
    }

    /// Performs what is in the inbox; not all, if it is very much.
    fn empty_inbox(self: &Arc<Self>, driver: &mut Driver) -> bool {
        // First, so that what comes meanwhile is seen by the next look.
        self.left_behind.swap(false, Ordering::AcqRel);
        for _ in 0..COMMANDS_A_TURN {
            let Some(command) = self.inbox().pop_front() else { return true };
            self.perform(driver, |driver| driver.step(self, command));
        }
        let is_empty = self.inbox().is_empty();
        if !is_empty {
            self.left_behind.swap(true, Ordering::AcqRel);
        }
        is_empty
    }

    fn leave_behind(&self, command: Command) {
        self.inbox().push_back(command);
        self.left_behind.swap(true, Ordering::AcqRel);
    }

    /// Is there anything in the inbox? To be asked by whoever has let go of the driver.
    ///
    /// That nothing is missed hangs on each side's changing `left_behind`, here to what it is,
    /// between its own two steps: one leaves a command behind, changes it, and tries to get the
    /// driver; the other lets go of the driver, changes it, and looks. Of two changes to one place
    /// the later one sees the earlier, and all that came before that: either the command is seen
    /// here, or the driver is free there.
    fn has_left_behind(&self) -> bool {
        let unchanged =
            self.left_behind.compare_exchange(false, false, Ordering::AcqRel, Ordering::Acquire);
        unchanged.is_err()
    }

    /// A panic is not the caller's, who may have met it by chance: it ends as it would in a task
    /// of its own.
    fn perform<T>(&self, driver: &mut Driver, act: impl FnOnce(&mut Driver) -> T) -> Option<T> {
        let result = catch_unwind(AssertUnwindSafe(|| act(driver)));
        if result.is_err() {
            driver.restart(self);
        }
        result.ok()
    }

    /// The driver, unless somebody else has it. That is mostly for less than a microsecond, which is
    /// less than it costs to leave something behind; so it is tried for so long.
    fn driver(&self) -> Option<MutexGuard<'_, Driver>> {
        let this_thread = this_thread();
        for _ in 0..TRIES {
            let driver = match self.driver.try_lock() {
                Ok(driver) => driver,
                Err(TryLockError::Poisoned(driver)) => {
                    // It was about to start anew.
                    self.driver.clear_poison();
                    let mut driver = driver.into_inner();
                    driver.restart(self);
                    driver
                }
                // By what runs inside of it, in vain.
                Err(_) if self.driven_by.load(Ordering::Relaxed) == this_thread => return None,
                Err(_) => {
                    hint::spin_loop();
                    continue;
                }
            };
            self.driven_by.store(this_thread, Ordering::Relaxed);
            return Some(driver);
        }
        None
    }

    fn inbox(&self) -> MutexGuard<'_, VecDeque<Command>> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A number that no other thread has meanwhile, and none has that is 0.
fn this_thread() -> usize {
    thread_local!(static PLACE: u8 = const { 0 });
    PLACE.with(|place| std::ptr::from_ref(place).addr())
}

/// The runtime in which attempts run.
impl Hub {
    /// Sees to it that attempts have a runtime: the present one, or the caller's from now on.
    pub(crate) async fn enter(self: &Arc<Self>) -> Result<Arc<Home>, Error> {
        let here = runtime::Handle::try_current()
            .map_err(|_| Error::request("it must be sent from within a tokio runtime"))?;
        let home = self.find_home(&here)?;
        if home.runtime.id() == here.id() {
            return Ok(home);
        }
        // Few callers need this: it is kept out of the rest.
        Box::pin(async move {
            if home.answers().await {
                return Ok(home);
            }
            self.give_up(&home);
            self.find_home(&here)
        })
        .await
    }

    fn find_home(self: &Arc<Self>, here: &runtime::Handle) -> Result<Arc<Home>, Error> {
        let mut link = self.link();
        if link.closed {
            return Err(Error::closed());
        }
        if let Some(home) = &link.home {
            return Ok(home.clone());
        }
        let home = Arc::new(Home::new(here.clone(), link.transport.clone()));
        link.home = Some(home.clone());
        self.leave_behind(Command::Move(home.clone()));
        drop(link);
        here.spawn(home::keep(Keeper { hub: Arc::downgrade(self), home: home.clone() }));
        self.work();
        Ok(home)
    }

    /// A runtime that nobody runs: it is kept, and so would its connections be.
    pub(crate) fn give_up(self: &Arc<Self>, home: &Arc<Home>) {
        if self.leave(home)
            && let Ok(transport) = (self.settings.connect)()
        {
            let old = mem::replace(&mut self.link().transport, transport);
            drop(old);
        }
        self.send(Command::Lost(home.clone()));
    }

    /// That runtime is left, if it is still the one.
    pub(crate) fn leave(&self, home: &Arc<Home>) -> bool {
        let mut link = self.link();
        let left = link.home.take_if(|current| Arc::ptr_eq(current, home));
        drop(link);
        left.is_some()
    }

    /// Waits for what the driver will say. Should nobody run its runtime any more, that is given
    /// up: what was under way there is over then.
    pub(crate) async fn hear<T>(self: &Arc<Self>, mut said: oneshot::Receiver<T>) -> Option<T> {
        let Some(home) = self.home() else { return said.await.ok() };
        let mut watch = Watch::new(home.runtime.id());
        poll_fn(|cx| {
            if let Poll::Ready(said) = said.poll_unpin(cx) {
                return Poll::Ready(said.ok());
            }
            if watch.is_here() {
                return Poll::Pending;
            }
            let lost = ready!(watch.poll_lost(cx, || Some(home.clone())));
            self.give_up(&lost);
            Poll::Ready(said.try_recv().ok())
        })
        .await
    }

    pub(crate) fn home(&self) -> Option<Arc<Home>> {
        self.link().home.clone()
    }

    /// Nothing is accepted any more.
    pub(crate) fn close(&self) {
        self.link().closed = true;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cxone_mock::{DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, Fault, Mock, Rule};
    use tokio::time::timeout;

    use crate::{Client, ErrorKind};

    const ECHO: &str = "/api/v2.0/echo";
    const SLOW: &str = "/api/v2.0/slow?ms=5000";

    #[tokio::test]
    async fn nothing_is_kept_of_a_request_whatever_its_end() {
        let mock = Mock::builder().start().await.unwrap();
        let client = client(&mock);
        mock.script(Rule::api([Fault::status(404), Fault::status(502), Fault::reset()]));
        let slow = (0..20).map(|_| tokio::spawn(client.get(SLOW).send())).collect::<Vec<_>>();
        let deadline = Duration::from_millis(30);
        let late = client.get(SLOW).deadline(deadline).send();
        assert_eq!(*late.await.unwrap_err().kind(), ErrorKind::Timeout);
        slow.iter().for_each(|request| request.abort());
        for _ in 0..10 {
            let _ = client.get(ECHO).send().await;
            client.get(ECHO).send_stream().await.unwrap();
        }
        let all_over = async {
            while client.stats().await.in_flight > 0 || slow.iter().any(|it| !it.is_finished()) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(Duration::from_secs(5), all_over).await.expect("all slots are free");
        assert_eq!(client.hub.driver().expect("nobody else has it").kept(), 0);
        assert_eq!(std::sync::Arc::strong_count(&client.hub), 1);
    }

    fn client(mock: &Mock) -> Client {
        Client::builder()
            .base_url(mock.url())
            .client_credentials(DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET)
            .build()
            .unwrap()
    }

    #[tokio::test]
    async fn after_a_mistake_of_its_own_the_driver_starts_anew_and_all_are_told() {
        let mock = Mock::builder().start().await.unwrap();
        let client = client(&mock);
        client.pause_scope("held");
        client.set_concurrency(1).unwrap();
        let all: Vec<_> = (0..3).map(|_| tokio::spawn(client.get(SLOW).send())).collect();
        let out = async {
            while mock.stats().in_flight == 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(Duration::from_secs(5), out).await.expect("one is out");
        {
            let mut driver = client.hub.driver().expect("nobody else has it");
            let nothing: Option<()> = client.hub.perform(&mut driver, |_| panic!("on purpose"));
            assert!(nothing.is_none());
        }
        for request in all {
            let result = timeout(Duration::from_secs(5), request).await.expect("each is told");
            assert_eq!(*result.unwrap().unwrap_err().kind(), ErrorKind::Closed);
        }
        // What was steered counts, and what ends only now says nothing about the new one.
        let held = tokio::spawn(client.get(ECHO).rate_scope("held").send());
        let others = (0..10).map(|_| tokio::spawn(client.get(ECHO).send()));
        for request in others.collect::<Vec<_>>() {
            request.await.unwrap().unwrap();
        }
        let stats = client.stats().await;
        assert_eq!((stats.sends, stats.in_flight, stats.queued), (10, 0, [0, 1, 0]));
        client.resume_scope("held");
        held.await.unwrap().unwrap();
    }
}
