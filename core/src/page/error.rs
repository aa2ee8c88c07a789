//! Why a run of pages ended before its last page.

use alloc::string::String;
use core::fmt;

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
            PageError::OtherOrigin(field) => write!(
                f,
                "`{field}` leads to another origin, which must not get the token; \
                 check the base URL"
            ),
            PageError::Incomplete { items, total } => write!(
                f,
                "the server names no further page after {items} of {total} items; start anew"
            ),
            PageError::Over => f.write_str("the run of pages has ended; start or resume another"),
        }
    }
}

impl core::error::Error for PageError {}
