//! A response body that can come late or end too soon.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::visit::Visit;

/// How long a truncated body stays open, so that what was sent of it leaves the socket's buffer
/// before the connection is closed.
const BEFORE_CUT: Duration = Duration::from_millis(20);

pub(crate) struct Body {
    delay: Option<Pin<Box<Sleep>>>,
    chunk: Option<Bytes>,
    /// Whether an error comes after the chunk instead of the end.
    is_cut: bool,
    before_cut: Option<Pin<Box<Sleep>>>,
    /// Ends when the last byte is handed over: before the client can see it, so that a next
    /// request is never counted as beside this one.
    visit: Option<Visit>,
}

impl Body {
    pub(crate) fn new(bytes: Bytes, delay: Duration, visit: Option<Visit>) -> Body {
        let mut body = Body::truncated(bytes, delay, visit);
        body.is_cut = false;
        if body.delay.is_none() && body.chunk.as_ref().is_some_and(Bytes::is_empty) {
            body.take_whole();
        }
        body
    }

    /// A body that breaks off after these bytes.
    pub(crate) fn truncated(bytes: Bytes, delay: Duration, visit: Option<Visit>) -> Body {
        let delay = (!delay.is_zero()).then(|| Box::pin(sleep(delay)));
        Body { delay, chunk: Some(bytes), is_cut: true, before_cut: None, visit }
    }

    fn take_whole(&mut self) -> Option<Bytes> {
        if let Some(visit) = self.visit.take() {
            visit.complete();
        }
        self.chunk.take()
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(delay) = &mut self.delay {
            ready!(delay.as_mut().poll(cx));
            self.delay = None;
        }
        if self.is_cut {
            if let Some(chunk) = self.chunk.take().filter(|chunk| !chunk.is_empty()) {
                return Poll::Ready(Some(Ok(Frame::data(chunk))));
            }
            let wait = self.before_cut.get_or_insert_with(|| Box::pin(sleep(BEFORE_CUT)));
            ready!(wait.as_mut().poll(cx));
            self.is_cut = false;
            self.visit = None;
            return Poll::Ready(Some(Err(io::Error::other("cut off, as the script says"))));
        }
        let chunk = self.take_whole().filter(|chunk| !chunk.is_empty());
        Poll::Ready(chunk.map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.chunk.is_none() && !self.is_cut
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_cut {
            return SizeHint::default();
        }
        SizeHint::with_exact(self.chunk.as_ref().map_or(0, Bytes::len) as u64)
    }
}
