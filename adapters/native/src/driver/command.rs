//! What reaches the driver, and the names by which it is told of what.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use cxone_core::{AttemptId, RequestId};
use tokio::sync::oneshot;

use crate::attempt::{self, Instruction};
use crate::home::Home;
use crate::outgoing::Outgoing;
use crate::response::Received;
use crate::stats::Stats;
use crate::token;

/// What reaches the driver, one after the other, so that nothing overtakes anything.
pub(crate) enum Command {
    Submit(Arc<Outgoing>),
    Cancel(Arc<Outgoing>),
    Pause(Option<String>),
    Resume(Option<String>),
    SetConcurrency(u32),
    Stats(oneshot::Sender<Stats>),
    Close {
        drain: bool,
        closed: oneshot::Sender<()>,
    },
    /// The head of an answer, and who asks what to do with its body.
    Head(Ticket<AttemptId>, Box<Received>, oneshot::Sender<Instruction>),
    /// An attempt is over, and with it its use of a connection.
    Over(Ticket<AttemptId>, attempt::Over),
    Token(FetchId, token::Report),
    /// The keeper's timer rang.
    Time,
    /// A [moment](crate::home::MOMENT) has passed since that was asked for.
    Moment,
    /// Attempts run in this runtime from now on.
    Move(Arc<Home>),
    /// That runtime runs nothing any more.
    Lost(Arc<Home>),
}

/// An id, and the engine that gave it: a second one, after a panic, gives the same ids again.
#[derive(Clone, Copy)]
pub(crate) struct Ticket<T> {
    pub(super) id: T,
    pub(super) engine: u32,
}

/// Set when the engine has accepted a request. The driver alone reads and writes it.
#[derive(Default)]
pub(crate) struct RequestTicket {
    id: AtomicU64,
    /// 0: not set.
    engine: AtomicU32,
}

impl RequestTicket {
    pub(super) fn set(&self, id: RequestId, engine: u32) {
        self.id.store(id.as_u64(), Ordering::Relaxed);
        self.engine.store(engine, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> Ticket<RequestId> {
        let id = RequestId::from_u64(self.id.load(Ordering::Relaxed));
        Ticket { id, engine: self.engine.load(Ordering::Relaxed) }
    }
}

impl Ticket<AttemptId> {
    /// Which attempt of its request it is.
    pub(crate) fn number(&self) -> u32 {
        self.id.number
    }
}

/// Names one token fetch: one that was given up may report long after, when another one is out for
/// the same generation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct FetchId(pub(super) u64);
