//! Jobs: what their answers name, where they are asked after, and when.

use alloc::string::String;
use core::time::Duration;

use cxone_core::{Instant, JobPolling, JobState, JobStyle, job_state};
use wasm_bindgen::prelude::*;

/// What [`job_next`] gives in place of a wait.
const DONE: f64 = -1.0;
const FAILED: f64 = -2.0;
const LATE: f64 = -3.0;

/// The fields of a family of jobs, each ended by a line break: of the submission's answer the one that
/// holds the id, then those with the state, the address of the result and what went wrong. Nothing
/// for a family that is not known.
#[wasm_bindgen(js_name = jobFields)]
pub fn job_fields(style: &str) -> Option<String> {
    let style = JobStyle::named(style)?;
    let mut text = String::new();
    for field in [style.id_field, style.state_field, style.result_field, style.problem_field] {
        text.push_str(field);
        text.push('\n');
    }
    Some(text)
}

/// The path at which a job is asked after. `texts` are, one a line: its family, the path it was
/// submitted to, and its id. Nothing if that cannot stand in a path.
#[wasm_bindgen(js_name = jobPath)]
pub fn job_path(texts: &str) -> Option<String> {
    let (style, rest) = texts.split_once('\n')?;
    let (submitted_to, id) = rest.split_once('\n')?;
    JobStyle::named(style)?.status_path(submitted_to, id)
}

/// What to do after an answer. `texts` are, one a line: the job's family, and its state. Times are
/// milliseconds: how long to wait after an answer (NaN: what NICE wants of the family), how long the
/// job may take, and how long ago it was submitted.
///
/// Gives -1 if it is done, -2 if it has failed, -3 if it will not be done in time, and else how long
/// to wait.
#[wasm_bindgen(js_name = jobNext)]
pub fn job_next(texts: &str, every: f64, deadline: f64, elapsed: f64) -> f64 {
    let (style, state) = texts.split_once('\n').unwrap_or_default();
    let Some(style) = JobStyle::named(style) else { return FAILED };
    let every = if every.is_nan() { style.poll_every.as_secs_f64() * 1e3 } else { every };
    match job_state(state) {
        JobState::Done => DONE,
        JobState::Failed => FAILED,
        JobState::Running => {
            let polling = JobPolling::new(millis(every), millis(deadline), Instant::default());
            polling.wait(Instant::default() + millis(elapsed)).map_or(LATE, |_| every)
        }
    }
}

fn millis(ms: f64) -> Duration {
    Duration::from_millis(ms as u64)
}
