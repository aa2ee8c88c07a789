//! Pagination as a state machine: the request for the next page from the answer to the last.
//!
//! The machine sees neither URLs nor bodies. The host sends what [`Pages::request`] asks for,
//! picks the few fields that the style names out of the answer, and hands them to
//! [`Pages::answer`]; items go to the caller page by page. Between pages [`Pages::state`] is a
//! checkpoint from which a later run resumes.
//!
//! ```text
//! while let Some(request) = pages.request() {
//!     let answer = send(request);
//!     let step = pages.answer(fields_of(&answer))?;   // then deliver the items
//! }
//! ```
//!
//! CXone's APIs page in seven ways, each a [`PageStyle`].

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::sort::sort;
use crate::text::text;
use crate::time::{Wall, millis};

mod error;
mod link;
mod style;
mod timestamp;

pub use error::PageError;
use style::Kind;
pub use style::PageStyle;
use timestamp::{LAST_MILLIS, in_utc, next_millisecond, timestamp};

/// The longest cursor that is taken, in bytes: more fits into no request line.
const MAX_CURSOR_BYTES: usize = 8 * 1024;

/// So many of the last cursors are remembered: enough for any circle that a server was seen to
/// lead in. A longer one is noticed when it comes back to a landmark.
const REMEMBERED: usize = 256;

/// Where a run of pages stands, between two of them. Its size does not grow with the run.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PageState {
    /// What names the page to ask for: a token, the path of a link, a time, a number. `None`
    /// before the first page and after the last.
    pub cursor: Option<String>,
    /// Whether the last page has been read.
    pub done: bool,
    /// How many pages have been read.
    pub pages: u64,
    /// How many items they held.
    pub items: u64,
    /// Fingerprints of cursors that must not come again: a landmark, which moves on whenever the
    /// number of pages has doubled, then the last 256, that of the page to ask for included.
    pub seen: Vec<u64>,
    /// Fingerprints of the last page's items, in order, where the next page may repeat them.
    #[serde(default)]
    pub overlap: Vec<u64>,
    /// There: 1 while it is looked whether more follows what shares one time, 2 if it does.
    #[serde(default)]
    pub look: u8,
    /// Whether the run began at a given cursor and not at the first page: what the server says of
    /// the number of all items is no matter then.
    #[serde(default)]
    pub partial: bool,
}

impl PageState {
    /// Goes on, after the end of a run in the style `updated-since`, with what came later. In the
    /// other styles there is nothing to go on with, and it stays at its end.
    pub fn reopen(mut self) -> PageState {
        self.done &= self.cursor.is_none();
        self
    }

    #[inline(never)]
    fn knows(&self, cursor: &str) -> bool {
        let cursor = fingerprint(cursor.as_bytes());
        self.seen.contains(&cursor)
    }
}

/// The request for a page: the address that is paged, with these changes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PageRequest {
    /// Path and query that take the place of the first request's, on the same origin.
    pub link: Option<String>,
    /// Query parameters to set, names and values not yet percent-encoded; or, where the style is
    /// [in the body](PageStyle::in_body), members of the JSON object, their values numbers.
    pub query: Vec<(&'static str, String)>,
}

/// What the host picks out of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageFields<'a> {
    /// The status of the answer.
    pub status: u16,
    /// What its body is.
    pub body: PageBody,
    /// How many elements the [items field](PageStyle::items_field) has; `None` if there is no
    /// such field or it is not an array.
    pub items: Option<u64>,
    /// What the [next field](PageStyle::next_field) holds.
    pub next: NextField<'a>,
    /// What the [total field](PageStyle::total_field) holds, if that is a number.
    pub total: Option<u64>,
    /// The [`fingerprint`] of each item, where pages [overlap](PageStyle::overlaps).
    pub fingerprints: &'a [u64],
    /// The origin that was asked, `https://h` or `http://h:8080`, for the styles with links.
    pub origin: &'a str,
}

/// What the body of an answer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PageBody {
    /// It has no bytes, or white space only.
    Empty,
    /// It is no JSON, or JSON but not an object.
    Malformed,
    /// It is a JSON object.
    Object,
}

/// What the field that names the next page holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NextField<'a> {
    /// There is no such field.
    Absent,
    /// `null`
    Null,
    /// A string.
    Text(&'a str),
    /// A non-negative integer.
    Number(u64),
    /// Anything else: another number, a boolean, an array, an object.
    Other,
}

/// What a page has brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageStep {
    /// How many items the page holds that the one before it did not.
    pub items: u64,
    /// How many items the run has brought so far, those before a checkpoint included.
    pub total: u64,
    /// Whether another page follows.
    pub more: bool,
}

/// A run of pages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pages {
    style: PageStyle,
    state: PageState,
    failed: bool,
}

/// Where pages overlap, one without anything new need not be the last: as many may share its time
/// as an answer holds, and hide what follows. So it is looked what there is a millisecond later, and
/// what comes is not kept: that would be without what it was hidden by.
const AHEAD: u8 = 1;
/// There is something, maybe since a moment ago: then it comes now.
const BACK: u8 = 2;

impl Pages {
    /// From the first page on.
    pub fn new(style: PageStyle) -> Pages {
        Pages::resume(style, PageState::default())
    }

    /// From a checkpoint on, that of a failed run too.
    pub fn resume(style: PageStyle, mut state: PageState) -> Pages {
        if state.pages == 0 {
            state.partial |= state.cursor.is_some();
            state.cursor = state.cursor.or_else(|| first_cursor(&style));
        }
        if let Some(cursor) = &state.cursor
            && !state.knows(cursor)
        {
            state.seen.push(fingerprint(cursor.as_bytes()));
        }
        sort(&mut state.overlap); // whoever kept them may have put them in another order
        Pages { style, state, failed: false }
    }

    /// The checkpoint: the position after the last page that was read without an error.
    pub fn state(&self) -> PageState {
        self.state.clone()
    }

    /// The same, to look at.
    pub fn position(&self) -> &PageState {
        &self.state
    }

    /// How the pages are asked for and read.
    pub fn style(&self) -> &PageStyle {
        &self.style
    }

    /// Whether the last page has been read. A run that failed is not done.
    pub fn is_done(&self) -> bool {
        self.state.done
    }

    /// Is an item of this fingerprint none of the run's next? The page before the one that is being
    /// read held it, or it comes again.
    pub fn is_repeated(&self, fingerprint: u64) -> bool {
        self.state.look == AHEAD || self.came_before(&fingerprint)
    }

    fn came_before(&self, fingerprint: &u64) -> bool {
        self.state.overlap.binary_search(fingerprint).is_ok()
    }

    /// The request for the next page: the same until it is answered, and none once the run is
    /// done or has failed.
    pub fn request(&self) -> Option<PageRequest> {
        if self.failed || self.state.done {
            return None;
        }
        let names = self.style.names();
        let mut cursor = self.state.cursor.clone();
        if self.state.look == AHEAD {
            cursor = next_millisecond(&cursor.unwrap_or_default());
        }
        let mut request = PageRequest::default();
        match self.style.kind {
            Kind::Links if cursor.is_some() => {
                request.link = cursor;
                return Some(request);
            }
            Kind::Windows => {
                let start = self.window_start();
                request.query.push((names.cursor, timestamp(start)));
                request.query.push(("endDate", timestamp(self.window_end(start))));
                return Some(request);
            }
            Kind::Search => request.query.push((names.cursor, decimal(self.state.items))),
            _ => {}
        }
        if !names.size.is_empty() {
            request.query.push((names.size, decimal(u64::from(self.style.page_size))));
        }
        request.query.extend(cursor.map(|value| (names.cursor, value)));
        Some(request)
    }

    /// Takes the answer to the request. An error ends the run.
    pub fn answer(&mut self, page: PageFields<'_>) -> Result<PageStep, PageError> {
        if self.failed || self.state.done {
            return Err(PageError::Over);
        }
        let step = self.advance(page);
        self.failed = step.is_err();
        step
    }

    /// Changes nothing where it fails.
    fn advance(&mut self, page: PageFields<'_>) -> Result<PageStep, PageError> {
        let kind = self.style.kind;
        match (page.status, page.body) {
            (204, _) if matches!(kind, Kind::UpdatedSince | Kind::Windows) => {
                let next = if kind == Kind::Windows { self.next_window() } else { Next::End };
                return Ok(self.step(0, next, &[]));
            }
            (204 | 205, _) | (200..=299, PageBody::Empty) => {
                return Err(PageError::Empty(page.status));
            }
            (200..=299, PageBody::Malformed) => return Err(PageError::NotAnObject),
            (200..=299, PageBody::Object) => {}
            (status, _) => return Err(PageError::Status(status)),
        }
        let no_items = || PageError::NoItems(self.style.items_field().to_owned());
        let mut items = page.items.ok_or_else(no_items)?;
        let came = items;
        if self.style.overlaps() {
            let repeated = page.fingerprints.iter().filter(|it| self.came_before(it)).count();
            items = items.saturating_sub(repeated as u64);
            if self.state.look == AHEAD {
                // Some servers do not see so small a difference.
                let next = if items > 0 { Next::Look(BACK) } else { Next::End };
                return Ok(self.step(0, next, &[]));
            }
        }
        let so_far = self.state.items.saturating_add(items);
        let next = match kind {
            Kind::Windows => self.next_window(),
            Kind::Search if came == 0 || page.total.is_some_and(|total| so_far >= total) => {
                Next::End
            }
            Kind::Search => Next::Counted,
            Kind::Scroll if came == 0 => Next::End,
            Kind::UpdatedSince if came == 0 => Next::End,
            _ => match self.next_page(page) {
                Ok(Next::Again) if items == 0 => self.end_of_overlap(came)?,
                next => next?,
            },
        };
        if let (Next::End, Some(total), false) = (&next, page.total, self.state.partial)
            && so_far < total
        {
            return Err(PageError::Incomplete { items: so_far, total });
        }
        Ok(self.step(items, next, page.fingerprints))
    }

    fn step(&mut self, items: u64, next: Next, fingerprints: &[u64]) -> PageStep {
        let state = &mut self.state;
        state.pages = state.pages.saturating_add(1);
        state.items = state.items.saturating_add(items);
        state.done = next == Next::End;
        state.look = if let Next::Look(look) = next { look } else { 0 };
        match next {
            Next::Cursor(cursor) => {
                remember(&mut state.seen, fingerprint(cursor.as_bytes()), state.pages);
                state.cursor = Some(cursor);
            }
            // A later run asks for what came since.
            Next::Again | Next::Look(_) => {}
            Next::End if self.style.overlaps() => {}
            Next::End | Next::Counted => state.cursor = None,
        }
        if self.style.overlaps() && !fingerprints.is_empty() {
            state.overlap.clear();
            state.overlap.extend(fingerprints);
            sort(&mut state.overlap);
        }
        PageStep { items, total: state.items, more: !state.done }
    }

    /// What the next field says.
    fn next_page(&self, page: PageFields<'_>) -> Result<Next, PageError> {
        let field = self.style.next_field();
        let cursor = match page.next {
            NextField::Absent | NextField::Null | NextField::Text("") => return Ok(Next::End),
            NextField::Text(text) if text.len() <= MAX_CURSOR_BYTES => match self.style.kind {
                Kind::Links => link::on_origin(text, page.origin)
                    .ok_or(PageError::OtherOrigin(field))?
                    .to_owned(),
                Kind::Segments => link::number_in_query(text, self.style.names().cursor)
                    .or(Some(text).filter(|text| link::number(text).is_some()))
                    .ok_or(PageError::BadCursor(field))?
                    .to_owned(),
                Kind::UpdatedSince => in_utc(text),
                _ => text.to_owned(),
            },
            NextField::Number(number) if self.style.kind != Kind::Links => decimal(number),
            _ => return Err(PageError::BadCursor(field)),
        };
        if self.style.overlaps() && self.state.cursor.as_ref() == Some(&cursor) {
            return Ok(Next::Again);
        }
        if self.state.knows(&cursor) {
            return Err(PageError::RepeatedCursor(field));
        }
        Ok(Next::Cursor(cursor))
    }

    /// What follows a page of so many items that all came before, at one time.
    fn end_of_overlap(&self, came: u64) -> Result<Next, PageError> {
        // It may have been cut where an answer ends, or was, since there is more later.
        if came >= u64::from(self.style.page_size) || self.state.look == BACK {
            return Err(PageError::Crowded(came));
        }
        let cursor = self.state.cursor.as_deref().unwrap_or_default();
        if next_millisecond(cursor).is_none() {
            return Ok(Next::End);
        }
        Ok(Next::Look(AHEAD))
    }

    fn next_window(&self) -> Next {
        let end = self.window_end(self.window_start());
        match self.style.until.is_none_or(|until| end >= until.as_millis()) {
            true => Next::End,
            false => Next::Cursor(decimal(end)),
        }
    }

    fn window_start(&self) -> u64 {
        let kept = self.state.cursor.as_ref().and_then(|start| link::number(start));
        kept.unwrap_or_else(|| self.style.since.unwrap_or_default().as_millis())
    }

    fn window_end(&self, start: u64) -> u64 {
        let length = millis(self.style.window).max(1);
        let until = self.style.until.map_or(u64::MAX, Wall::as_millis);
        start.saturating_add(length).min(until.max(start)).min(LAST_MILLIS)
    }
}

/// What follows a page.
#[derive(PartialEq, Eq)]
enum Next {
    End,
    Cursor(String),
    /// The page after so many items as came.
    Counted,
    /// The same again: what shares the last page's time.
    Again,
    /// `AHEAD` or `BACK`
    Look(u8),
}

/// What names the first page, where that is not left to the server.
fn first_cursor(style: &PageStyle) -> Option<String> {
    let since = style.since.filter(|_| style.overlaps())?;
    Some(timestamp(since.as_millis()))
}

/// Adds a cursor's fingerprint to those that must not come again.
fn remember(seen: &mut Vec<u64>, cursor: u64, pages: u64) {
    seen.push(cursor);
    while seen.len() > REMEMBERED + 1 {
        let oldest = seen.remove(1);
        if let (Some(landmark), true) = (seen.first_mut(), pages.is_power_of_two()) {
            *landmark = oldest;
        }
    }
}

fn decimal(number: u64) -> String {
    text![number]
}

/// A fingerprint of an item, or of anything: 64-bit FNV-1a. Of two different texts it is the same
/// with odds of 1 in 2⁶⁴.
pub fn fingerprint(bytes: &[u8]) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    bytes.iter().fold(BASIS, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests;
