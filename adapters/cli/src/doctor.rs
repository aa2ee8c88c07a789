//! What is wrong with the set-up, and what to do about it: no secret is ever on the screen.

use std::{
    error::Error as _,
    fmt::Display,
    io::{self, Write},
    process::ExitCode,
    time::{Duration, SystemTime},
};

use cxone_client::{Client, Close, Error, ErrorKind};
use reqwest::{Url, header};

use crate::{failure::Failure, server};

/// Long enough for a slow network, short enough for who is waiting.
const PATIENCE: Duration = Duration::from_secs(20);

/// A clock that is wrong by more than this makes tokens and windows wrong.
const SKEW: Duration = Duration::from_secs(30);

/// The APIs that are asked, by name, each with the cheapest question that it has.
const APIS: [(&str, &str); 7] = [
    ("ACD", "/incontactapi/services/v34.0/agents?top=1"),
    ("Digital", "/dfo/3.0/contacts"),
    ("Users", "/user-management/v1/users/search"),
    ("Data Extraction", "/data-extraction/v1/jobs"),
    ("Media Playback", "/media-playback/v1/contacts"),
    ("Analytics", "/interaction-analytics-gateway/v2/segments/analyzed?pageSize=1"),
    ("Gateway", "/api/v2.0/interactions?page_size=1"),
];

/// The options of the doctor.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Log to standard error what the client does, as RUST_LOG=cxone_client=debug
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// Checks one thing after the other, and tells of each.
pub(crate) async fn run(_: Args) -> Result<ExitCode, Failure> {
    let mut report = Report { failed: false };
    let found = Client::found_in_env()?;
    let Some(client) = server::from_environment()? else {
        return Err(Failure::new("No CXONE_ variable is set").hint(
            "Set CXONE_BASE_URL, CXONE_CLIENT_ID and CXONE_CLIENT_SECRET for a gateway; for NICE's \
             own platform CXONE_ACCESS_KEY_ID and CXONE_ACCESS_KEY_SECRET in place of the first.",
        ));
    };
    report.good("settings", found.join(", "));
    if reach(&mut report, client.configured_url()).await {
        sign_in(&mut report, &client).await;
    }
    client.close(Close::Abort).await;
    Ok(if report.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Name, connection, certificate and clock of a host.
async fn reach(report: &mut Report, url: &Url) -> bool {
    let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default());
    let addresses = tokio::net::lookup_host((host, port.unwrap_or(443))).await;
    match addresses.map(Iterator::count) {
        Ok(n) => report.good("DNS", format_args!("{host} has {n} addresses")),
        Err(error) => {
            let todo = "Check the host's name for typing errors, and the network's DNS.";
            return report.bad("DNS", format_args!("{host}: {error}"), todo);
        }
    }
    let http = match reqwest::Client::builder().timeout(PATIENCE).build() {
        Ok(http) => http,
        Err(error) => return report.bad("TLS", error, "Check the system's certificates."),
    };
    let answer = match http.get(url.clone()).send().await {
        Ok(answer) => answer,
        Err(error) => {
            let todo = if error.is_timeout() {
                "A firewall may drop what is sent there: ask whoever runs the network."
            } else {
                "Check address, proxy (HTTPS_PROXY) and certificate: a proxy that opens TLS needs \
                 its certificate among the system's."
            };
            return report.bad("TLS", root_cause(&error.without_url()), todo);
        }
    };
    report.good(
        if url.scheme() == "https" { "TLS" } else { "connection" },
        url.origin().ascii_serialization(),
    );
    let date = answer.headers().get(header::DATE).and_then(|date| date.to_str().ok());
    match date.and_then(|date| httpdate::parse_http_date(date).ok()) {
        None => report.good("clock", "the server sends no Date to compare it with"),
        Some(date) => {
            let now = SystemTime::now();
            let skew = now.duration_since(date).unwrap_or_else(|early| early.duration());
            if skew > SKEW {
                let todo = "Set this machine's clock, by NTP for example: time-out of tokens and \
                            of windows are reckoned by it.";
                report.bad("clock", format_args!("{} s off the server's", skew.as_secs()), todo);
            } else {
                report.good("clock", "as the server's");
            }
        }
    }
    true
}

/// Token, discovery, then each API.
async fn sign_in(report: &mut Report, client: &Client) {
    let mut signed_in = false;
    let discovers = client.base_url().is_none();
    for (name, path) in APIS {
        let request = match name {
            "Users" => client.post(path).json(&serde_json::json!({ "top": 1 })).idempotent(),
            _ => client.get(path),
        };
        let result = request.deadline(PATIENCE).send().await;
        if let Err(error) = &result
            && *error.kind() == ErrorKind::TokenFetch
        {
            report.bad("token", describe(error), token_advice(error));
            return;
        }
        if !signed_in {
            signed_in = true;
            report.good("token", "granted");
            if let Some(base) = client.base_url() {
                let found = base.origin() != client.configured_url().origin();
                if discovers {
                    report.good("tenant", "named by the token");
                }
                report.good("API host", base.origin().ascii_serialization());
                if found && !reach(report, base).await {
                    return;
                }
            }
        }
        match result {
            Ok(response) => report.good(name, response.status()),
            Err(error) => match (error.kind(), error.status().map(|status| status.as_u16())) {
                (ErrorKind::Auth, _) => report.note(
                    name,
                    describe(&error),
                    "Give the user's role the permission for this API, if you need it.",
                ),
                (_, Some(404)) => report.note(name, "not at this address", "Fine, if unused."),
                (ErrorKind::RateLimited { .. }, _) | (_, Some(429)) => {
                    report.note(name, describe(&error), "It answers, and is busy: try later.")
                }
                (_, Some(400..=499)) => report.good(name, format_args!("answers ({error})")),
                _ => {
                    report.bad(name, describe(&error), "The trouble is the server's: try later.");
                }
            },
        }
    }
}

/// What to do about a token that cannot be had.
fn token_advice(error: &Error) -> &'static str {
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    match error.status().map(|status| status.as_u16()) {
        _ if cause.contains("tenantId") => "Set CXONE_BASE_URL to the address of the API.",
        _ if cause.contains("configuration") => {
            "Check CXONE_ISSUER: https://cxone.niceincontact.com, or that of your region."
        }
        _ if cause.contains("invalid_grant") => {
            "Check CXONE_ACCESS_KEY_ID and CXONE_ACCESS_KEY_SECRET: the key may be disabled."
        }
        Some(400 | 401) => "Check CXONE_CLIENT_ID and CXONE_CLIENT_SECRET.",
        Some(404) => "Check CXONE_TOKEN_URL, or CXONE_BASE_URL.",
        Some(_) => "The token endpoint is unwell: try later.",
        None => "The token endpoint does not answer: check CXONE_ISSUER or CXONE_TOKEN_URL.",
    }
}

/// An error with its cause, which the client has cleaned of secrets.
fn describe(error: &Error) -> String {
    match error.source() {
        Some(cause) => format!("{error} ({cause})"),
        None => error.to_string(),
    }
}

fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

struct Report {
    failed: bool,
}

impl Report {
    fn good(&self, what: &str, detail: impl Display) {
        print(format_args!("ok    {what:<16} {detail}"));
    }

    /// Gives `false`, for whoever cannot go on.
    fn bad(&mut self, what: &str, detail: impl Display, todo: &str) -> bool {
        self.failed = true;
        print(format_args!("FAIL  {what:<16} {detail}\n      {:<16} {todo}", ""));
        false
    }

    /// Nothing that has to be mended.
    fn note(&self, what: &str, detail: impl Display, todo: &str) {
        print(format_args!("note  {what:<16} {detail}\n      {:<16} {todo}", ""));
    }
}

/// Whoever closed the stream does not want to know.
fn print(line: impl Display) {
    let _ = writeln!(io::stdout(), "{line}");
}
