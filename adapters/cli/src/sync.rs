//! The sync: pages in, records out.

use std::{
    env,
    io::{self, Write},
    process::ExitCode,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use cxone_client::{
    Client, Close, ErrorKind, Notice, PageState, PageStream, PageStyle, PauseReason, TokenFailure,
    Wall,
};
use futures_util::StreamExt;
use serde_json::Value;
use tokio::sync::oneshot;

use crate::{
    checkpoint::Source,
    failure::Failure,
    output::{Format, Output, Plan, Target},
    report::{Records, Report, Summary},
    resource::{Resource, singular},
    screen::{Messages, Screen},
    server::{EmbeddedMock, MockArgs, Server},
    signals::{self, Stop},
    waits::{Wait, Waits},
};

/// Told when a scroll cannot be gone on with.
const DEAD_SCROLL: &str =
    "Its scroll token lives for some minutes. If it is dead, begin anew: add --fresh.";

/// What to sync, and how.
#[derive(clap::Args)]
pub(crate) struct Command {
    /// What to sync [default: interactions]
    #[arg(value_name = "RESOURCE", value_parser = clap::builder::PossibleValuesParser::new(Resource::names()))]
    resource: Option<String>,

    /// Sync what is at this path instead
    #[arg(long, conflicts_with = "resource", requires = "style")]
    path: Option<String>,

    /// How the path pages
    #[arg(long, requires = "path", value_parser = clap::builder::PossibleValuesParser::new(PageStyle::all_names()))]
    style: Option<String>,

    /// The field of its answers that holds the records
    #[arg(long, requires = "path", value_name = "FIELD")]
    items: Option<String>,

    /// The field that tells its records apart
    #[arg(long, requires = "path", value_name = "FIELD", default_value = "id")]
    id: String,

    /// From when on, for what is asked for by time: 2026-08-01 or 2026-08-01T12:00:00Z
    /// [default: a day ago]
    #[arg(long, value_name = "TIME", value_parser = read_time)]
    since: Option<Wall>,

    /// Until when; of contacts-completed the page that passes it is kept whole [default: now]
    #[arg(long, value_name = "TIME", value_parser = read_time)]
    until: Option<Wall>,

    /// A parameter for each request, such as a filter; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = read_pair)]
    query: Vec<(String, String)>,

    #[command(flatten)]
    pub(crate) args: Args,
}

/// The options that `cxone` alone has, too.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// File to write; - for standard output [default: interactions.ndjson, or what is synced]
    #[arg(long, value_name = "FILE")]
    out: Option<Target>,

    /// How to write it [default: as the file's name ends, else ndjson]
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// Begin anew, and replace what is there
    #[arg(long, conflicts_with = "resume")]
    fresh: bool,

    /// Go on where the last run was stopped (the default)
    #[arg(long)]
    resume: bool,

    /// Print nothing but one JSON object at the end
    #[arg(long)]
    json: bool,

    /// Records to ask for at once; the server has its own maximum
    /// [default: 100 interactions, or what suits the resource]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    page_size: Option<u32>,

    /// Log to standard error what the client does, as RUST_LOG=cxone_client=debug
    #[arg(short, long)]
    pub(crate) verbose: bool,

    #[command(flatten)]
    mock: MockArgs,
}

impl From<Args> for Command {
    fn from(args: Args) -> Command {
        Command {
            resource: None,
            path: None,
            style: None,
            items: None,
            id: String::new(),
            since: None,
            until: None,
            query: Vec::new(),
            args,
        }
    }
}

/// Runs a sync to its end.
pub(crate) async fn run(command: Command) -> Result<ExitCode, Failure> {
    let started = Instant::now();
    let stop = signals::watch()?;
    let resource = command.resource()?;
    let (since, until) = command.times(&resource)?;
    let args = &command.args;
    let out = command.target(&resource);
    let mut screen = Screen::new(args.messages(&out), &resource.noun);
    let what = singular(&resource.noun);
    screen.line(format_args!("[Init] Starting CXone {what} sync..."));
    let server = Server::find(&args.mock).await?;
    let plan = Plan {
        target: &out,
        format: args.format.unwrap_or_else(|| out.format()),
        source: command.source(&resource, &server, &out),
        since,
        until,
        asked: (command.since.map(Wall::as_millis), command.until.map(Wall::as_millis)),
        resource: &resource,
        fresh: args.fresh,
    };
    let mut checkpoint = plan.checkpoint()?;
    let goes_on = resource.style.overlaps();
    // An earlier run has come so far already.
    let passed = checkpoint.until.filter(|_| goes_on);
    let passed = passed.is_some_and(|until| has_passed(&checkpoint.state, until));
    checkpoint.state.done |= passed;
    let (since, until, state) = (checkpoint.since, checkpoint.until, checkpoint.state.clone());
    let mut output = Output::open(&plan, checkpoint)?;
    if let Some(mock) = &server.mock {
        screen.line(introduction(mock));
    }
    if state.pages > 0 {
        let (n, noun) = (state.items, &resource.noun);
        screen.line(format_args!("[Resume] Going on after {n} {noun} in {out}."));
    }
    // Log lines and a bar would draw over each other.
    if !args.verbose && env::var_os("RUST_LOG").is_none() {
        screen.show_bar(server.mock.as_ref().map(|mock| mock.interactions as u64));
    }

    let mut style = resource.style.clone();
    if let Some(size) = args.page_size {
        style = style.page_size(size);
    }
    if let Some(since) = since {
        style = style.since(Wall::from_millis(since));
    }
    if let Some(until) = until {
        style = style.until(Wall::from_millis(until));
    }
    // What is asked for by time of update has something after its end.
    let until = until.filter(|_| goes_on);
    let pages = server.client.paginate::<Value>(&resource.path).style(style);
    let pages_before = state.pages;
    let scrolls = pages_before > 0 && resource.style.name() == "scroll";
    let pages = match pages_before {
        0 => pages,
        _ => pages.resume(state),
    };
    let pages = pages.query(&command.query).pages();
    let mut sync = Sync { stop, screen, output, waits: Waits::default(), answered: false, scrolls };
    let end = match passed {
        true => Ok(()),
        false => sync.copy(&server.client, pages, until).await,
    };
    sync.screen.close();
    server.client.close(Close::Abort).await;
    let Sync { screen, waits, .. } = sync;
    output = sync.output;
    let end = end.and_then(|()| output.finish(goes_on).map_err(End::Failed));
    match end {
        Ok(()) => {}
        Err(End::Failed(failure)) => return Err(failure.hint(output.kept())),
        Err(End::Stopped(stop)) => {
            let _ = writeln!(io::stderr(), "[Stopped] {}", output.kept());
            return Ok(ExitCode::from(stop.exit_status()));
        }
    }

    let stats = server.client.stats().await;
    let n = output.records();
    let interactions = resource.name == "interactions";
    let report = Report {
        resource: (!interactions).then(|| resource.name.clone()),
        records: if interactions { Records::Interactions(n) } else { Records::Records(n) },
        unique: output.unique(),
        requests: stats.sends,
        throttled: stats.throttled,
        token_fetches: stats.token_fetches,
        early: server.mock.as_ref().map(|mock| mock.mock.stats().early),
        elapsed_ms: started.elapsed().as_millis() as u64,
        out: out.to_string(),
    };
    if args.json {
        print_json(&report, &out)?;
    } else {
        let noun = &resource.noun;
        let mock = server.mock.as_ref().filter(|_| interactions);
        let ideal = mock.map(|mock| mock.ideal(args.page_size.unwrap_or(100), pages_before));
        screen.line(format_args!("[Complete] Successfully synced {n} {noun}."));
        screen.line(Summary { report: &report, noun, waits: &waits, ideal });
    }
    Ok(ExitCode::SUCCESS)
}

impl Command {
    fn resource(&self) -> Result<Resource, Failure> {
        match (&self.path, &self.style) {
            (Some(path), Some(style)) => {
                let style = PageStyle::named(style)
                    .ok_or_else(|| Failure::new(format!("There is no style {style}")))?;
                let style = match &self.items {
                    Some(items) => style.items(items.clone()),
                    None => style,
                };
                if style.items_field().is_empty() {
                    return Err(Failure::new(format!("The style {} needs --items", style.name())));
                }
                Ok(Resource::other(path, style, &self.id))
            }
            _ => {
                let name = self.resource.as_deref().unwrap_or("interactions");
                Resource::named(name)
                    .ok_or_else(|| Failure::new(format!("There is no resource {name}")))
            }
        }
    }

    /// From when until when, in ms since 1970.
    fn times(&self, resource: &Resource) -> Result<(Option<u64>, Option<u64>), Failure> {
        let (since, until) = (self.since.map(Wall::as_millis), self.until.map(Wall::as_millis));
        if !resource.has_times() {
            return match (since, until) {
                (None, None) => Ok((None, None)),
                _ => Err(Failure::new(format!("{} is not asked for by time", resource.name))
                    .hint("Leave --since and --until away.")),
            };
        }
        let now = now().as_millis();
        let since = since.unwrap_or(now.saturating_sub(DAY_MS));
        let ends = resource.style.name() == "windows";
        let until = until.or(ends.then_some(now));
        if until.is_some_and(|until| until <= since) {
            return Err(Failure::new("--until must be later than --since"));
        }
        Ok((Some(since), until))
    }

    fn target(&self, resource: &Resource) -> Target {
        self.args.out.clone().unwrap_or_else(|| {
            let extension = self.args.format.map_or("ndjson", Format::extension);
            Target::File(format!("{}.{extension}", resource.name).into())
        })
    }

    fn source(&self, resource: &Resource, server: &Server, out: &Target) -> Source {
        Source {
            server: server.name(),
            account: server.account(),
            path: resource.path.clone(),
            style: resource.style.name().to_owned(),
            items: resource.style.items_field().to_owned(),
            query: self.query.clone(),
            format: self.args.format.unwrap_or_else(|| out.format()).name().to_owned(),
        }
    }
}

/// How long `2026-08-01` is.
const DATE: usize = 10;

const DAY_MS: u64 = 24 * 3600 * 1000;

fn now() -> Wall {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall::from_millis(since_1970.as_millis() as u64)
}

/// A date, which is its midnight in UTC, or a moment.
fn read_time(text: &str) -> Result<Wall, String> {
    let moment = match text.len() {
        DATE => format!("{text}T00:00:00Z").parse::<jiff::Timestamp>(),
        _ => text.parse(),
    };
    let millis = moment.map_err(|error| error.to_string())?.as_millisecond();
    u64::try_from(millis).map(Wall::from_millis).map_err(|_| "it is before 1970".to_owned())
}

fn read_pair(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Args {
    fn messages(&self, out: &Target) -> Messages {
        match (self.json, out) {
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
    /// Whether it goes on with another run's scroll token.
    scrolls: bool,
}

/// Why a sync ended before the last page.
enum End {
    Failed(Failure),
    Stopped(Stop),
}

impl Sync {
    /// Copies all pages to the output. Between any two awaits the output holds whole pages.
    async fn copy(
        &mut self,
        client: &Client,
        mut pages: PageStream<Value>,
        until: Option<u64>,
    ) -> Result<(), End> {
        let mut notices = client.notices();
        loop {
            tokio::select! {
                // In this order, so that what led to a page is told before it.
                biased;
                Ok(stop) = &mut self.stop => return Err(End::Stopped(stop)),
                Some(notice) = notices.recv() => {
                    let now = Instant::now();
                    if let Some(wait) = Wait::new(&notice, now) {
                        self.waits.add(&wait, now);
                        let warning = self.is_unreachable(&notice).then(|| unreachable(client));
                        self.screen.wait(&notice, wait, warning.as_deref());
                    }
                }
                () = self.screen.frame() => {}
                page = pages.next() => {
                    let Some(page) = page else { return Ok(()) };
                    let page = page.map_err(|error| {
                        let refused = error.status().is_some_and(|it| it.is_client_error());
                        let dead = self.scrolls && refused && !matches!(error.kind(), ErrorKind::Auth);
                        let failure = Failure::from(error);
                        End::Failed(if dead { failure.hint(DEAD_SCROLL) } else { failure })
                    })?;
                    self.answered = true;
                    let passed = until.is_some_and(|until| has_passed(&page.state, until));
                    let mut state = page.state;
                    state.done |= passed;
                    self.output.write_page(&page.items, state).map_err(End::Failed)?;
                    self.screen.page(page.items.len(), page.total);
                    if passed {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Is the first that is heard of the server silence? The client goes on trying for long, and an
    /// address with a typing error never answers. It is said once.
    fn is_unreachable(&mut self, notice: &Notice) -> bool {
        let silent = matches!(
            notice,
            Notice::TokenRetrying { failure: TokenFailure::Network, .. }
                | Notice::Paused { reason: PauseReason::Outage, .. }
        );
        let unreachable = silent && !self.answered;
        self.answered = true;
        unreachable
    }
}

/// Told when the server does not answer at all.
fn unreachable(client: &Client) -> String {
    let setting = if client.base_url().is_some() { "CXONE_BASE_URL" } else { "CXONE_ISSUER" };
    format!(
        "  Is {setting} right, and the network up? It is tried again until Ctrl-C, for up to 1 h."
    )
}

/// Is what comes next asked for from after that moment on?
fn has_passed(state: &PageState, until: u64) -> bool {
    let cursor = state.cursor.as_deref().and_then(|time| read_time(time).ok());
    cursor.is_some_and(|time| time.as_millis() > until)
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
