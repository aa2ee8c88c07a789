//! What is shown while a sync runs: lines, and on a terminal a bar with the countdown of a wait.

use std::{
    fmt::Display,
    future,
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::waits::Wait;

/// Often enough for a countdown in tenths of a second.
const FRAME: Duration = Duration::from_millis(100);

/// Where messages go. The records have standard output for themselves, if they go there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Messages {
    /// To standard output; what is wrong, to standard error.
    Stdout,
    /// All to standard error.
    Stderr,
    /// Nowhere, but for what needs the user, to standard error.
    Off,
}

/// What the user sees.
pub(crate) struct Screen {
    messages: Messages,
    /// What records are called.
    noun: String,
    bar: Option<Bar>,
}

struct Bar {
    bar: ProgressBar,
    frames: Interval,
    wait: Option<Wait>,
}

impl Screen {
    /// A screen without a bar.
    pub(crate) fn new(messages: Messages, noun: &str) -> Screen {
        Screen { messages, noun: noun.to_owned(), bar: None }
    }

    /// Adds a bar, if there is a terminal for it. `total` is unknown for a real server.
    pub(crate) fn show_bar(&mut self, total: Option<u64>) {
        let stdout_taken = self.messages == Messages::Stderr && io::stdout().is_terminal();
        if self.messages != Messages::Off && io::stderr().is_terminal() && !stdout_taken {
            self.bar = Some(Bar::new(total, &self.noun));
        }
    }

    /// Prints a message.
    pub(crate) fn line(&self, text: impl Display) {
        match self.messages {
            Messages::Stdout => self.print(io::stdout(), text),
            Messages::Stderr => self.print(io::stderr(), text),
            Messages::Off => {}
        }
    }

    /// Shows how far the sync is.
    pub(crate) fn page(&mut self, items: usize, total: u64) {
        if let Some(bar) = &mut self.bar {
            // Whatever was waited for is over.
            bar.wait = None;
            bar.bar.set_message("");
            bar.bar.set_position(total);
        }
        let noun = &self.noun;
        self.line(format_args!("[Pagination] Fetched {items} {noun}. Total: {total}"));
    }

    /// Prints what the user has to look after.
    pub(crate) fn warn(&self, text: impl Display) {
        self.print(io::stderr(), text);
    }

    /// Shows a wait that has begun, and what to look after if that is why.
    pub(crate) fn wait(&mut self, text: impl Display, wait: Wait, warning: Option<&str>) {
        if self.messages != Messages::Off || warning.is_some() {
            self.warn(text);
        }
        if let Some(warning) = warning {
            self.warn(warning);
        }
        if let Some(bar) = &mut self.bar {
            bar.wait = Some(wait);
            bar.draw();
        }
    }

    /// Draws the next frame of the bar when it is due; without a bar, never.
    pub(crate) async fn frame(&mut self) {
        match &mut self.bar {
            Some(bar) => {
                bar.frames.tick().await;
                bar.draw();
            }
            None => future::pending().await,
        }
    }

    /// Takes the bar away.
    pub(crate) fn close(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.bar.finish_and_clear();
        }
    }

    /// Whoever closed the stream does not want to know: the sync goes on without it.
    fn print(&self, mut to: impl Write, text: impl Display) {
        let mut print = || {
            let _ = writeln!(to, "{text}");
        };
        match &self.bar {
            Some(bar) => bar.bar.suspend(print),
            None => print(),
        }
    }
}

impl Bar {
    fn new(total: Option<u64>, noun: &str) -> Bar {
        let template = match total {
            Some(_) => "{spinner} {bar:20} {pos}/{len}  {wide_msg}".to_owned(),
            None => format!("{{spinner}} {{pos}} {noun}  {{wide_msg}}"),
        };
        let style = ProgressStyle::with_template(&template).expect("the templates are valid");
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
        let mut frames = interval(FRAME);
        frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Bar { bar: bar.with_style(style), frames, wait: None }
    }

    fn draw(&self) {
        let wait = self.wait.as_ref().and_then(|wait| wait.countdown(Instant::now()));
        self.bar.set_message(wait.unwrap_or_default());
        self.bar.tick();
    }
}
