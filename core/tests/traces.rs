//! Law 7: the golden traces of `tests/traces/scenarios`, byte for byte; `adapters/fetch` asserts
//! the same on wasm32. To write them anew after a deliberate change, run
//! `UPDATE_TRACES=1 cargo test -p cxone-core --test traces`, and read the difference.

#[path = "../../tests/traces/list.rs"]
#[allow(unreachable_pub)]
mod list;
#[path = "../../tests/traces/runner.rs"]
#[allow(unreachable_pub)]
mod runner;

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

#[test]
fn every_scenario_gives_its_golden_trace() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/traces");
    let entries = fs::read_dir(folder.join("scenarios")).expect("the scenarios are in the tree");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    assert!(paths.len() >= 10, "only {} scenarios found", paths.len());
    let update = std::env::var_os("UPDATE_TRACES").is_some();
    for path in &paths {
        let golden = fs::read_to_string(path).expect("a scenario is text");
        let trace = runner::run(&golden);
        if update {
            fs::write(path, trace).expect("the scenario can be written");
        } else {
            assert_eq!(golden, trace, "{}", path.display());
        }
    }
    let file = folder.join("list.rs");
    let list = list_of(&paths);
    if update {
        fs::write(file, list).expect("the list can be written");
        return;
    }
    // A file is not found by name where there are no files: what is missing in the list would go
    // untested there.
    let written = fs::read_to_string(file).expect("the list is in the tree");
    assert_eq!(
        written, list,
        "write it anew: UPDATE_TRACES=1 cargo test -p cxone-core --test traces"
    );
    assert_eq!(list::SCENARIOS.len(), paths.len());
}

/// The source of `list.rs`.
fn list_of(paths: &[PathBuf]) -> String {
    let mut list = String::from(
        "//! The scenarios, for targets that have no files. The native test writes this list anew, and fails\n\
         //! where it is stale.\n\n\
         /// Name and text of each.\n\
         #[rustfmt::skip]\n\
         pub const SCENARIOS: &[(&str, &str)] = &[\n",
    );
    for path in paths {
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a name in ASCII");
        let _ = writeln!(list, "    (\"{name}\", include_str!(\"scenarios/{name}.txt\")),");
    }
    list + "];\n"
}
