//! The long polls of agents' sessions.

use core::time::Duration;

use wasm_bindgen::prelude::*;

/// Milliseconds to wait before a session is asked again, after a poll that took so many and brought
/// no event.
#[wasm_bindgen(js_name = pollPause)]
pub fn poll_pause(took: f64) -> f64 {
    cxone_core::poll_pause(Duration::from_millis(took as u64)).as_millis() as f64
}
