//! The one timer of a client, on the runtime's `setTimeout`.

use gloo_timers::callback::Timeout;
use js_sys::Function;
use wasm_bindgen::prelude::*;

/// The longest time that `setTimeout` can wait: beyond it a runtime fires at once.
const LONGEST_MS: f64 = i32::MAX as f64;

/// One timer that can be set again. While it is set the runtime keeps the process alive, so it is
/// cleared as soon as there is nothing to wait for.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Alarm {
    ring: Function,
    set: Option<Timeout>,
}

#[wasm_bindgen]
impl Alarm {
    /// An alarm that will call `ring`, which must not throw.
    #[wasm_bindgen(constructor)]
    pub fn new(ring: Function) -> Alarm {
        Alarm { ring, set: None }
    }

    /// Rings once in `ms` milliseconds, rounded up to whole ones, in place of what was set before.
    /// What lies beyond the range of a runtime's timer rings at the end of that range: whoever is
    /// woken looks at the clock, and sets it again.
    pub fn set(&mut self, ms: f64) {
        let ms = ms.ceil().clamp(0.0, LONGEST_MS) as u32;
        let ring = self.ring.clone();
        self.set = Some(Timeout::new(ms, move || {
            let _ = ring.call0(&JsValue::UNDEFINED); // it does not throw
        }));
    }

    /// Will not ring.
    pub fn clear(&mut self) {
        self.set = None;
    }
}
