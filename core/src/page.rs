//! Pagination as a state machine: the request for the next page from the answer to the last.
//!
//! The machine sees neither URLs nor bodies. The host sends what [`Pages::request`] asks for,
//! picks the few fields that the style names out of the answer, and hands them to
//! [`Pages::answer`]; items go to the caller page by page. Between pages [`Pages::state`] is a
//! checkpoint from which a later run resumes.
//!
//! ```text
//! while let Some(request) = pages.request() {
//!     let answer = send(request.query);
//!     let step = pages.answer(fields_of(&answer))?;   // then deliver the items
//! }
//! ```

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

/// The longest cursor that is taken, in bytes: more fits into no request line.
const MAX_CURSOR_BYTES: usize = 8 * 1024;

/// How an API pages: what its requests carry and which fields its answers name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PageStyle {
    page_size: u32,
    kind: Kind,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Kind {
    /// Each answer holds the cursor of the next page.
    Cursor {
        cursor: &'static str,
        page_size: &'static str,
        items: &'static str,
        next: &'static str,
    },
}

impl PageStyle {
    /// Queries `cursor` and `page_size`, answers `entities` and `next_page_token`:
    /// `/api/v2.0/interactions` and its like. A page has 100 items.
    pub fn cursor() -> PageStyle {
        let kind = Kind::Cursor {
            cursor: "cursor",
            page_size: "page_size",
            items: "entities",
            next: "next_page_token",
        };
        PageStyle { page_size: 100, kind }
    }

    /// Asks for `items` a page; 0 counts as 1.
    pub fn page_size(mut self, items: u32) -> PageStyle {
        self.page_size = items.max(1);
        self
    }

    /// The field of an answer that holds the items: an array.
    pub fn items_field(&self) -> &'static str {
        let Kind::Cursor { items, .. } = self.kind;
        items
    }

    /// The field of an answer that names the next page.
    pub fn next_field(&self) -> &'static str {
        let Kind::Cursor { next, .. } = self.kind;
        next
    }
}

/// Where a run of pages stands, between two of them.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PageState {
    /// The cursor of the page to ask for; `None` before the first page and after the last.
    pub cursor: Option<String>,
    /// Whether the last page has been read.
    pub done: bool,
    /// How many pages have been read.
    pub pages: u64,
    /// How many items they held.
    pub items: u64,
    /// Every cursor so far, that of the page to ask for included, in order: none may come again.
    pub seen: Vec<String>,
}

/// The request for a page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PageRequest {
    /// Query parameters to set, names and values not yet percent-encoded.
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
    /// How many items the page holds.
    pub items: u64,
    /// How many items the run has brought so far, those before a checkpoint included.
    pub total: u64,
    /// Whether another page follows.
    pub more: bool,
}

/// Why a run of pages ended before its last page. None of these is ever taken for success:
/// [`Pages::state`] still is the position before the page that failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PageError {
    /// The status is not a success.
    Status(u16),
    /// A success without a body.
    Empty(u16),
    /// The body is not a JSON object.
    NotAnObject,
    /// The named field is not there or not an array.
    NoItems(&'static str),
    /// The named field, which should tell the next page, holds something that is no cursor.
    BadCursor(&'static str),
    /// The named field holds a cursor that this run has used before: it would go in circles.
    RepeatedCursor(&'static str),
    /// The run had already ended.
    Over,
}

impl fmt::Display for PageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PageError::Status(status) => {
                write!(f, "the page came with status {status}; resume from the last checkpoint")
            }
            PageError::Empty(status) => write!(
                f,
                "the page came with status {status} and no body, where an object was due; \
                 resume from the last checkpoint"
            ),
            PageError::NotAnObject => f.write_str(
                "the body of the page is not a JSON object; check the address, \
                 then resume from the last checkpoint",
            ),
            PageError::NoItems(field) => write!(
                f,
                "the page has no array in `{field}`; check that the address pages in this style"
            ),
            PageError::BadCursor(field) => write!(
                f,
                "`{field}` holds neither a usable string nor an integer; \
                 check that the address pages in this style"
            ),
            PageError::RepeatedCursor(field) => write!(
                f,
                "`{field}` repeats a cursor of an earlier page, so the run would not end; \
                 start anew, and report it to whoever runs the API if it stays"
            ),
            PageError::Over => f.write_str("the run of pages has ended; start or resume another"),
        }
    }
}

impl core::error::Error for PageError {}

/// A run of pages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pages {
    style: PageStyle,
    state: PageState,
    failed: bool,
}

impl Pages {
    /// From the first page on.
    pub fn new(style: PageStyle) -> Pages {
        Pages::resume(style, PageState::default())
    }

    /// From a checkpoint on, that of a failed run too.
    pub fn resume(style: PageStyle, mut state: PageState) -> Pages {
        for cursor in core::mem::take(&mut state.seen).into_iter().chain(state.cursor.clone()) {
            note(&mut state.seen, cursor); // whoever kept them may have put them in another order
        }
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

    /// The request for the next page: the same until it is answered, and none once the run is
    /// done or has failed.
    pub fn request(&self) -> Option<PageRequest> {
        if self.failed || self.state.done {
            return None;
        }
        let Kind::Cursor { cursor, page_size, .. } = self.style.kind;
        let mut query = vec![(page_size, self.style.page_size.to_string())];
        query.extend(self.state.cursor.clone().map(|value| (cursor, value)));
        Some(PageRequest { query })
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
        match (page.status, page.body) {
            (204 | 205, _) | (200..=299, PageBody::Empty) => {
                return Err(PageError::Empty(page.status));
            }
            (200..=299, PageBody::Malformed) => return Err(PageError::NotAnObject),
            (200..=299, PageBody::Object) => {}
            (status, _) => return Err(PageError::Status(status)),
        }
        let items = page.items.ok_or(PageError::NoItems(self.style.items_field()))?;
        let cursor = self.next_cursor(page.next)?;

        let state = &mut self.state;
        if let Some(cursor) = cursor.clone() {
            note(&mut state.seen, cursor);
        }
        state.done = cursor.is_none();
        state.cursor = cursor;
        state.pages = state.pages.saturating_add(1);
        state.items = state.items.saturating_add(items);
        Ok(PageStep { items, total: state.items, more: !state.done })
    }

    fn next_cursor(&self, next: NextField<'_>) -> Result<Option<String>, PageError> {
        let cursor = match next {
            NextField::Absent | NextField::Null | NextField::Text("") => return Ok(None),
            NextField::Text(text) if text.len() <= MAX_CURSOR_BYTES => text.to_owned(),
            NextField::Number(number) => number.to_string(),
            _ => return Err(PageError::BadCursor(self.style.next_field())),
        };
        if self.state.seen.binary_search(&cursor).is_ok() {
            return Err(PageError::RepeatedCursor(self.style.next_field()));
        }
        Ok(Some(cursor))
    }
}

/// Adds a cursor to those that were seen.
fn note(seen: &mut Vec<String>, cursor: String) {
    if let Err(place) = seen.binary_search(&cursor) {
        seen.insert(place, cursor);
    }
}

#[cfg(test)]
mod tests;
