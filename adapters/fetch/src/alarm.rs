//! The one timer of a client, on the runtime's `setTimeout`.

use js_sys::Function;
use wasm_bindgen::prelude::*;

/// The longest time that `setTimeout` can wait: beyond it a runtime fires at once.
const LONGEST_MS: f64 = i32::MAX as f64;

#[wasm_bindgen]
extern "C" {
    /// What it gives names the timer: a number, or in Node.js an object.
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(ring: &Function, ms: u32) -> JsValue;

    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout(timer: &JsValue);
}

/// One timer that can be set again. While it is set the runtime keeps the process alive, so it is
/// cleared as soon as there is nothing to wait for.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Alarm {
    ring: Function,
    timer: Option<JsValue>,
}

#[wasm_bindgen]
impl Alarm {
    /// An alarm that will call `ring`, which must not throw.
    #[wasm_bindgen(constructor)]
    pub fn new(ring: Function) -> Alarm {
        Alarm { ring, timer: None }
    }

    /// Rings once in `ms` milliseconds, rounded up to whole ones, in place of what was set before.
    /// What lies beyond the range of a runtime's timer rings at the end of that range: whoever is
    /// woken looks at the clock, and sets it again.
    pub fn set(&mut self, ms: f64) {
        let ms = ms.ceil().clamp(0.0, LONGEST_MS) as u32;
        self.clear();
        self.timer = Some(set_timeout(&self.ring, ms));
    }

    /// Will not ring.
    pub fn clear(&mut self) {
        if let Some(timer) = self.timer.take() {
            clear_timeout(&timer);
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.clear();
    }
}
