//! `cxone`: the command of a client for the NICE CXone REST APIs that knows about rate limits.
//!
//! | file | owns |
//! |---|---|
//! | `main.rs` | arguments, dispatch, exit status |
//! | `sync.rs` | the sync: pages in, records out |
//! | `resource.rs` | what can be synced by name |
//! | `server.rs` | which server: the one of the environment, or the embedded mock |
//! | `explain.rs` | what the client would do with an answer |
//! | `simulate.rs` | what would become of so many requests under a limit |
//! | `output.rs` | where records go: lines, a database |
//! | `checkpoint.rs` | where a sync stands, on disk |
//! | `doctor.rs` | what is wrong with the set-up |
//! | `screen.rs` | what is shown while it runs: lines, bar, countdown |
//! | `waits.rs` | what is waited for, and for how long |
//! | `report.rs` | the closing summary, as text and as JSON |
//! | `failure.rs` | why it failed, and what to do about it |
//! | `signals.rs` | Ctrl-C and its like |

#![forbid(unsafe_code)]

mod checkpoint;
mod doctor;
mod explain;
mod failure;
mod output;
mod report;
mod resource;
mod screen;
mod server;
mod signals;
mod simulate;
mod sync;
mod waits;

use std::{
    env,
    io::{self, IsTerminal},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::failure::Failure;

/// What `-v` shows, in the grammar of `RUST_LOG`.
const VERBOSE: &str = "cxone_client=debug";

/// Sync NICE CXone interactions within the limits of the server.
///
/// Signs in, pages through all interactions and writes them to a file, one JSON record a line.
/// When the server says "slow down", it waits as long as it is told and goes on:
/// nothing is lost, nothing is sent early.
///
/// Try it now, without an account: with none of the variables below set, it syncs a mock
/// server of its own.
#[derive(Parser)]
#[command(name = "cxone", version, args_conflicts_with_subcommands = true, verbatim_doc_comment)]
#[command(after_help = HELP_ENVIRONMENT, after_long_help = HELP_ENVIRONMENT)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    sync: sync::Args,
}

#[derive(Subcommand)]
enum Command {
    /// Sync interactions (what `cxone` alone does), or anything else that pages, to a file
    ///
    /// A sync that was stopped, or killed, goes on where it was when it is run again: the file then
    /// holds each record once.
    #[command(after_help = HELP_ENVIRONMENT)]
    Sync(sync::Command),
    /// Check settings, network, token and APIs, and say what to do about what is wrong
    #[command(after_help = HELP_ENVIRONMENT)]
    Doctor(doctor::Args),
    /// Say what the client would do with an answer, and why
    ///
    /// It reads the head of a response as `curl -i` prints it; of several in a row the last one
    /// counts, and the body is ignored.
    #[command(after_help = explain::HELP_EXAMPLES)]
    Explain(explain::Args),
    /// Say how long so many requests take under a limit, before anyone sends them
    ///
    /// It runs the client's own engine against a model of the server, in virtual time.
    #[command(after_help = simulate::HELP_EXAMPLES)]
    Simulate(simulate::Args),
    /// Run a mock CXone server in the foreground, to try integrations on
    Mock(cxone_mock::cli::Args),
}

const HELP_ENVIRONMENT: &str = "\
Environment (a file .env in the working directory fills what is not set):
  CXONE_BASE_URL       https://YOUR_SUBDOMAIN.api.nicecxone.com
  CXONE_CLIENT_ID      id of an OAuth client with the client credentials grant
  CXONE_CLIENT_SECRET  its secret
  CXONE_TOKEN_URL      token endpoint [default: /oauth2/token under the base URL]
For NICE's own platform, with the access key of a user, in place of CXONE_BASE_URL:
  CXONE_ACCESS_KEY_ID, CXONE_ACCESS_KEY_SECRET
  CXONE_ISSUER         [default: https://cxone.niceincontact.com]
  RUST_LOG             what to log to stderr, such as cxone_client=debug

Exit status: 0 all is synced, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C, 143 by SIGTERM,
141 as whoever read the output closed it.
After a failure or a stop the file holds every page that had come, and the next run goes on.";

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command.unwrap_or(Command::Sync(cli.sync.into())) {
        Command::Sync(command) => {
            log(command.args.verbose);
            sync::run(command).await
        }
        Command::Doctor(args) => {
            log(args.verbose);
            doctor::run(args).await
        }
        Command::Explain(args) => explain::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Mock(args) => {
            cxone_mock::cli::run(args).await.map(|()| ExitCode::SUCCESS).map_err(Failure::from)
        }
    };
    result.unwrap_or_else(|failure| {
        failure.print();
        failure.exit_code()
    })
}

/// Logs to stderr what `RUST_LOG` or `-v` asks for; by default nothing.
fn log(verbose: bool) {
    let filter = match env::var("RUST_LOG") {
        Ok(wanted) => EnvFilter::builder().parse_lossy(wanted),
        Err(_) if verbose => EnvFilter::new(VERBOSE),
        Err(_) => return,
    };
    let colours = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours);
    log.with_writer(io::stderr).init();
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }
}
