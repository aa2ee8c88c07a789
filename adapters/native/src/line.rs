//! Between the caller of a request and the driver: the attempt that is out, and at last the outcome.
//!
//! An attempt is driven by its caller, as part of what it awaits, so that no task is made for it and
//! nobody is woken in between. But a caller may look elsewhere: process another answer, wait for a
//! lock, forget what it began. So an attempt that is not over after a moment becomes a task of its
//! own; from then on its caller only waits for the outcome.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::runtime;
use tokio::task::AbortHandle;

use crate::error::Error;
use crate::foreign::foreign;
use crate::outgoing::Outgoing;
use crate::response::{BodyStream, Received};

/// What an attempt is to do until it is over. It brings the outcome of its request, if that is known
/// then and nobody else tells it. It reports when it is dropped.
pub(crate) type Work = Pin<Box<dyn Future<Output = Option<Outcome>> + Send>>;

/// The end of a request.
pub(crate) enum Outcome {
    Whole(Box<Received>),
    Stream(Box<Received>, BodyStream),
    Failed(Error),
    /// Its runtime has ended, or the driver has started anew.
    Lost,
}

pub(crate) struct Line(Mutex<State>);

struct State {
    /// Whom to wake, unless it is looking.
    caller: Option<Waker>,
    /// It is being polled, and will see by itself what has changed.
    looking: bool,
    /// It is polled within the runtime that attempts run in. Elsewhere it cannot drive one.
    at_home: bool,
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
    /// The caller is looking.
    pub(crate) fn new() -> Line {
        Line(Mutex::new(State {
            caller: None,
            looking: true,
            at_home: true,
            gone: false,
            work: None,
            aborted: false,
            task: None,
            outcome: None,
        }))
    }

    /// The caller is not polled at home.
    pub(crate) fn leave_home(&self) {
        self.state().at_home = false;
    }

    /// Drives the attempt that is out, if that can be done here, until there is an outcome. The
    /// first one may have been `started` by the caller itself.
    pub(crate) fn poll(
        &self,
        cx: &mut Context<'_>,
        at_home: bool,
        started: &mut Option<Work>,
    ) -> Poll<Outcome> {
        loop {
            let mut work = match started.take() {
                Some(work) => work,
                None => {
                    let mut state = self.state();
                    if let Some(outcome) = state.outcome.take() {
                        return Poll::Ready(outcome);
                    }
                    state.at_home = at_home;
                    let work = if at_home { state.work.take() } else { None };
                    let Some(work) = work else {
                        state.wait(cx);
                        return Poll::Pending;
                    };
                    (state.looking, state.aborted) = (true, false);
                    work
                }
            };
            match work.as_mut().poll(cx) {
                Poll::Ready(Some(outcome)) => return Poll::Ready(outcome),
                Poll::Ready(None) => {}
                Poll::Pending => {
                    let mut state = self.state();
                    if !state.aborted {
                        // No other one starts before this one is over.
                        state.work = Some(work);
                        // Who has been told while it was looking was not woken. The attempt, of no
                        // use any more, is about to be aborted.
                        if let Some(outcome) = state.outcome.take() {
                            return Poll::Ready(outcome);
                        }
                        state.wait(cx);
                        return Poll::Pending;
                    }
                }
            }
        }
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
    pub(crate) fn start(work: Work, outgoing: &Arc<Outgoing>, runtime: &runtime::Handle) -> bool {
        let mut state = outgoing.line.state();
        let at_home = state.at_home;
        if at_home {
            state.work = Some(work);
            state.wake();
        } else {
            drop(state);
            Line::spawn(work, outgoing, runtime);
        }
        !at_home
    }

    /// The attempt becomes a task, unless its caller is just driving it. Has it become one?
    pub(crate) fn hand_over(outgoing: &Arc<Outgoing>, runtime: &runtime::Handle) -> bool {
        let work = outgoing.line.state().work.take();
        let is_there = work.is_some();
        if let Some(work) = work {
            Line::spawn(work, outgoing, runtime);
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
    fn spawn(work: Work, outgoing: &Arc<Outgoing>, runtime: &runtime::Handle) {
        let line = outgoing.clone();
        let task = runtime.spawn(async move {
            if let Some(outcome) = work.await {
                line.line.tell(outcome);
            }
        });
        outgoing.line.state().task = Some(task.abort_handle());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The caller looks no longer, and wants to be woken.
    fn wait(&mut self, cx: &mut Context<'_>) {
        self.looking = false;
        match &mut self.caller {
            Some(caller) if caller.will_wake(cx.waker()) => {}
            caller => *caller = Some(cx.waker().clone()),
        }
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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    /// Counts how often it was woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A line whose caller has begun to look.
    fn line() -> (Arc<Line>, Arc<Woken>, Waker) {
        let woken = Arc::new(Woken::default());
        (Arc::new(Line::new()), woken.clone(), Waker::from(woken))
    }

    /// Does something each time that it is driven, and never ends.
    fn driven(line: &Arc<Line>, act: impl Fn(&Line) + Send + 'static) -> Option<Work> {
        let line = line.clone();
        Some(Box::pin(poll_fn(move |_| {
            act(&line);
            Poll::Pending
        })))
    }

    fn runtime() -> runtime::Runtime {
        runtime::Builder::new_current_thread().build().unwrap()
    }

    #[test]
    fn an_outcome_that_is_told_while_its_caller_looks_is_seen_by_that() {
        let (line, woken, waker) = line();
        let mut work = driven(&line, |line| line.tell(Outcome::Lost));
        let polled = line.poll(&mut Context::from_waker(&waker), true, &mut work);
        assert!(matches!(polled, Poll::Ready(Outcome::Lost)));
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        assert!(line.state().work.is_some(), "it is the driver's to abort");
    }

    #[test]
    fn an_attempt_that_is_aborted_while_it_is_driven_is_dropped_by_its_caller() {
        let (line, woken, waker) = line();
        let runtime = runtime();
        let handle = runtime.handle().clone();
        let mut work = driven(&line, move |line| line.abort(&handle));
        let before = Arc::strong_count(&line);
        let mut cx = Context::from_waker(&waker);
        assert!(line.poll(&mut cx, true, &mut work).is_pending());
        assert_eq!(Arc::strong_count(&line), before - 1, "it is gone");
        // From now on it is woken again.
        line.tell(Outcome::Lost);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(line.poll(&mut cx, true, &mut None).is_ready());
    }

    #[test]
    fn an_attempt_is_driven_only_at_home() {
        let (line, _, waker) = line();
        let driven_by = Arc::new(AtomicUsize::new(0));
        let count = driven_by.clone();
        let mut work = driven(&line, move |_| _ = count.fetch_add(1, Ordering::Relaxed));
        let mut cx = Context::from_waker(&waker);
        assert!(line.poll(&mut cx, true, &mut work).is_pending());
        assert!(line.poll(&mut cx, false, &mut None).is_pending());
        assert_eq!(driven_by.load(Ordering::Relaxed), 1);
        assert!(line.poll(&mut cx, true, &mut None).is_pending());
        assert_eq!(driven_by.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn who_has_left_is_told_nothing() {
        let (line, woken, waker) = line();
        assert!(line.poll(&mut Context::from_waker(&waker), true, &mut None).is_pending());
        line.leave();
        line.tell(Outcome::Lost);
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        assert!(line.is_left() && line.state().outcome.is_none());
    }
}
