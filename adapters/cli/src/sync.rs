//! The sync: pages in, records out.

use std::{
    env,
    io::{self, Write},
    process::ExitCode,
    time::Instant,
};

use cxone_client::{Client, Close, Notice, PauseReason, TokenFailure};
use futures_util::StreamExt;
use serde_json::Value;
use tokio::sync::oneshot;

use crate::{
    failure::Failure,
    output::{Output, Target},
    report::{Report, Summary},
    screen::{Messages, Screen},
    server::{EmbeddedMock, MockArgs, Server},
    signals::{self, Stop},
    waits::{Wait, Waits},
};

/// Told when the server does not answer at all.
const UNREACHABLE: &str =
    "  Is CXONE_BASE_URL right, and the network up? It is tried again until Ctrl-C, for up to 1 h.";

/// The options of a sync.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// File to write, one JSON record a line; - for standard output
    #[arg(long, value_name = "FILE", default_value = "interactions.ndjson")]
    out: Target,

    /// Print nothing but one JSON object at the end
    #[arg(long)]
    json: bool,

    /// Interactions to ask for at once; the server has its own maximum
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    page_size: u32,

    /// Log to standard error what the client does, as RUST_LOG=cxone_client=debug
    #[arg(short, long)]
    pub(crate) verbose: bool,

    #[command(flatten)]
    mock: MockArgs,
}

/// Runs a sync to its end.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let started = Instant::now();
    let stop = signals::watch()?;
    let mut screen = Screen::new(args.messages());
    screen.line("[Init] Starting CXone interaction sync...");
    let server = Server::find(&args.mock).await?;
    let output = Output::open(&args.out)?;
    if let Some(mock) = &server.mock {
        screen.line(introduction(mock));
    }
    // Log lines and a bar would draw over each other.
    if !args.verbose && env::var_os("RUST_LOG").is_none() {
        screen.show_bar(server.mock.as_ref().map(|mock| mock.interactions as u64));
    }

    let mut sync = Sync { stop, screen, output, waits: Waits::default(), answered: false };
    let end = sync.copy(&server.client, args.page_size).await;
    sync.screen.close();
    server.client.close(Close::Abort).await;
    let Sync { screen, mut output, waits, .. } = sync;
    match end {
        Ok(()) => {}
        Err(End::Failed(failure)) => return Err(failure.hint(output.kept())),
        Err(End::Stopped(stop)) => {
            let _ = writeln!(io::stderr(), "[Stopped] {}", output.kept());
            return Ok(ExitCode::from(stop.exit_status()));
        }
    }

    let stats = server.client.stats().await;
    let report = Report {
        interactions: output.records(),
        unique: output.unique(),
        requests: stats.sends,
        throttled: stats.throttled,
        token_fetches: stats.token_fetches,
        early: server.mock.as_ref().map(|mock| mock.mock.stats().early),
        elapsed_ms: started.elapsed().as_millis() as u64,
        out: args.out.to_string(),
    };
    if args.json {
        print_json(&report, &args.out)?;
    } else {
        let ideal = server.mock.as_ref().map(|mock| mock.ideal(args.page_size));
        let n = report.interactions;
        screen.line(format_args!("[Complete] Successfully synced {n} interactions."));
        screen.line(Summary { report: &report, waits: &waits, ideal });
    }
    Ok(ExitCode::SUCCESS)
}

impl Args {
    fn messages(&self) -> Messages {
        match (self.json, &self.out) {
            (true, _) => Messages::Off,
            (false, Target::Stdout) => Messages::Stderr,
            (false, Target::File(_)) => Messages::Stdout,
        }
    }
}

/// A sync under way.
struct Sync {
    stop: oneshot::Receiver<Stop>,
    screen: Screen,
    output: Output,
    waits: Waits,
    /// Whether the server ever answered, or the user was told what to check since it does not.
    answered: bool,
}

/// Why a sync ended before the last page.
enum End {
    Failed(Failure),
    Stopped(Stop),
}

impl Sync {
    /// Copies all pages to the output. Between any two awaits the output holds whole pages.
    async fn copy(&mut self, client: &Client, page_size: u32) -> Result<(), End> {
        let mut notices = client.notices();
        let mut pages = client.interactions::<Value>().page_size(page_size).pages();
        loop {
            tokio::select! {
                // In this order, so that what led to a page is told before it.
                biased;
                Ok(stop) = &mut self.stop => return Err(End::Stopped(stop)),
                Some(notice) = notices.recv() => {
                    let now = Instant::now();
                    if let Some(wait) = Wait::new(&notice, now) {
                        self.waits.add(&wait, now);
                        self.screen.wait(&notice, wait);
                        self.warn_if_unreachable(&notice);
                    }
                }
                () = self.screen.frame() => {}
                page = pages.next() => {
                    let Some(page) = page else { return Ok(()) };
                    let page = page.map_err(|error| End::Failed(error.into()))?;
                    self.answered = true;
                    self.output.write_page(&page.items).map_err(End::Failed)?;
                    self.screen.page(page.items.len(), page.total);
                }
            }
        }
    }

    /// Says once what to check if the first that is heard of the server is silence: the client
    /// goes on trying for long, and an address with a typing error never answers.
    fn warn_if_unreachable(&mut self, notice: &Notice) {
        let silent = matches!(
            notice,
            Notice::TokenRetrying { failure: TokenFailure::Network, .. }
                | Notice::Paused { reason: PauseReason::Outage, .. }
        );
        if silent && !self.answered {
            self.screen.warn(UNREACHABLE);
        }
        self.answered = true;
    }
}

fn introduction(mock: &EmbeddedMock) -> String {
    let EmbeddedMock { mock, interactions, limit } = mock;
    format!(
        "[Mock] This is a trial run against the embedded mock at {}: {interactions} interactions, \
         rate limit {limit} ({} requests in {:?}).\n\
         [Mock] For the real thing set CXONE_BASE_URL, CXONE_CLIENT_ID and CXONE_CLIENT_SECRET.",
        mock.url(),
        limit.quota,
        limit.window,
    )
}

/// Prints the report where messages go.
fn print_json(report: &Report, out: &Target) -> Result<(), Failure> {
    let mut line = serde_json::to_string(report).map_err(io::Error::from)?;
    line.push('\n');
    let printed = match out {
        Target::File(_) => io::stdout().write_all(line.as_bytes()),
        Target::Stdout => io::stderr().write_all(line.as_bytes()),
    };
    printed.map_err(|error| Failure::io("Cannot print the report", &error))
}
