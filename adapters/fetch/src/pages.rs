//! Pagination: the state machine of the engine's crate.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};

use cxone_core::page::{self, NextField, PageBody, PageFields, PageState, PageStyle};
use wasm_bindgen::prelude::*;

/// A run of pages. The host sends what [`request`](Pages::request) asks for, picks the fields that
/// the style names out of its own parsed JSON, and hands them to [`answer`](Pages::answer).
#[wasm_bindgen]
#[derive(Debug)]
pub struct Pages {
    pages: page::Pages,
}

#[wasm_bindgen]
impl Pages {
    /// A run in the tutorial's style, from where the arguments say: they are the members of a
    /// [`PageState`], `seen` as [`seen`](Pages::seen) gives it.
    #[wasm_bindgen(constructor)]
    pub fn new(
        page_size: u32,
        cursor: Option<String>,
        done: bool,
        pages: f64,
        items: f64,
        seen: &str,
    ) -> Pages {
        let style = PageStyle::cursor().page_size(page_size);
        let (pages, items) = (pages as u64, items as u64);
        let mut state = PageState { cursor, done, pages, items, ..PageState::default() };
        state.seen.extend(seen.split_terminator('\0').map(str::to_owned));
        Pages { pages: page::Pages::resume(style, state) }
    }

    /// The field of an answer that holds the items.
    #[wasm_bindgen(getter)]
    pub fn items_field(&self) -> String {
        self.pages.style().items_field().to_owned()
    }

    /// The field of an answer that names the next page.
    #[wasm_bindgen(getter)]
    pub fn next_field(&self) -> String {
        self.pages.style().next_field().to_owned()
    }

    /// Names and values, in turn and each ended by NUL, of the query that asks for the next page;
    /// nothing at the end.
    pub fn request(&self) -> Option<String> {
        let request = self.pages.request()?;
        let mut pairs = String::new();
        for (name, value) in request.query {
            pairs.extend([name, "\0", &value, "\0"]);
        }
        Some(pairs)
    }

    /// Takes the answer: what its body is (0 empty, 1 no JSON object, 2 a JSON object), how many
    /// items it holds (NaN where there is no array), and what the next field holds: its text,
    /// if it is a string or a whole number, else `other`, if it holds anything else but null.
    /// Gives nothing, or why the run ends here, and not well.
    pub fn answer(
        &mut self,
        status: u16,
        body: u8,
        items: f64,
        next: Option<String>,
        other: bool,
    ) -> Option<String> {
        let body = match body {
            0 => PageBody::Empty,
            2 => PageBody::Object,
            _ => PageBody::Malformed,
        };
        let next = match &next {
            Some(text) => NextField::Text(text),
            None if other => NextField::Other,
            None => NextField::Absent,
        };
        let fields =
            PageFields { status, body, items: (!items.is_nan()).then_some(items as u64), next };
        self.pages.answer(fields).err().map(|error| error.to_string())
    }

    /// The cursor of the page to ask for.
    #[wasm_bindgen(getter)]
    pub fn cursor(&self) -> Option<String> {
        self.pages.position().cursor.clone()
    }

    /// Was the last page read?
    #[wasm_bindgen(getter)]
    pub fn done(&self) -> bool {
        self.pages.position().done
    }

    /// How many pages were read.
    #[wasm_bindgen(getter)]
    pub fn pages(&self) -> f64 {
        self.pages.position().pages as f64
    }

    /// How many items they held.
    #[wasm_bindgen(getter)]
    pub fn items(&self) -> f64 {
        self.pages.position().items as f64
    }

    /// Every cursor so far, each ended by NUL.
    #[wasm_bindgen(getter)]
    pub fn seen(&self) -> String {
        let mut seen = String::new();
        for cursor in &self.pages.position().seen {
            seen.extend([cursor, "\0"]);
        }
        seen
    }
}
