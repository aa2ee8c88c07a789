//! Ctrl-C, and SIGTERM where there is one.

use std::{io, process};

use tokio::sync::oneshot;

/// A signal that asks the command to stop.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stop {
    /// Ctrl-C: SIGINT.
    Interrupt,
    /// SIGTERM.
    #[cfg(unix)]
    Terminate,
}

impl Stop {
    /// The exit status: 128 and the number of the signal, as shells count.
    pub(crate) fn exit_status(self) -> u8 {
        match self {
            Stop::Interrupt => 130,
            #[cfg(unix)]
            Stop::Terminate => 143,
        }
    }
}

/// Tells of the first signal; the second one ends the process at once.
pub(crate) fn watch() -> io::Result<oneshot::Receiver<Stop>> {
    let mut signals = Signals::listen()?;
    let (tell, told) = oneshot::channel();
    tokio::spawn(async move {
        // Nobody listens any more once the sync is over.
        let _ = tell.send(signals.next().await);
        let again = signals.next().await;
        process::exit(again.exit_status().into());
    });
    Ok(told)
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> io::Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> Stop {
        tokio::select! {
            _ = self.interrupt.recv() => Stop::Interrupt,
            _ = self.terminate.recv() => Stop::Terminate,
        }
    }
}

#[cfg(windows)]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    fn listen() -> io::Result<Signals> {
        tokio::signal::windows::ctrl_c().map(Signals)
    }

    async fn next(&mut self) -> Stop {
        self.0.recv().await;
        Stop::Interrupt
    }
}
