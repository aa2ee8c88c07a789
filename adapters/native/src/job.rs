//! Jobs: submitted, asked after, and their results fetched.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use cxone_core::{JobPolling, JobState, JobStyle, Priority, job_state};
use http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::client::Client;
use crate::clock::Clock;
use crate::download::Downloaded;
use crate::error::{Error, ErrorKind};
use crate::json::at;
use crate::response::Response;

/// A job, in the making: [`run`](Job::run) submits it and waits until it is done,
/// [`run_to`](Job::run_to) also fetches its result to a file.
///
/// ```no_run
/// # use cxone_client::{Client, Error, JobStyle};
/// # async fn run(client: Client) -> Result<(), Error> {
/// let job = client
///     .job(JobStyle::data_extraction(), "/data-extraction/v1/jobs")
///     .json(&serde_json::json!({
///         "entityName": "recording-interaction-metadata",
///         "version": "7",
///         "startDate": "2026-08-01",
///         "endDate": "2026-08-02",
///     }));
/// let (done, file) = job.run_to("metadata.csv").await?;
/// println!("job {}: {} bytes", done.id, file.bytes);
/// # Ok(())
/// # }
/// ```
#[must_use = "a job does nothing until it is run"]
pub struct Job {
    client: Client,
    style: JobStyle,
    path: String,
    body: Result<Value, serde_json::Error>,
    priority: Priority,
    deadline: Duration,
    poll_every: Duration,
}

/// A job that is done.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct JobDone {
    /// Its id.
    pub id: String,
    /// The address of its result, if it has one. It may die soon: that of a data extraction lives
    /// for 30 s.
    pub result: Option<String>,
    /// The last answer about it.
    pub answer: Value,
}

impl Job {
    pub(crate) fn new(client: Client, style: JobStyle, path: &str) -> Job {
        Job {
            client,
            style,
            path: path.to_owned(),
            body: Ok(Value::Object(Map::new())),
            priority: Priority::Normal,
            deadline: JobPolling::DEADLINE,
            poll_every: style.poll_every,
        }
    }

    /// What is submitted.
    pub fn json<T: Serialize + ?Sized>(mut self, body: &T) -> Self {
        self.body = serde_json::to_value(body);
        self
    }

    /// The class of its requests. Default [`Priority::Normal`].
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// How long the job may take, from when it is run: its submission, and all the asking until it
    /// is done. Default 1 h; [`Duration::MAX`] is none.
    pub fn deadline(mut self, time: Duration) -> Self {
        self.deadline = time;
        self
    }

    /// How long to wait after an answer before asking again. Default: what NICE wants of the style's
    /// family.
    pub fn poll_every(mut self, time: Duration) -> Self {
        self.poll_every = time;
        self
    }

    /// Submits the job and waits until it is done.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Job`] if it fails, is not done within its deadline (which is told as soon as it
    /// would be asked after only past that), or if what is said about it cannot be understood; else
    /// those of its requests. A submission whose answer was lost is not
    /// repeated: it may have been taken.
    pub async fn run(self) -> Result<JobDone, Error> {
        let mut schedule = self.schedule();
        let id = self.submit().await?;
        self.wait(id, &mut schedule).await
    }

    /// Submits the job, waits until it is done, and fetches its result to a file, as
    /// [`Download`](crate::Download) does: at once, before its address dies. If that has died all
    /// the same, another one is asked for.
    ///
    /// # Errors
    ///
    /// Those of [`run`](Job::run) and of [`Download::to`](crate::Download::to).
    pub async fn run_to(self, file: impl AsRef<Path>) -> Result<(JobDone, Downloaded), Error> {
        let mut schedule = self.schedule();
        let id = self.submit().await?;
        let mut asked = 0;
        loop {
            let done = self.wait(id.clone(), &mut schedule).await?;
            let Some(address) = &done.result else {
                return Err(problem(format_args!("job {id} is done and names no result")));
            };
            let download = self.client.download(address).priority(Priority::High);
            match download.to(&file).await {
                Ok(file) => return Ok((done, file)),
                Err(error) if asked < JobPolling::NEW_ADDRESSES && has_died(&error) => asked += 1,
                Err(error) => return Err(error),
            }
        }
    }

    fn schedule(&self) -> Schedule {
        let mut clock = Clock::start();
        let polling = JobPolling::new(self.poll_every, self.deadline, clock.now().instant);
        Schedule { clock, polling }
    }

    async fn submit(&self) -> Result<String, Error> {
        let body = self.body.as_ref().map_err(|_| Error::request("its json cannot be sent"))?;
        let request = self.client.post(&self.path).priority(self.priority).deadline(self.deadline);
        let response = request.json(body).send().await?;
        let answer: Value = response.json()?;
        let id = if self.style.id_field.is_empty() {
            Some(&answer)
        } else {
            answer.as_object().and_then(|object| at(object, self.style.id_field))
        };
        match id {
            Some(Value::String(id)) => Ok(id.clone()),
            Some(Value::Number(id)) => Ok(id.to_string()),
            _ => Err(response.error(ErrorKind::Job, "Job Error: the answer names no id".into())),
        }
    }

    async fn wait(&self, id: String, schedule: &mut Schedule) -> Result<JobDone, Error> {
        let late = || problem(format_args!("job {id} is not done within its deadline"));
        let path = self.style.status_path(&self.path, &id);
        let path = path.ok_or_else(|| problem("its id cannot stand in a path"))?;
        loop {
            let left = schedule.left().ok_or_else(late)?;
            let request = self.client.get(&path).priority(self.priority).deadline(left);
            let response = request.send().await?;
            let answer: Map<String, Value> = response.json()?;
            let text = |field| at(&answer, field).and_then(Value::as_str).map(str::to_owned);
            match self.state(&response, text(self.style.state_field))? {
                JobState::Done => {
                    let result = text(self.style.result_field);
                    return Ok(JobDone { id, result, answer: Value::Object(answer) });
                }
                JobState::Failed => {
                    let state = text(self.style.state_field).unwrap_or_default();
                    let why = text(self.style.problem_field).map(|why| format!(": {why}"));
                    let why = why.unwrap_or_default();
                    let message = format!("Job Error: job {id} is {state}{why}");
                    return Err(response.error(ErrorKind::Job, message));
                }
                JobState::Running => {
                    tokio::time::sleep(schedule.wait().ok_or_else(late)?).await;
                }
            }
        }
    }

    fn state(&self, response: &Response, name: Option<String>) -> Result<JobState, Error> {
        name.as_deref().map(job_state).ok_or_else(|| {
            let message = format!("Job Error: there is no state in `{}`", self.style.state_field);
            response.error(ErrorKind::Job, message)
        })
    }
}

/// The job's polling, by the clock.
struct Schedule {
    clock: Clock,
    polling: JobPolling,
}

impl Schedule {
    fn left(&mut self) -> Option<Duration> {
        self.polling.left(self.clock.now().instant)
    }

    fn wait(&mut self) -> Option<Duration> {
        self.polling.wait(self.clock.now().instant)
    }
}

/// An address that has had its time.
fn has_died(error: &Error) -> bool {
    let dead = [StatusCode::FORBIDDEN, StatusCode::NOT_FOUND, StatusCode::GONE];
    error.status().is_some_and(|status| dead.contains(&status))
}

fn problem(what: impl fmt::Display) -> Error {
    Error::new(ErrorKind::Job, format!("Job Error: {what}"))
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("style", &self.style).finish_non_exhaustive()
    }
}
