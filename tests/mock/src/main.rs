//! The mock as a command of its own.

use std::process::ExitCode;

use clap::Parser;

/// A scriptable stand-in for the NICE CXone REST APIs.
#[derive(Parser)]
#[command(version)]
struct Command {
    #[command(flatten)]
    args: cxone_mock::cli::Args,
}

#[tokio::main]
async fn main() -> ExitCode {
    match cxone_mock::cli::run(Command::parse().args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cxone-mock: {error}");
            ExitCode::FAILURE
        }
    }
}
