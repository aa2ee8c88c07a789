//! The real command against a mock in the test's process.

mod embedded;
mod explain;
mod failures;
mod faults;
mod lines;
mod records;
mod resources;
mod resume;
mod settings;
mod signals;
mod simulate;

use std::{
    fs,
    path::PathBuf,
    process::{Output, Stdio},
};

use cxone_mock::{Builder, Mock};
use tempfile::TempDir;
use tokio::process::Command;

/// No substring of anything else, so that a leak is seen; the end is the platform's way.
const SECRET: &str = "hunter2-s3cr3t====";

/// A mock that knows the one client of these tests.
async fn start(builder: Builder) -> Mock {
    builder.client("test-client", SECRET).start().await.unwrap()
}

/// A mock with so many interactions and no limit.
async fn mock(interactions: usize) -> Mock {
    start(Mock::builder().interactions(interactions)).await
}

/// A working directory of its own for a test, empty at first; it goes with this.
struct Dir(TempDir);

impl Dir {
    /// Its name begins with that of the test.
    fn new(test: &str) -> Dir {
        Dir(tempfile::Builder::new().prefix(test).tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// What is in it, by name.
    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// `cxone` in this directory, with nothing of the tester's own environment in its way.
    fn cxone(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cxone"));
        command.args(args).current_dir(self.0.path()).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("CXONE_") || name == "RUST_LOG" {
                command.env_remove(&*name);
            }
        }
        command.env("NO_PROXY", "*");
        command
    }

    /// `cxone` with the environment set up for that mock.
    fn cxone_for(&self, mock: &Mock, args: &[&str]) -> Command {
        let mut command = self.cxone(args);
        command.env("CXONE_BASE_URL", mock.url());
        command.env("CXONE_CLIENT_ID", "test-client").env("CXONE_CLIENT_SECRET", SECRET);
        command
    }

    /// A run against that mock.
    async fn run(&self, mock: &Mock, args: &[&str]) -> Run {
        Run::of(self.cxone_for(mock, args)).await
    }

    /// The ids in a file of records, in their order.
    fn ids(&self, name: &str) -> Vec<String> {
        ids(&self.read(name))
    }
}

/// How a run ended and what it printed.
struct Run {
    status: i32,
    stdout: String,
    stderr: String,
}

impl Run {
    async fn of(mut command: Command) -> Run {
        Run::from(command.output().await.unwrap())
    }

    /// Panics unless it went well.
    fn expect_success(self) -> Run {
        assert_eq!(self.status, 0, "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// Panics unless it failed with this line and nothing of the secret in it.
    fn expect_fatal(self, message: &str) -> Run {
        assert_eq!(self.status, 1, "{}\n{}", self.stdout, self.stderr);
        let line = format!("[Fatal] {message}");
        assert!(self.stderr.lines().any(|it| it == line), "{line}\n{}", self.stderr);
        assert!(!self.stdout.contains("hunter2") && !self.stderr.contains("hunter2"));
        self
    }

    /// The one JSON object that it printed, and nothing else.
    fn json(&self) -> serde_json::Value {
        assert_eq!(self.stderr, "");
        assert_eq!(self.stdout.lines().count(), 1, "{}", self.stdout);
        serde_json::from_str(&self.stdout).unwrap()
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Run {
        Run {
            status: output.status.code().expect("an exit status"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

fn ids(records: &str) -> Vec<String> {
    let id = |line| {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        record["id"].as_str().unwrap().to_owned()
    };
    records.lines().map(id).collect()
}

/// The ids of the mock's first `n` interactions.
fn all_ids(n: usize) -> Vec<String> {
    (0..n).map(cxone_mock::interaction_id).collect()
}
