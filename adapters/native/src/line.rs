//! Between the caller of a request and the driver: the attempt that is out, and at last the result.
//!
//! An attempt is driven by its caller, as part of what it awaits, so that no task is made for it and
//! nobody is woken in between. But a caller may look elsewhere: process another answer, wait for a
//! lock, forget what it began. So an attempt that is not over after a moment becomes a task of its
//! own; from then on its caller only waits for the result.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::runtime;
use tokio::task::AbortHandle;

use crate::error::Error;
use crate::foreign::foreign;
use crate::response::{Response, StreamResponse};

/// What an attempt is to do until it is over. It reports when it is dropped.
pub(crate) type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The end of a request.
pub(crate) enum Outcome {
    Whole(Response),
    Stream(StreamResponse),
    Failed(Error),
    /// Its runtime has ended, or the driver has started anew.
    Lost,
}

pub(crate) struct Line {
    /// Is its caller polled within the runtime that attempts run in? Elsewhere it cannot drive one.
    at_home: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Whom to wake, unless it is looking.
    caller: Option<Waker>,
    /// It drives an attempt just now, and will see by itself what has changed.
    looking: bool,
    /// It waits no longer.
    gone: bool,
    /// Of the attempt that is out, one of these three: what its caller drives, that it was told to
    /// end while that was being done, its task.
    work: Option<Work>,
    aborted: bool,
    task: Option<AbortHandle>,
    outcome: Option<Outcome>,
}

/// The caller's side.
impl Line {
    pub(crate) fn new() -> Line {
        Line { at_home: AtomicBool::new(false), state: Mutex::default() }
    }

    /// Drives the attempt that is out, if that can be done here, until there is an outcome.
    pub(crate) fn poll(&self, cx: &mut Context<'_>, at_home: bool) -> Poll<Outcome> {
        self.set_at_home(at_home);
        let mut state = self.state();
        loop {
            if let Some(outcome) = state.outcome.take() {
                return Poll::Ready(outcome);
            }
            let work = if at_home { state.work.take() } else { None };
            let Some(mut work) = work else { break };
            (state.looking, state.aborted) = (true, false);
            drop(state);
            let is_out = work.as_mut().poll(cx).is_pending();
            let work = is_out.then_some(work);
            state = self.state();
            state.looking = false;
            match work {
                // It is over.
                None => {}
                // No other one starts before that.
                Some(work) if !state.aborted => {
                    state.work = Some(work);
                    break;
                }
                Some(work) => {
                    drop(state);
                    drop(work);
                    state = self.state();
                }
            }
        }
        match &mut state.caller {
            Some(caller) if caller.will_wake(cx.waker()) => {}
            caller => *caller = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    pub(crate) fn set_at_home(&self, at_home: bool) {
        self.at_home.store(at_home, Ordering::Relaxed);
    }

    /// Nobody waits any longer.
    pub(crate) fn leave(&self) {
        let mut state = self.state();
        state.gone = true;
        let left = (state.caller.take(), state.outcome.take());
        drop(state);
        drop(left);
    }
}

/// The driver's side.
impl Line {
    pub(crate) fn is_left(&self) -> bool {
        self.state().gone
    }

    /// An attempt goes out. Is it a task?
    pub(crate) fn start(&self, work: Work, runtime: &runtime::Handle) -> bool {
        let at_home = self.at_home.load(Ordering::Relaxed);
        if at_home {
            let mut state = self.state();
            state.work = Some(work);
            state.wake();
        } else {
            self.spawn(work, runtime);
        }
        !at_home
    }

    /// The attempt becomes a task, unless its caller is just driving it. Has it become one?
    pub(crate) fn hand_over(&self, runtime: &runtime::Handle) -> bool {
        let work = self.state().work.take();
        let is_there = work.is_some();
        if let Some(work) = work {
            self.spawn(work, runtime);
        }
        is_there
    }

    /// Ends the attempt that is out, which reports that.
    pub(crate) fn abort(&self, runtime: &runtime::Handle) {
        let mut state = self.state();
        let task = state.task.take();
        let work = state.work.take();
        state.aborted = state.looking;
        drop(state);
        if let Some(task) = task {
            task.abort();
        }
        if let Some(work) = work {
            // What it drops, a pool of connections for one, may want its runtime.
            let _entered = runtime.enter();
            foreign(|| drop(work));
        }
    }

    /// Tells the outcome; nobody tells another one.
    pub(crate) fn tell(&self, outcome: Outcome) {
        let mut state = self.state();
        if state.gone {
            drop(state);
            return foreign(|| drop(outcome));
        }
        state.outcome = Some(outcome);
        state.wake();
    }

    /// A runtime that has ended drops it on the spot, and it reports that.
    fn spawn(&self, work: Work, runtime: &runtime::Handle) {
        let task = runtime.spawn(work).abort_handle();
        self.state().task = Some(task);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

trait WakeCaller {
    fn wake(self);
}

impl WakeCaller for MutexGuard<'_, State> {
    /// Wakes the caller, if it would not see by itself; not while this is locked.
    fn wake(mut self) {
        let caller = if self.looking { None } else { self.caller.take() };
        drop(self);
        if let Some(caller) = caller {
            foreign(|| caller.wake());
        }
    }
}
