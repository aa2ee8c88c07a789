//! An explanation in words.

use std::{fmt, time::Duration};

use cxone_core::retry::Judgement;
use cxone_core::{Backoff, StatedJitter, status_text};

use super::{Action, Verdict, head::Head, millis};

/// What happens with the answer and why; then what else its headers bring about.
pub(super) struct Sentence<'a> {
    pub(super) verdict: &'a Verdict,
    pub(super) head: &'a Head,
}

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sentence { verdict, .. } = self;
        write!(f, "{}", format!("{} {}", verdict.status, status_text(verdict.status)).trim_end())?;
        match verdict.action() {
            Action::Deliver => self.deliver(f)?,
            Action::Throttle => self.throttle(f)?,
            Action::RefreshOnce => self.refresh(f)?,
            Action::Retry => self.retry(f)?,
            Action::Fail => self.fail(f)?,
        }
        self.budget(f)
    }
}

impl Sentence<'_> {
    fn deliver(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verdict { status, method, signals, .. } = self.verdict;
        let states = signals.wait.is_some() && (signals.retry_after || !signals.exhausted);
        f.write_str(" is delivered to the caller")?;
        let followed = matches!(status, 301 | 302 | 303 | 307 | 308)
            && matches!(method.as_str(), "GET" | "HEAD")
            && self.head.get("location").is_some();
        if followed {
            f.write_str(", or followed if its Location is on the same origin")?;
        }
        if states {
            write!(f, "; {}, but nothing was refused, so nothing waits for it", self.stated())?;
        }
        f.write_str(".")
    }

    fn throttle(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " is a throttle{}: {}", self.made_by(), self.pause())?;
        f.write_str(", then the request is sent again, which counts as no attempt.")?;
        self.max_wait(f, "what waits in the scope fails")
    }

    fn refresh(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(" drops the token that the request carried")?;
        // Of several the one about the token that was sent.
        let bearer = |challenge: &&str| {
            let parts = challenge.split([',', ' ', '\t']);
            parts.into_iter().any(|part| part.eq_ignore_ascii_case("bearer"))
        };
        let name = "www-authenticate";
        let challenge = self.head.all(name).find(bearer).or_else(|| self.head.get(name));
        if let Some(challenge) = challenge {
            write!(f, " (the server says {challenge:?})")?;
        }
        f.write_str(
            ": a new one is fetched and the request is sent once more; a second 401 is an auth \
             error.",
        )
    }

    fn retry(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verdict { config, method, .. } = self.verdict;
        write!(f, " may go better next time, and {method} can safely be repeated: ")?;
        f.write_str("the request is sent again after ")?;
        match self.verdict.stated() {
            Some(wait) if wait >= self.verdict.backoff() => {
                write!(f, "{}, as {} states", span(wait), self.signal())?;
            }
            _ => write!(f, "the client's own backoff of {}", own(&config.backoff))?,
        }
        write!(
            f,
            ", in up to {} attempts within {} and as far as the retry budget goes; others need not \
             wait.",
            config.max_attempts,
            span(config.retry_for),
        )?;
        self.max_wait(f, "the request fails")
    }

    fn fail(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verdict { status, method, judgement, .. } = self.verdict;
        match judgement {
            Judgement::Throttled => {
                write!(
                    f,
                    " is a throttle{}: {}; but a 503 does not say that nothing was done, and \
                     {method} is not safe to repeat without an Idempotency-Key, so the request \
                     fails.",
                    self.made_by(),
                    self.pause(),
                )?;
                self.max_wait(f, "what waits in the scope fails")
            }
            Judgement::Transient => write!(
                f,
                " fails: it does not say that nothing was done, and {method} is not safe to repeat \
                 without an Idempotency-Key.",
            ),
            _ if *status == 403 && self.verdict.stated().is_some() => write!(
                f,
                " fails as an auth error: {}, but only a Retry-After or an exhausted limit says \
                 that it is a throttle.",
                self.stated(),
            ),
            _ if *status == 403 => f.write_str(
                " fails as an auth error: neither a Retry-After nor an exhausted limit says that \
                 it is a throttle.",
            ),
            _ => f.write_str(" fails at once: sending it again would not go better."),
        }
    }

    /// What a throttle does to its scope.
    fn pause(&self) -> String {
        let Verdict { config, .. } = self.verdict;
        match self.verdict.stated() {
            Some(wait) if config.backoff.believes(wait, 0) => {
                let more = match config.backoff.stated {
                    StatedJitter::Slight => "up to a tenth more at random, at most 250 ms",
                    StatedJitter::Half => "up to half of it more at random",
                };
                let (stated, until) = (self.stated(), self.until(wait));
                format!("{stated}, so its scope pauses for {}{until} (and {more})", span(wait))
            }
            Some(_) => format!(
                "{}, which is too short to be believed, so its scope pauses for the client's own \
                 backoff of {}",
                self.stated(),
                own(&config.backoff)
            ),
            None => format!(
                "it states no wait, so its scope pauses for the client's own backoff of {}",
                own(&config.backoff)
            ),
        }
    }

    /// What makes a throttle of a status that need not be one.
    fn made_by(&self) -> String {
        let signals = &self.verdict.signals;
        match self.verdict.status {
            403 | 503 if signals.retry_after => " since it states a wait".into(),
            403 | 503 => " since a limit is exhausted".into(),
            _ => String::new(),
        }
    }

    /// A wait longer than the client accepts. It is told, not applied: that is a setting.
    fn max_wait(&self, f: &mut fmt::Formatter<'_>, who: &str) -> fmt::Result {
        match self.verdict.stated() {
            Some(wait) => self.too_long(f, wait, who),
            None => Ok(()),
        }
    }

    fn too_long(&self, f: &mut fmt::Formatter<'_>, wait: Duration, who: &str) -> fmt::Result {
        let most = self.verdict.config.max_wait;
        if wait <= most {
            return Ok(());
        }
        write!(
            f,
            " With the default max_wait of {}, which is less, {who} at once instead, and the error \
             tells when to try again.",
            span(most)
        )
    }

    /// A limit that an answer announces as spent without having refused anything.
    fn budget(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.verdict.judgement == Judgement::Throttled {
            return Ok(());
        }
        let longest = self.verdict.signals.spent().max_by_key(|(_, reset)| *reset);
        let Some((name, reset)) = longest.filter(|(_, reset)| !reset.is_zero()) else {
            return Ok(());
        };
        let name = name.map(|name| format!(" {name:?}")).unwrap_or_default();
        write!(
            f,
            " The limit{name} has nothing left: its scope sends nothing for {}{}.",
            span(reset),
            self.until(reset)
        )?;
        self.too_long(f, reset, "what waits in the scope fails")
    }

    /// "Retry-After states 120 s"
    fn stated(&self) -> String {
        let wait = self.verdict.stated().unwrap_or_default();
        format!("{} states {}", self.signal(), span(wait))
    }

    /// The name of the header that decided, as it is usually written.
    fn signal(&self) -> String {
        let name = self.verdict.signal().unwrap_or_default();
        let known = [
            ("ratelimit", "RateLimit"),
            ("ratelimit-reset", "RateLimit-Reset"),
            ("x-ratelimit-reset", "X-RateLimit-Reset"),
            ("x-ratelimit-retry-after", "X-RateLimit-Retry-After"),
            ("x-rate-limit-reset", "X-Rate-Limit-Reset"),
            ("retry-after", "Retry-After"),
        ];
        match known.iter().find(|(lower, _)| *lower == name) {
            Some((_, usual)) => (*usual).to_owned(),
            None => name,
        }
    }

    /// ", until 2026-11-23T00:02:00Z" if that can be told.
    fn until(&self, wait: Duration) -> String {
        let until = self.verdict.received.as_millis().saturating_add(millis(wait));
        let until =
            i64::try_from(until).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        until.map_or_else(String::new, |until| format!(", until {until}"))
    }
}

/// "1 s, up to half of it more at random, doubled each time up to 30 s"
fn own(backoff: &Backoff) -> String {
    let (base, cap) = (span(backoff.base), span(backoff.cap));
    format!("{base} (up to half of it more at random, and doubled each time up to {cap})")
}

/// A span to the millisecond, and roughly in larger units where that helps.
fn span(span: Duration) -> String {
    let (seconds, millis) = (span.as_secs(), span.subsec_millis());
    let exact = match (seconds, millis) {
        (0, 1..) => return format!("{millis} ms"),
        (_, 0) => format!("{seconds} s"),
        _ => format!("{seconds}.{millis:03} s"),
    };
    let (unit, name) = match seconds {
        0..300 => return exact,
        300..7200 => (60, "minutes"),
        7200..172_800 => (3600, "hours"),
        172_800..63_072_000 => (86_400, "days"),
        _ => (31_557_600, "years"),
    };
    let rounded = (seconds + unit / 2) / unit;
    let roughly = if rounded * unit == seconds && millis == 0 { "" } else { "about " };
    format!("{exact} ({roughly}{rounded} {name})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_exact_and_large_ones_are_also_told_in_larger_units() {
        let shown = |ms| span(Duration::from_millis(ms));
        assert_eq!(shown(0), "0 s");
        assert_eq!(shown(1), "1 ms");
        assert_eq!(shown(1_501), "1.501 s");
        assert_eq!(shown(299_000), "299 s");
        assert_eq!(shown(900_000), "900 s (15 minutes)");
        assert_eq!(shown(901_000), "901 s (about 15 minutes)");
        assert_eq!(shown(3_600_000 * 24), "86400 s (24 hours)");
        assert_eq!(shown((1 << 53) - 1), "9007199254740.991 s (about 285421 years)");
    }
}
