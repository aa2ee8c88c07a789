//! Pagination: the state machine of the engine's crate.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use cxone_core::Wall;
use cxone_core::page::{self, NextField, PageBody, PageFields, PageState, PageStyle, fingerprint};
use wasm_bindgen::prelude::*;

/// A run of pages. The host sends what [`request`](Pages::request) asks for, picks the fields that
/// the style names out of its own parsed JSON, and hands them to [`answer`](Pages::answer).
#[wasm_bindgen]
#[derive(Debug)]
pub struct Pages {
    pages: page::Pages,
    /// Of the items of the page that is being read, where pages overlap.
    fingerprints: Vec<u64>,
}

#[wasm_bindgen]
impl Pages {
    /// A run in the style of a name, from where the other arguments say. `texts` are, each ended by
    /// a line break: that name, the field that holds the items (empty for the style's own), and
    /// fingerprints as [`seen`](Pages::seen) and [`overlap`](Pages::overlap) give them.
    ///
    /// `numbers` are, in this order: items a page, from when and until when (ms since 1970), a
    /// window's length (ms), NaN for the style's own; then the members of a [`PageState`]: 1 if it
    /// is done, pages, items, 1 if it is partial, where it looks.
    #[wasm_bindgen(constructor)]
    pub fn new(texts: &str, numbers: &[f64], cursor: Option<String>) -> Pages {
        let mut texts = texts.split('\n').map(str::to_owned);
        let mut text = || texts.next().unwrap_or_default();
        let number = |place: usize| numbers.get(place).copied().unwrap_or(f64::NAN);
        let given = |place| Some(number(place)).filter(|it| !it.is_nan()).map(|it| it as u64);
        let mut style = PageStyle::named(&text()).unwrap_or_else(PageStyle::cursor);
        let items = text();
        if !items.is_empty() {
            style = style.items(items);
        }
        if let Some(size) = given(0) {
            style = style.page_size(size as u32);
        }
        if let Some(since) = given(1) {
            style = style.since(Wall::from_millis(since));
        }
        if let Some(until) = given(2) {
            style = style.until(Wall::from_millis(until));
        }
        if let Some(length) = given(3) {
            style = style.window(Duration::from_millis(length));
        }
        let state = PageState {
            cursor,
            done: number(4) == 1.0,
            pages: number(5) as u64,
            items: number(6) as u64,
            seen: from_hex(&text()),
            overlap: from_hex(&text()),
            partial: number(7) == 1.0,
            look: number(8) as u8,
        };
        Pages { pages: page::Pages::resume(style, state), fingerprints: Vec::new() }
    }

    /// The fields of an answer that hold the items, name the next page, and tell the number of all
    /// items; the last two are empty if none does. A line break is between them, and a `.` leads
    /// into an object.
    #[wasm_bindgen(getter)]
    pub fn fields(&self) -> String {
        let style = self.pages.style();
        [style.items_field(), style.next_field(), style.total_field()].join("\n")
    }

    /// 1: its requests are a POST, with what pages in the body; 2: its pages overlap.
    #[wasm_bindgen(getter)]
    pub fn flags(&self) -> u32 {
        let style = self.pages.style();
        u32::from(style.in_body()) | u32::from(style.overlaps()) << 1
    }

    /// The request for the next page: path and query that take the place of the first one's, or
    /// nothing; then names and values, in turn, of what to set in the query. Each is ended by NUL;
    /// there is no text at all at the end.
    pub fn request(&self) -> Option<String> {
        let request = self.pages.request()?;
        let mut text = request.link.unwrap_or_default();
        text.push('\0');
        for (name, value) in request.query {
            text.extend([name, "\0", &value, "\0"]);
        }
        Some(text)
    }

    /// Notes an item of the page that is being read; says whether the page before it held the same.
    pub fn is_repeated(&mut self, item: &str) -> bool {
        let mark = fingerprint(item.as_bytes());
        self.fingerprints.push(mark);
        self.pages.is_repeated(mark)
    }

    /// Takes the answer: what its body is (0 empty, 1 no JSON object, 2 a JSON object), how many
    /// items it holds (NaN where there is no array), and what the next field holds: its text,
    /// if it is a string or a whole number, else `other`, if it holds anything else but null; the
    /// number in the total field, or NaN; and the origin that was asked. Gives nothing, or why the
    /// run ends here, and not well.
    #[allow(clippy::too_many_arguments)]
    pub fn answer(
        &mut self,
        status: u16,
        body: u8,
        items: f64,
        next: Option<String>,
        other: bool,
        total: f64,
        origin: &str,
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
        let number = |n: f64| (!n.is_nan()).then_some(n as u64);
        let fields = PageFields {
            status,
            body,
            items: number(items),
            next,
            total: number(total),
            fingerprints: &self.fingerprints,
            origin,
        };
        let problem = self.pages.answer(fields).err().map(|error| error.text());
        self.fingerprints.clear();
        problem
    }

    /// What names the page to ask for.
    #[wasm_bindgen(getter)]
    pub fn cursor(&self) -> Option<String> {
        self.pages.position().cursor.clone()
    }

    /// Of the members of its [`PageState`] that are numbers the one at this place among the last
    /// five of [`new`](Pages::new).
    pub fn number(&self, place: u32) -> f64 {
        let state = self.pages.position();
        let number = match place {
            0 => u64::from(state.done),
            1 => state.pages,
            2 => state.items,
            3 => u64::from(state.partial),
            _ => u64::from(state.look),
        };
        number as f64
    }

    /// Fingerprints of the cursors that must not come again, each ended by NUL.
    #[wasm_bindgen(getter)]
    pub fn seen(&self) -> String {
        to_hex(&self.pages.position().seen)
    }

    /// Fingerprints of the last page's items, where pages overlap, each ended by NUL.
    #[wasm_bindgen(getter)]
    pub fn overlap(&self) -> String {
        to_hex(&self.pages.position().overlap)
    }
}

/// Sixteen digits each, and a NUL: a number of 64 bits fits into no number of JavaScript's.
fn to_hex(numbers: &[u64]) -> String {
    let mut text = String::new();
    for number in numbers {
        for place in (0..16).rev() {
            text.push(char::from(b"0123456789abcdef"[(number >> (4 * place) & 15) as usize]));
        }
        text.push('\0');
    }
    text
}

fn from_hex(text: &str) -> Vec<u64> {
    let number = |text: &str| {
        let digits = text.chars().map(|digit| digit.to_digit(16));
        digits.fold(0, |number, digit| number << 4 | u64::from(digit.unwrap_or(0)))
    };
    text.split_terminator('\0').map(number).collect()
}
