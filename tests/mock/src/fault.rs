//! What goes wrong with one request: [`Fault`].

use std::{collections::BTreeMap, time::Duration};

use http::{HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use serde_json::Value;

use crate::answer::Answer;

/// What happens to one request. The parts combine: a delay, then a reset, for example.
///
/// With a status, the fault is answered instead of the request, in front of token check and
/// limits. Without one, the request is served as ever, only late or cut off.
///
/// In JSON every part may be left out:
///
/// ```json
/// {
///   "status": 503,
///   "headers": {"x-gateway": "g"},
///   "retry_after": 2,
///   "body": "<html>busy</html>",
///   "delay_ms": 100,
///   "body_delay_ms": 100,
///   "truncate": 10,
///   "connection": "reset"
/// }
/// ```
///
/// where a `connection` is broken by `reset` (TCP RST) or `close` (TCP FIN), and then nothing
/// is answered.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fault {
    status: Option<u16>,
    headers: BTreeMap<String, String>,
    retry_after: Option<u64>,
    body: Option<String>,
    delay_ms: u64,
    body_delay_ms: u64,
    truncate: Option<usize>,
    connection: Option<Break>,
}

/// How a connection is broken instead of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Break {
    /// With a TCP RST: the client sees *connection reset*.
    Reset,
    /// With a TCP FIN: the client sees the connection closed before the answer.
    Close,
}

impl Fault {
    /// Answers with this status and, until told otherwise, without a body.
    ///
    /// # Panics
    ///
    /// If this is no status of an answer.
    pub fn status(status: u16) -> Fault {
        final_status(status).expect("a status is a number from 200 to 999");
        Fault { status: Some(status), ..Fault::default() }
    }

    /// Answers 401 as the platform does: `WWW-Authenticate: error="invalid token"`.
    pub fn unauthorized() -> Fault {
        Fault::status(401).header("www-authenticate", "error=\"invalid token\"")
    }

    /// Refusals with these waits, in seconds, in turn.
    pub fn staggered(status: u16, waits: impl IntoIterator<Item = u64>) -> Vec<Fault> {
        waits.into_iter().map(|wait| Fault::status(status).retry_after(wait)).collect()
    }

    /// Resets the connection (TCP RST) instead of answering.
    pub fn reset() -> Fault {
        Fault { connection: Some(Break::Reset), ..Fault::default() }
    }

    /// Closes the connection (TCP FIN) instead of answering.
    pub fn close() -> Fault {
        Fault { connection: Some(Break::Close), ..Fault::default() }
    }

    /// Answers late.
    pub fn slow(delay: Duration) -> Fault {
        Fault::default().delay(delay)
    }

    /// Answers with the head at once and the body late.
    pub fn slow_body(delay: Duration) -> Fault {
        Fault { body_delay_ms: millis(delay), ..Fault::default() }
    }

    /// Announces the whole body, sends so many bytes of it and closes the connection.
    pub fn truncate(bytes: usize) -> Fault {
        Fault { truncate: Some(bytes), ..Fault::default() }
    }

    /// Adds a header to the answer.
    ///
    /// # Panics
    ///
    /// If name or value cannot be sent.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Fault {
        let (name, value) = (name.into(), value.into());
        field(&name, &value).expect("a header is a token and visible text");
        self.headers.insert(name, value);
        self
    }

    /// Adds `Retry-After` in seconds. For other forms use [`header`](Fault::header).
    pub fn retry_after(mut self, seconds: u64) -> Fault {
        self.retry_after = Some(seconds);
        self
    }

    /// Gives the answer a body: HTML if it begins with `<`, else JSON, unless a content type
    /// is among the headers.
    pub fn body(mut self, body: impl Into<String>) -> Fault {
        self.body = Some(body.into());
        self
    }

    /// Waits before anything else happens.
    pub fn delay(mut self, delay: Duration) -> Fault {
        self.delay_ms = millis(delay);
        self
    }

    /// Whether the request is not served at all.
    pub(crate) fn replaces(&self) -> bool {
        self.status.is_some() || self.connection.is_some()
    }

    pub(crate) fn breaks(&self) -> Option<Break> {
        self.connection
    }

    pub(crate) fn head_delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms)
    }

    /// The answer instead of the real one, if there is one.
    pub(crate) fn answer(&self) -> Option<Answer> {
        let status = final_status(self.status?)?;
        let mut answer = match &self.body {
            None => Answer::empty(status),
            Some(body) if body.starts_with('<') => Answer::html(status, body.clone()),
            Some(body) => Answer::json_text(status, body.clone()),
        };
        if let Some(seconds) = self.retry_after {
            answer.headers.insert("retry-after", seconds.into());
        }
        answer.headers.extend(self.headers.iter().filter_map(|(name, value)| field(name, value)));
        Some(answer)
    }

    /// Says what in a fault read from JSON could never be served.
    fn check(&self) -> Result<(), String> {
        if let Some(status) = self.status.filter(|&status| final_status(status).is_none()) {
            return Err(format!("{status} is no status of an answer"));
        }
        match self.headers.iter().find(|(name, value)| field(name, value).is_none()) {
            Some((name, value)) => Err(format!("{name:?}: {value:?} is no header")),
            None => Ok(()),
        }
    }

    /// Spoils an answer, the real one or that of the fault.
    pub(crate) fn spoil(&self, answer: &mut Answer) {
        answer.body_delay += Duration::from_millis(self.body_delay_ms);
        answer.truncate = self.truncate;
    }
}

impl From<Fault> for Vec<Fault> {
    fn from(fault: Fault) -> Vec<Fault> {
        vec![fault]
    }
}

/// Reads one fault or a list of them.
pub(crate) fn one_or_many<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<Fault>, D::Error> {
    // By hand, since an untagged enum would hide what is wrong with the fault.
    let value = Value::deserialize(input)?;
    let faults: Vec<Fault> = match value.is_array() {
        true => serde_json::from_value(value),
        false => serde_json::from_value(value).map(|fault| vec![fault]),
    }
    .map_err(D::Error::custom)?;
    faults.iter().try_for_each(Fault::check).map_err(D::Error::custom)?;
    Ok(faults)
}

/// A status that ends a request.
pub(crate) fn final_status(status: u16) -> Option<StatusCode> {
    StatusCode::from_u16(status).ok().filter(|status| !status.is_informational())
}

fn field(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    Some((name.parse().ok()?, value.parse().ok()?))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
