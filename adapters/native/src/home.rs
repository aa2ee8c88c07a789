//! The runtime in which a client's attempts run, and the task that keeps the time there.

use std::mem;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime;
use tokio::sync::{Notify, oneshot};
use tokio::task;

use crate::driver::Command;
use crate::hub::Hub;
use crate::settings::Transport;

/// A runtime that is not the caller's must answer within this time; otherwise nobody runs it any
/// more, and the client moves.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// An attempt that its caller drives becomes a task when it has been out for one to two of these.
/// Many are over by then; to the others a task adds little. So long at most does a caller that looks
/// elsewhere hold up its own request.
pub(crate) const MOMENT: Duration = Duration::from_millis(10);

pub(crate) struct Home {
    pub(crate) runtime: runtime::Handle,
    pub(crate) transport: Transport,
    /// What the keeper is to set its timers for, until it has.
    alarm: Mutex<Alarm>,
    bell: Notify,
}

#[derive(Default)]
struct Alarm {
    timer: Option<Instant>,
    moment: bool,
}

impl Home {
    pub(crate) fn new(runtime: runtime::Handle, transport: Transport) -> Home {
        Home { runtime, transport, alarm: Mutex::default(), bell: Notify::new() }
    }

    /// The keeper is to ring then; a moment beyond the clock's range never comes.
    pub(crate) fn set_timer(&self, at: Option<Instant>) {
        self.alarm().timer = at;
        self.wake();
    }

    /// The keeper is to ring after a [`MOMENT`].
    pub(crate) fn set_moment(&self) {
        self.alarm().moment = true;
        self.wake();
    }

    /// The keeper is to look around.
    pub(crate) fn wake(&self) {
        self.bell.notify_one();
    }

    /// Is the caller within it? Then somebody runs it; another one may have stopped.
    pub(crate) fn is_here(&self) -> bool {
        here() == Some(self.runtime.id())
    }

    /// Does anybody run it?
    pub(crate) async fn answers(&self) -> bool {
        if self.is_here() {
            return true;
        }
        let sign = self.runtime.spawn(std::future::ready(()));
        tokio::select! {
            biased;
            sign = sign => sign.is_ok(),
            () = sleep(SIGN_OF_LIFE) => false,
        }
    }

    /// Ends when nobody runs it any more.
    async fn lost(self: Arc<Self>) -> Arc<Home> {
        loop {
            sleep(SIGN_OF_LIFE / 2).await;
            if !self.answers().await {
                return self;
            }
        }
    }

    fn alarm(&self) -> MutexGuard<'_, Alarm> {
        self.alarm.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells whether a runtime is where this is polled, which may be in another one than before, and if
/// not, when it is lost.
pub(crate) struct Watch {
    runtime: runtime::Id,
    /// A task within that runtime: it never moves, and who it is is cheaper to ask.
    task: Option<task::Id>,
    lost: Option<Pin<Box<dyn Future<Output = Arc<Home>> + Send>>>,
}

impl Watch {
    pub(crate) fn new(runtime: runtime::Id) -> Watch {
        Watch { runtime, task: None, lost: None }
    }

    /// The caller is known to be within that runtime.
    pub(crate) fn from_here(runtime: runtime::Id) -> Watch {
        Watch { runtime, task: task::try_id(), lost: None }
    }

    pub(crate) fn is_here(&mut self) -> bool {
        let task = task::try_id();
        let known = task.is_some() && task == self.task;
        let is_here = known || here() == Some(self.runtime);
        if is_here {
            (self.task, self.lost) = (task, None);
        }
        is_here
    }

    /// Which one is lost; to be polled where it is not here, with the client's present one.
    pub(crate) fn poll_lost(
        &mut self,
        cx: &mut Context<'_>,
        present: impl FnOnce() -> Option<Arc<Home>>,
    ) -> Poll<Arc<Home>> {
        if self.lost.is_none() {
            // If it has been left meanwhile, all that was under way has been told.
            let present = present().filter(|home| home.runtime.id() == self.runtime);
            self.lost = present.map(|home| Box::pin(home.lost()) as _);
        }
        self.lost.as_mut().map_or(Poll::Pending, |lost| lost.as_mut().poll(cx))
    }
}

/// The runtime that the caller is within.
pub(crate) fn here() -> Option<runtime::Id> {
    runtime::Handle::try_current().ok().map(|here| here.id())
}

/// Waits wherever it is polled. Outside of any runtime that takes a thread, which is rarely needed:
/// who asks from there is mostly answered at once.
async fn sleep(time: Duration) {
    if runtime::Handle::try_current().is_ok() {
        return tokio::time::sleep(time).await;
    }
    let (rings, rang) = oneshot::channel();
    let (_still_waited_for, given_up) = mpsc::channel::<()>();
    let timer = move || {
        let _ = given_up.recv_timeout(time);
        let _ = rings.send(());
    };
    match thread::Builder::new().name("cxone-client timer".to_owned()).spawn(timer) {
        Ok(_) => drop(rang.await),
        Err(_) => thread::sleep(time),
    }
}

/// Rings when the engine wants to be woken, and performs what callers had no turn for. It ends with
/// the client, or when that has moved.
pub(crate) async fn keep(keeper: Keeper) {
    let mut sleep = pin!(tokio::time::sleep(Duration::ZERO));
    let mut moment = pin!(tokio::time::sleep(Duration::ZERO));
    let (mut armed, mut counting) = (false, false);
    loop {
        let alarm = mem::take(&mut *keeper.home.alarm());
        if let Some(at) = alarm.timer {
            // tokio rounds up to its grain of a millisecond, so it wakes nobody early. What is
            // beyond its range is armed again when that ends.
            sleep.as_mut().reset(at.into());
            armed = true;
        }
        if alarm.moment {
            moment.as_mut().reset(tokio::time::Instant::now() + MOMENT);
            counting = true;
        }
        tokio::select! {
            biased;
            () = keeper.home.bell.notified() => {
                let Some(hub) = keeper.hub() else { return };
                hub.work();
            }
            () = &mut sleep, if armed => {
                armed = false;
                let Some(hub) = keeper.hub() else { return };
                // Whether anything is due is for the clock to say.
                hub.send(Command::Time);
            }
            () = &mut moment, if counting => {
                counting = false;
                let Some(hub) = keeper.hub() else { return };
                hub.send(Command::Moment);
            }
        }
        tokio::task::yield_now().await;
    }
}

/// Whose time is kept, and where. It tells when that runtime has ended, even before its first turn.
pub(crate) struct Keeper {
    pub(crate) hub: Weak<Hub>,
    pub(crate) home: Arc<Home>,
}

impl Keeper {
    /// The client, as long as it is there and here.
    fn hub(&self) -> Option<Arc<Hub>> {
        let hub = self.hub.upgrade()?;
        let home = hub.home()?;
        Arc::ptr_eq(&home, &self.home).then_some(hub)
    }
}

impl Drop for Keeper {
    /// Its runtime has ended, if the client has not moved.
    fn drop(&mut self) {
        if let Some(hub) = self.hub.upgrade() {
            hub.leave(&self.home);
            hub.send(Command::Lost(self.home.clone()));
        }
    }
}
