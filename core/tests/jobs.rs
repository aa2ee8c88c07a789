//! Jobs, by the vectors that the npm package is held to as well.

use core::time::Duration;

use cxone_core::{Instant, JobPolling, JobState, JobStyle, job_state};
use serde_json::Value;

const VECTORS: &str = include_str!("../../tests/vectors/jobs.json");

fn vectors(part: &str) -> Value {
    let mut all: Value = serde_json::from_str(VECTORS).unwrap();
    all[part].take()
}

fn style(name: &Value) -> JobStyle {
    JobStyle::named(name.as_str().unwrap()).unwrap()
}

fn millis(value: &Value) -> Option<Duration> {
    value.as_u64().map(Duration::from_millis)
}

#[test]
fn what_the_answers_of_each_family_name() {
    let families = vectors("families");
    assert_eq!(families.as_array().unwrap().len(), 3);
    assert_eq!(JobStyle::named("extraction"), None);
    for family in families.as_array().unwrap() {
        let style = style(&family["style"]);
        let fields = [style.id_field, style.state_field, style.result_field, style.problem_field];
        let names = ["id_field", "state_field", "result_field", "problem_field"];
        for (field, name) in fields.into_iter().zip(names) {
            assert_eq!(family[name], field, "{family}");
        }
        assert_eq!(millis(&family["poll_every_ms"]), Some(style.poll_every), "{family}");
        assert_eq!(millis(&family["result_lives_ms"]), style.result_lives, "{family}");
    }
}

#[test]
fn where_a_job_is_asked_after() {
    for path in vectors("paths").as_array().unwrap() {
        let [submitted_to, id] = [1, 2].map(|i| path[i].as_str().unwrap());
        let found = style(&path[0]).status_path(submitted_to, id);
        assert_eq!(found.as_deref(), path[3].as_str(), "{path}");
    }
}

#[test]
fn what_a_state_comes_to() {
    for (name, expected) in vectors("states").as_object().unwrap() {
        let state = match job_state(name) {
            JobState::Running => "running",
            JobState::Done => "done",
            JobState::Failed => "failed",
        };
        assert_eq!(expected, state, "{name:?}");
    }
}

#[test]
fn when_a_job_is_asked_after() {
    for case in vectors("polling").as_array().unwrap() {
        let [every, deadline] = ["every", "deadline"].map(|name| millis(&case[name]).unwrap());
        let [start, now] =
            ["start", "now"].map(|name| Instant::from_millis(case[name].as_u64().unwrap()));
        let polling = JobPolling::new(every, deadline, start);
        assert_eq!(polling.left(now), millis(&case["left"]), "{case}");
        assert_eq!(polling.wait(now), millis(&case["wait"]), "{case}");
    }
}
