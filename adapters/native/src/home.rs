//! The runtime in which a client's attempts run, and the task that keeps the time there.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime;
use tokio::sync::{Notify, oneshot};

use crate::driver::Command;
use crate::hub::Hub;
use crate::settings::Transport;

/// A runtime that is not the caller's must answer within this time; otherwise nobody runs it any
/// more, and the client moves.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

pub(crate) struct Home {
    pub(crate) runtime: runtime::Handle,
    pub(crate) transport: Transport,
    /// For when the keeper is to set its timer, until it has.
    timer: Mutex<Option<Instant>>,
    bell: Notify,
}

impl Home {
    pub(crate) fn new(runtime: runtime::Handle, transport: Transport) -> Home {
        Home { runtime, transport, timer: Mutex::new(None), bell: Notify::new() }
    }

    /// The keeper is to ring then; a moment beyond the clock's range never comes.
    pub(crate) fn set_timer(&self, at: Option<Instant>) {
        *self.timer() = at;
        self.wake();
    }

    /// The keeper is to look around.
    pub(crate) fn wake(&self) {
        self.bell.notify_one();
    }

    /// Is the caller within it? Then somebody runs it; another one may have stopped.
    pub(crate) fn is_here(&self) -> bool {
        runtime::Handle::try_current().is_ok_and(|here| here.id() == self.runtime.id())
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
    async fn lost(self: Arc<Self>) {
        loop {
            sleep(SIGN_OF_LIFE / 2).await;
            if !self.answers().await {
                return;
            }
        }
    }

    /// Waits for what will happen in this runtime; `None` if that is lost before.
    pub(crate) async fn hear<T>(self: &Arc<Self>, said: impl Future<Output = T>) -> Option<T> {
        let mut said = pin!(said);
        let mut lost = None;
        poll_fn(|cx| {
            if let Poll::Ready(said) = said.as_mut().poll(cx) {
                return Poll::Ready(Some(said));
            }
            // A future may be polled in another runtime than it was before.
            if self.is_here() {
                lost = None;
                return Poll::Pending;
            }
            let lost = lost.get_or_insert_with(|| Box::pin(self.clone().lost()));
            lost.as_mut().poll(cx).map(|()| None)
        })
        .await
    }

    fn timer(&self) -> MutexGuard<'_, Option<Instant>> {
        self.timer.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
    let mut armed = false;
    loop {
        let at = keeper.home.timer().take();
        if let Some(at) = at {
            // tokio rounds up to its grain of a millisecond, so it wakes nobody early. What is
            // beyond its range is armed again when that ends.
            sleep.as_mut().reset(at.into());
            armed = true;
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
