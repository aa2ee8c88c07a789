//! The runtime in which a client's attempts run, and the task that keeps the time there.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
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

    /// Does anybody run it? Within it somebody does; another one may have stopped.
    pub(crate) async fn answers(&self) -> bool {
        if self.is_here() {
            return true;
        }
        let sign = self.runtime.spawn(std::future::ready(()));
        matches!(tokio::time::timeout(SIGN_OF_LIFE, sign).await, Ok(Ok(())))
    }

    /// Waits for what the driver will say; `None` if this runtime is lost before that.
    pub(crate) async fn hear<T>(&self, said: oneshot::Receiver<T>) -> Option<T> {
        if self.is_here() {
            return said.await.ok();
        }
        let lost = async {
            loop {
                tokio::time::sleep(SIGN_OF_LIFE / 2).await;
                if !self.answers().await {
                    return;
                }
            }
        };
        tokio::select! {
            biased;
            said = said => said.ok(),
            () = lost => None,
        }
    }

    /// Does it run wherever the caller runs? Outside of any runtime there is no timer to tell:
    /// its answer, or its loss, will.
    fn is_here(&self) -> bool {
        runtime::Handle::try_current().map_or(true, |here| here.id() == self.runtime.id())
    }

    fn timer(&self) -> MutexGuard<'_, Option<Instant>> {
        self.timer.lock().unwrap_or_else(PoisonError::into_inner)
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
