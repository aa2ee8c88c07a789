//! Jobs: what is submitted, asked after until it is done, and then fetched.
//!
//! The host sends the submission, hands what the style's fields hold to these functions, and asks
//! again when [`JobPolling`] says so.

use alloc::string::String;
use core::time::Duration;

use crate::time::Instant;

/// How a family of jobs is asked after, and what its answers name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JobStyle {
    /// The field of the submission's answer that holds the job's id; empty: the whole answer, a
    /// JSON string. A `.` leads into an object, here and below.
    pub id_field: &'static str,
    /// So many segments at the end of the submission's path make way for …
    parent: usize,
    /// … these, then the id: the path at which the job is asked after.
    child: &'static str,
    /// The field of an answer that holds the state: a string.
    pub state_field: &'static str,
    /// The field that holds the address of the result, once there is one; empty: none ever does.
    pub result_field: &'static str,
    /// The field that says what went wrong, if it has.
    pub problem_field: &'static str,
    /// How long to wait after an answer before asking again.
    pub poll_every: Duration,
    /// How long the address of the result lives, if that is known.
    pub result_lives: Option<Duration>,
}

/// Where a job stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum JobState {
    /// Not done. Also what has a name that is not known: the caller's deadline bounds it.
    Running,
    /// Done, and well.
    Done,
    /// It failed, was cancelled, or has expired.
    Failed,
}

/// NICE asks for 30 s between calls of Data Extraction, and lets a result's address live as long.
const EXTRACTION: Duration = Duration::from_secs(30);

/// Nothing is published of the others.
const OTHERS: Duration = Duration::from_secs(5);

impl JobStyle {
    /// `POST /data-extraction/v1/jobs`: the answer is the id, the state at `…/jobs/{id}`, the result
    /// a URL that lives for 30 s. Asked after every 30 s, as NICE wants.
    pub const fn data_extraction() -> JobStyle {
        JobStyle {
            id_field: "",
            parent: 0,
            child: "",
            state_field: "jobStatus.status",
            result_field: "jobStatus.result.url",
            problem_field: "jobStatus.result.errorMessage",
            poll_every: EXTRACTION,
            result_lives: Some(EXTRACTION),
        }
    }

    /// `POST …/report-jobs/{reportId}`: the state at `…/report-jobs/{jobId}`.
    pub const fn report() -> JobStyle {
        JobStyle {
            id_field: "jobId",
            parent: 1,
            child: "",
            state_field: "jobResult.state",
            result_field: "jobResult.resultFileURL",
            problem_field: "jobResult.errorMessage",
            poll_every: OTHERS,
            result_lives: None,
        }
    }

    /// `POST …/lists/call-lists/{listId}/upload`: the state at `…/lists/call-lists/jobs/{jobId}`.
    pub const fn call_list_upload() -> JobStyle {
        JobStyle {
            id_field: "jobId",
            parent: 2,
            child: "jobs/",
            state_field: "status",
            result_field: "",
            problem_field: "errorMessage",
            poll_every: OTHERS,
            result_lives: None,
        }
    }

    /// The style of this name: `data-extraction`, `report`, `call-list-upload`.
    pub fn named(name: &str) -> Option<JobStyle> {
        match name {
            "data-extraction" => Some(JobStyle::data_extraction()),
            "report" => Some(JobStyle::report()),
            "call-list-upload" => Some(JobStyle::call_list_upload()),
            _ => None,
        }
    }

    /// The path at which a job is asked after that was submitted there. `None` if the id cannot
    /// stand in a path.
    pub fn status_path(&self, submitted_to: &str, id: &str) -> Option<String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if id.is_empty() || matches!(id, "." | "..") || !id.bytes().all(plain) {
            return None;
        }
        let mut path = submitted_to.split(['?', '#']).next()?.trim_end_matches('/');
        for _ in 0..self.parent {
            path = path.rsplit_once('/')?.0;
        }
        Some([path, "/", self.child, id].concat())
    }
}

/// When a job is asked after: at once, then a while after each answer, and never once its deadline
/// has passed.
///
/// Before each request the host asks how much time is [`left`](Self::left), after an answer that
/// says [`JobState::Running`] how long to [`wait`](Self::wait). `None` from either is the job's end:
/// it is not done within its deadline.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JobPolling {
    every: Duration,
    until: Instant,
}

impl JobPolling {
    /// So many times a result's address that has died is asked for anew: it lives but 30 s, and a
    /// download may come later.
    pub const NEW_ADDRESSES: u32 = 2;

    /// How long a job may take, unless its caller says otherwise.
    pub const DEADLINE: Duration = Duration::from_secs(3600);

    /// For a job that is run now. `every` is mostly [`JobStyle::poll_every`]; the deadline counts
    /// from now, its submission included. [`Duration::MAX`] is none.
    pub fn new(every: Duration, deadline: Duration, now: Instant) -> JobPolling {
        JobPolling { every, until: now + deadline }
    }

    /// How much time a request has that is sent now.
    pub fn left(&self, now: Instant) -> Option<Duration> {
        let left = self.until.saturating_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// How long to wait after an answer that came now. A wait that would outlast the deadline is
    /// refused at once: to ask sooner than the server wants would help nobody.
    pub fn wait(&self, now: Instant) -> Option<Duration> {
        self.left(now).filter(|left| self.every < *left).map(|_| self.every)
    }
}

/// What a state comes to, in whatever case it is written.
pub fn job_state(name: &str) -> JobState {
    const DONE: [&str; 5] = ["succeeded", "success", "finished", "completed", "complete"];
    const FAILED: [&str; 6] = ["failed", "failure", "error", "cancelled", "canceled", "expired"];
    let is = |known: &&str| name.eq_ignore_ascii_case(known);
    if DONE.iter().any(is) {
        JobState::Done
    } else if FAILED.iter().any(is) {
        JobState::Failed
    } else {
        JobState::Running
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_asked_after_where_its_family_keeps_it() {
        let path = |style: JobStyle, path: &str| style.status_path(path, "j-1").unwrap();
        assert_eq!(
            path(JobStyle::data_extraction(), "/data-extraction/v1/jobs"),
            "/data-extraction/v1/jobs/j-1"
        );
        assert_eq!(path(JobStyle::report(), "/s/v34.0/report-jobs/77"), "/s/v34.0/report-jobs/j-1");
        assert_eq!(
            path(JobStyle::call_list_upload(), "/s/v34.0/lists/call-lists/77/upload?x=y"),
            "/s/v34.0/lists/call-lists/jobs/j-1"
        );
    }

    #[test]
    fn an_id_cannot_lead_elsewhere() {
        for id in ["", "..", ".", "a/b", "a?b", "a#b", "a%2fb", "a b", "ä"] {
            assert_eq!(JobStyle::data_extraction().status_path("/jobs", id), None, "{id}");
        }
        assert_eq!(JobStyle::call_list_upload().status_path("upload", "1"), None);
    }

    #[test]
    fn states_are_known_in_any_case_and_others_are_waited_for() {
        assert_eq!(job_state("SUCCEEDED"), JobState::Done);
        assert_eq!(job_state("Finished"), JobState::Done);
        assert_eq!(job_state("EXPIRED"), JobState::Failed);
        assert_eq!(job_state("Queued"), JobState::Running);
    }

    #[test]
    fn a_job_is_asked_after_until_its_deadline_and_nobody_waits_past_that() {
        let (seconds, at) = (Duration::from_secs, |s: u64| Instant::from_millis(s * 1000));
        let polling = JobPolling::new(seconds(30), seconds(65), at(100));
        assert_eq!(polling.left(at(100)), Some(seconds(65)));
        assert_eq!(polling.wait(at(100)), Some(seconds(30)));
        assert_eq!(polling.wait(at(134)), Some(seconds(30)));
        // It would be asked after when nobody may ask any more.
        assert_eq!(polling.wait(at(135)), None);
        assert_eq!(polling.left(at(164)), Some(seconds(1)));
        assert_eq!(polling.left(at(165)), None);
        assert_eq!(polling.wait(at(1000)), None);
    }

    #[test]
    fn a_job_without_a_deadline_is_asked_after_for_ever() {
        let polling = JobPolling::new(EXTRACTION, Duration::MAX, Instant::from_millis(1));
        assert_eq!(polling.wait(Instant::from_millis(u64::MAX / 2_000_000)), Some(EXTRACTION));
    }
}
