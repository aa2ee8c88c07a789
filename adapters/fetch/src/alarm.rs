//! The one timer of a client, on the runtime's `setTimeout`.

use wasm_bindgen::prelude::*;

/// The longest time that `setTimeout` can wait: beyond it a runtime fires at once.
const LONGEST_MS: f64 = i32::MAX as f64;

// Imported by their names, and called with the caller's function itself: a closure made in here
// would be several kilobytes of code that passes the call on, as gloo-timers does, which also needs
// the standard library (another 3 kB).
#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(ring: &JsValue, ms: i32) -> JsValue;

    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout(timer: &JsValue);
}

/// One timer that can be set again. While it is set the runtime keeps the process alive, so it is
/// cleared as soon as there is nothing to wait for.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Alarm {
    ring: JsValue,
    /// The runtime's name for the timer: a number or an object. That of one that has rung does no
    /// harm.
    set: Option<JsValue>,
}

#[wasm_bindgen]
impl Alarm {
    /// An alarm that will call the function `ring`, which must not throw.
    #[wasm_bindgen(constructor)]
    pub fn new(ring: JsValue) -> Alarm {
        Alarm { ring, set: None }
    }

    /// Rings once in `ms` milliseconds, rounded up to whole ones, in place of what was set before.
    /// What lies beyond the range of a runtime's timer rings at the end of that range: whoever is
    /// woken looks at the clock, and sets it again.
    pub fn set(&mut self, ms: f64) {
        self.clear();
        let ms = ms.clamp(0.0, LONGEST_MS);
        let whole = ms as i32;
        let part = i32::from(f64::from(whole) < ms);
        self.set = Some(set_timeout(&self.ring, whole + part));
    }

    /// Will not ring.
    pub fn clear(&mut self) {
        if let Some(timer) = self.set.take() {
            clear_timeout(&timer);
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.clear();
    }
}
