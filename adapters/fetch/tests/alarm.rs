//! The alarm on the runtime's own timers.
#![cfg(target_arch = "wasm32")]

use std::cell::Cell;
use std::rc::Rc;

use cxone_fetch::Alarm;
use js_sys::{Date, Function, Promise};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::{Closure, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use wasm_bindgen_test::wasm_bindgen_test;

/// Longer than the range of `setTimeout`, which fires at once beyond it.
const BEYOND_MS: f64 = i32::MAX as f64 + 1.0;

#[wasm_bindgen_test]
async fn rings_once_and_not_before_its_time() {
    let (mut alarm, rung) = alarm();
    let start = Date::now();
    alarm.set(39.2);
    let waited = Rc::new(Cell::new(f64::NAN));
    let (seen, to) = (rung.clone(), waited.clone());
    spawn_local(async move {
        while seen.get() == 0 {
            sleep(1).await;
        }
        to.set(Date::now() - start);
    });
    sleep(300).await;
    assert_eq!(rung.get(), 1);
    // Timers count on another clock than `Date`, which shows whole milliseconds.
    assert!(waited.get() >= 38.0, "it rang after {} ms", waited.get());
}

#[wasm_bindgen_test]
async fn set_again_it_rings_only_at_the_later_time() {
    let (mut alarm, rung) = alarm();
    alarm.set(5.0);
    alarm.set(5000.0);
    sleep(100).await;
    assert_eq!(rung.get(), 0);
    alarm.set(0.0);
    sleep(100).await;
    assert_eq!(rung.get(), 1);
}

#[wasm_bindgen_test]
async fn cleared_it_does_not_ring() {
    let (mut alarm, rung) = alarm();
    alarm.set(20.0);
    alarm.clear();
    sleep(100).await;
    assert_eq!(rung.get(), 0);
}

#[wasm_bindgen_test]
async fn a_wait_beyond_the_range_of_timers_does_not_ring_at_once() {
    for ms in [BEYOND_MS, 2.0 * BEYOND_MS, f64::MAX, f64::INFINITY] {
        let (mut alarm, rung) = alarm();
        alarm.set(ms);
        sleep(50).await;
        assert_eq!(rung.get(), 0, "{ms} ms");
    }
}

/// Waits on a timer that is not the alarm's.
async fn sleep(ms: u32) {
    let timer = "return new Promise((resolve) => setTimeout(resolve, ms));";
    let made = Function::new_with_args("ms", timer).call1(&JsValue::UNDEFINED, &ms.into());
    let promise: Promise = made.expect("a promise").unchecked_into();
    JsFuture::from(promise).await.expect("it is never rejected");
}

/// An alarm, and how often it has rung.
fn alarm() -> (Alarm, Rc<Cell<u32>>) {
    let rung = Rc::new(Cell::new(0));
    let count = rung.clone();
    let ring = Closure::<dyn FnMut()>::new(move || count.set(count.get() + 1));
    (Alarm::new(ring.into_js_value().unchecked_into()), rung)
}
