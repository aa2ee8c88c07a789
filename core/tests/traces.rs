//! Law 7: the golden traces of `tests/traces/scenarios`, byte for byte. To write them anew after a
//! deliberate change, run `UPDATE_TRACES=1 cargo test -p cxone-core --test traces`, and read the
//! difference.

#[path = "../../tests/traces/runner.rs"]
#[allow(unreachable_pub)]
mod runner;

use std::fs;
use std::path::PathBuf;

#[test]
fn every_scenario_gives_its_golden_trace() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/traces/scenarios");
    let entries = fs::read_dir(&folder).expect("the scenarios are in the tree");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    assert!(paths.len() >= 10, "only {} scenarios found", paths.len());
    let update = std::env::var_os("UPDATE_TRACES").is_some();
    for path in paths {
        let golden = fs::read_to_string(&path).expect("a scenario is text");
        let trace = runner::run(&golden);
        if update {
            fs::write(&path, trace).expect("the scenario can be written");
        } else {
            assert_eq!(golden, trace, "{}", path.display());
        }
    }
}
