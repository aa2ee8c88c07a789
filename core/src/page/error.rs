//! Why a run of pages ended before its last page.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;

use crate::text::text;

/// Why a run of pages ended before its last page. None of these is ever taken for success:
/// [`Pages::state`](super::Pages::state) still is the position before the page that failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PageError {
    /// The status is not a success.
    Status(u16),
    /// A success without a body.
    Empty(u16),
    /// The body is not a JSON object.
    NotAnObject,
    /// The named field is not there or not an array.
    NoItems(String),
    /// The named field, which should tell the next page, holds something that is no cursor.
    BadCursor(&'static str),
    /// The named field holds a cursor that this run has used before: it would go in circles.
    RepeatedCursor(&'static str),
    /// So many items share one time, and fill an answer: what else the server may have of that time,
    /// and all that follows it, is out of reach.
    Crowded(u64),
    /// The named field holds a link that leads away from the origin that was asked.
    OtherOrigin(&'static str),
    /// The server names no further page, but has stated more items than came.
    Incomplete {
        /// How many came.
        items: u64,
        /// How many there are, as it says.
        total: u64,
    },
    /// The run had already ended.
    Over,
}

impl PageError {
    /// What its `Display` shows.
    pub fn text(&self) -> String {
        match self {
            PageError::Status(status) => {
                text!["the page came with status ", status, "; resume from the last checkpoint"]
            }
            PageError::Empty(status) => text![
                "the page came with status ",
                status,
                " and no body, where an object was due; resume from the last checkpoint"
            ],
            PageError::NotAnObject => "the body of the page is not a JSON object; \
                 check the address, then resume from the last checkpoint"
                .to_owned(),
            PageError::NoItems(field) => text![
                "the page has no array in `",
                field,
                "`; check that the address pages in this style"
            ],
            PageError::BadCursor(field) => text![
                "`",
                field,
                "` holds neither a usable string nor an integer; \
                 check that the address pages in this style"
            ],
            PageError::RepeatedCursor(field) => text![
                "`",
                field,
                "` repeats a cursor of an earlier page, so the run would not end; \
                 start anew, and report it to whoever runs the API if it stays"
            ],
            PageError::Crowded(items) => {
                text![items, " items share one time and fill an answer; start anew with a filter"]
            }
            PageError::OtherOrigin(field) => text![
                "`",
                field,
                "` leads to another origin, which must not get the token; check the base URL"
            ],
            PageError::Incomplete { items, total } => text![
                "the server names no further page after ",
                items,
                " of ",
                total,
                " items; start anew"
            ],
            PageError::Over => "the run of pages has ended; start or resume another".to_owned(),
        }
    }
}

impl fmt::Display for PageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl core::error::Error for PageError {}
