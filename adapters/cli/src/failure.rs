//! Why the command failed, and what its user can do about it.

use std::{
    error::Error as _,
    fmt::Display,
    io::{self, Write},
    process::ExitCode,
    time::{Duration, SystemTime},
};

use cxone_client::{BuildError, Error, ErrorKind};
use serde_json::Value;

/// A failure of the whole command.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    hints: Vec<String>,
    status: u8,
}

/// As a shell reports a program that SIGPIPE has ended.
const CLOSED_PIPE: u8 = 128 + 13;

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), hints: Vec::new(), status: 1 }
    }

    /// A failure to do something with a file.
    pub(crate) fn io(what: impl Display, error: &io::Error) -> Failure {
        Failure::new(format!("{what}: {error}"))
    }

    /// Whoever read the output has had enough of it: that is told by the status alone.
    pub(crate) fn closed_pipe() -> Failure {
        Failure { status: CLOSED_PIPE, ..Failure::new("the output was closed") }
    }

    /// What the command exits with.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.status)
    }

    /// Adds a line on what to do, or what is known besides.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hints.push(hint.into());
        self
    }

    /// Prints it on stderr. Whoever closed that does not want to know.
    pub(crate) fn print(&self) {
        if self.status == CLOSED_PIPE {
            return;
        }
        let mut stderr = io::stderr().lock();
        let _ = writeln!(stderr, "[Fatal] {}", self.message);
        for hint in &self.hints {
            let _ = writeln!(stderr, "  {hint}");
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::new(error.to_string())
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Failure {
        Failure::new(error.to_string())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let mut failure = Failure::new(error.to_string());
        if let Some(advice) = advice(&error) {
            failure = failure.hint(advice);
        }
        if let Some(words) = servers_words(&error) {
            failure = failure.hint(format!("The server says: {words}"));
        }
        if let Some(id) = error.trace_id() {
            failure = failure.hint(format!("For the server's support: x-trace-id {id}"));
        }
        failure
    }
}

/// What to do about an error, where its text does not say so.
fn advice(error: &Error) -> Option<String> {
    Some(match error.kind() {
        ErrorKind::TokenFetch if error.status().is_some() => {
            "Check CXONE_CLIENT_ID, CXONE_CLIENT_SECRET, the access key if there is one, and the \
             address of the token endpoint; `cxone doctor` says more."
                .into()
        }
        ErrorKind::Auth => "Check what the OAuth client is allowed to do.".into(),
        ErrorKind::Server => "The trouble is the server's. Try again later.".into(),
        ErrorKind::Network | ErrorKind::Timeout | ErrorKind::TokenFetch => {
            let check = "Check CXONE_BASE_URL, or CXONE_ISSUER, and the network.";
            match root_cause(error) {
                Some(cause) => format!("{check} The cause: {cause}"),
                None => check.into(),
            }
        }
        ErrorKind::RateLimited { retry_at, .. } => {
            let wait = retry_at.duration_since(SystemTime::now()).unwrap_or_default();
            format!("The server accepts requests again in {}.", rounded_up(wait))
        }
        _ => return None,
    })
}

/// What the server says about an error, if it says it in one of the usual fields. Not for a token
/// fetch: what that endpoint says may quote what it was sent.
fn servers_words(error: &Error) -> Option<String> {
    if matches!(error.kind(), ErrorKind::TokenFetch) {
        return None;
    }
    let body: Value = serde_json::from_slice(error.body()?).ok()?;
    words_of(&body)
}

fn words_of(body: &Value) -> Option<String> {
    let field = |name: &&str| body.get(name)?.as_str();
    let words = ["errorMessage", "message", "error_description"].iter().find_map(field);
    // Digital: `{"errors": [{"errorCode", "field", "message"}]}`.
    let words = words.or_else(|| body.pointer("/errors/0/message")?.as_str())?;
    // A terminal obeys some characters, and nobody reads on for ever.
    let words: String = words.chars().filter(|c| !c.is_control()).take(200).collect();
    (!words.is_empty()).then_some(words)
}

/// A span as people say it, never less than it is.
fn rounded_up(span: Duration) -> String {
    let seconds = span.as_secs_f64();
    match seconds {
        ..120.0 => format!("{} s", seconds.ceil()),
        ..7200.0 => format!("{} min", (seconds / 60.0).ceil()),
        _ => format!("{} h", (seconds / 3600.0).ceil()),
    }
}

/// The last of the causes, if its text is not the error's own.
fn root_cause(error: &Error) -> Option<String> {
    let mut cause = error.source()?;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let (cause, text) = (cause.to_string(), error.to_string());
    (!text.contains(&cause)).then_some(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_says_is_found_where_each_api_says_it() {
        for body in [
            serde_json::json!({ "errorCode": "x", "errorMessage": "gone" }),
            serde_json::json!({ "errors": [{ "errorCode": "x", "message": "gone" }], "uid": "u" }),
        ] {
            assert_eq!(words_of(&body).as_deref(), Some("gone"));
        }
        assert_eq!(words_of(&serde_json::json!({ "errors": [] })), None);
    }

    #[test]
    fn a_span_is_rounded_up_to_what_people_say() {
        let shown = |seconds| rounded_up(Duration::from_secs_f64(seconds));
        assert_eq!(shown(0.2), "1 s");
        assert_eq!(shown(119.0), "119 s");
        assert_eq!(shown(901.0), "16 min");
        assert_eq!(shown(7201.0), "3 h");
    }
}
