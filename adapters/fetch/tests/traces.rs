//! Law 7: the golden traces of `tests/traces/scenarios` on wasm32, byte for byte those that
//! `core/tests/traces.rs` asserts natively.
#![cfg(target_arch = "wasm32")]

#[path = "../../../tests/traces/list.rs"]
#[allow(unreachable_pub)]
mod list;
#[path = "../../../tests/traces/runner.rs"]
#[allow(unreachable_pub)]
mod runner;

use wasm_bindgen_test::wasm_bindgen_test;

#[wasm_bindgen_test]
fn every_scenario_gives_its_golden_trace() {
    assert!(list::SCENARIOS.len() >= 10, "only {} scenarios", list::SCENARIOS.len());
    for (name, golden) in list::SCENARIOS {
        assert_eq!(*golden, runner::run(golden), "{name}");
    }
}
