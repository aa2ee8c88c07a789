//! A limit as text: `fixed:150/5m`.

use std::{fmt, str::FromStr, time::Duration};

/// How a server counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// A counter for each window; windows are aligned to time zero.
    Fixed,
    /// The exact times of the last requests.
    Sliding,
    /// Tokens that refill evenly up to `burst`; a request takes one. Starts full.
    Bucket,
    /// A queue that drains evenly; a request that finds more than `burst` before it is refused.
    /// The semantics are those of nginx's `limit_req` with `nodelay`.
    Leaky,
}

/// A limit: so many requests in so much time.
///
/// As text it is `model:quota/window`, then `+burst`, then `,count-refused`, where a window is a
/// number and a unit (`ms`, `s`, `m`, `h`, `d`) or a unit alone:
///
/// | text | meaning |
/// |---|---|
/// | `fixed:150/5m` | 150 in each five minutes |
/// | `sliding:100/60s,count-refused` | 100 in any minute, refused requests included |
/// | `bucket:10/s+20` | 10 a second, up to 20 at once (without `+`: as many as the quota) |
/// | `leaky:10/s+5` | one each 100 ms, and up to 5 ahead of that (without `+`: none) |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitSpec {
    /// How requests are counted.
    pub model: Model,
    /// How many requests a window holds; at least 1.
    pub quota: u32,
    /// The window; longer than zero.
    pub window: Duration,
    /// For a bucket, how many at once (at least 1); for a leaky one, how many beyond the even
    /// rate. The other models ignore it.
    pub burst: u32,
    /// Whether refused requests count too, so that knocking keeps the door shut. In a fixed
    /// window that changes nothing: it is full already.
    pub count_refused: bool,
}

impl LimitSpec {
    /// `quota` requests in each window, windows aligned to time zero.
    pub fn fixed(quota: u32, window: Duration) -> LimitSpec {
        LimitSpec::new(Model::Fixed, quota, window, 0)
    }

    /// `quota` requests in any span of one window.
    pub fn sliding(quota: u32, window: Duration) -> LimitSpec {
        LimitSpec::new(Model::Sliding, quota, window, 0)
    }

    /// `quota` requests a window on average, `burst` at once.
    pub fn bucket(quota: u32, window: Duration, burst: u32) -> LimitSpec {
        LimitSpec::new(Model::Bucket, quota, window, burst)
    }

    /// `quota` requests a window, evenly, and `burst` ahead of that.
    pub fn leaky(quota: u32, window: Duration, burst: u32) -> LimitSpec {
        LimitSpec::new(Model::Leaky, quota, window, burst)
    }

    /// The same limit, with refused requests counted.
    pub fn counting_refused(self) -> LimitSpec {
        LimitSpec { count_refused: true, ..self }
    }

    /// Values out of range are raised to the smallest that makes sense.
    fn new(model: Model, quota: u32, window: Duration, burst: u32) -> LimitSpec {
        let burst = if model == Model::Bucket { burst.max(1) } else { burst };
        let window = window.max(Duration::from_nanos(1));
        LimitSpec { model, quota: quota.max(1), window, burst, count_refused: false }
    }

    /// The quota as a divisor, even if a hand-made value holds a zero.
    pub(super) fn rate(&self) -> u128 {
        u128::from(self.quota.max(1))
    }

    /// The window in nanoseconds as a divisor, likewise.
    pub(super) fn unit(&self) -> u128 {
        self.window.as_nanos().max(1)
    }
}

impl fmt::Display for LimitSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let model = match self.model {
            Model::Fixed => "fixed",
            Model::Sliding => "sliding",
            Model::Bucket => "bucket",
            Model::Leaky => "leaky",
        };
        write!(f, "{model}:{}/", self.quota)?;
        // Below a millisecond text is not exact; no limit is that short.
        match self.window.as_millis() {
            ms if ms % 1000 == 0 => write!(f, "{}s", ms / 1000)?,
            ms => write!(f, "{ms}ms")?,
        }
        if matches!(self.model, Model::Bucket | Model::Leaky) {
            write!(f, "+{}", self.burst)?;
        }
        if self.count_refused { f.write_str(",count-refused") } else { Ok(()) }
    }
}

impl FromStr for LimitSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<LimitSpec, SpecError> {
        parse(text).ok_or_else(|| SpecError(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<LimitSpec> {
    let (rest, count_refused) = match text.strip_suffix(",count-refused") {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let (model, rest) = rest.split_once(':')?;
    let (rest, burst) = match rest.split_once('+') {
        Some((rest, burst)) => (rest, Some(number(burst)?)),
        None => (rest, None),
    };
    let (quota, window) = rest.split_once('/')?;
    let quota = number(quota).filter(|&quota| quota > 0)?;
    let window = parse_window(window)?;
    let spec = match (model, burst) {
        ("fixed", None) => LimitSpec::fixed(quota, window),
        ("sliding", None) => LimitSpec::sliding(quota, window),
        ("bucket", Some(0)) => return None,
        ("bucket", burst) => LimitSpec::bucket(quota, window, burst.unwrap_or(quota)),
        ("leaky", burst) => LimitSpec::leaky(quota, window, burst.unwrap_or(0)),
        _ => return None,
    };
    Some(LimitSpec { count_refused, ..spec })
}

fn parse_window(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (count, unit) = text.split_at(unit_at);
    let count = if count.is_empty() { 1 } else { number(count)? };
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    (count > 0).then(|| Duration::from_millis(u64::from(count) * unit_ms))
}

/// Digits only: `u32::from_str` would take a `+` as well.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Text that is no [`LimitSpec`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecError(String);

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no limit: write model:quota/window, such as fixed:150/5m, sliding:100/60s, \
             bucket:10/s+20 or leaky:10/s+5",
            self.0
        )
    }
}

impl std::error::Error for SpecError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_each_model_is_read() {
        let secs = Duration::from_secs;
        let read = |text: &str| text.parse::<LimitSpec>().unwrap();
        assert_eq!(read("fixed:150/5m"), LimitSpec::fixed(150, secs(300)));
        assert_eq!(read("sliding:100/60s"), LimitSpec::sliding(100, secs(60)));
        assert_eq!(read("bucket:10/s+20"), LimitSpec::bucket(10, secs(1), 20));
        assert_eq!(read("bucket:10/s"), LimitSpec::bucket(10, secs(1), 10));
        assert_eq!(read("leaky:10/s+5"), LimitSpec::leaky(10, secs(1), 5));
        assert_eq!(read("leaky:1/1d"), LimitSpec::leaky(1, secs(86_400), 0));
        let counted = LimitSpec::sliding(3, Duration::from_millis(250)).counting_refused();
        assert_eq!(read("sliding:3/250ms,count-refused"), counted);
    }

    #[test]
    fn what_is_written_reads_back() {
        for text in [
            "fixed:150/300s",
            "sliding:1/250ms,count-refused",
            "bucket:10/1s+20",
            "leaky:10/1s+0,count-refused",
        ] {
            assert_eq!(text.parse::<LimitSpec>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn nonsense_is_refused_with_an_example_of_sense() {
        for text in [
            "",
            "50/2s",
            "fixed:0/s",
            "fixed:5/0s",
            "fixed:5/2",
            "fixed:5/2w",
            "fixed:5/s+3",
            "fixed:+5/s",
            "bucket:5/s+0",
            "bucket:5/s+",
            "gcra:5/s",
            "fixed:99999999999/s",
            "fixed:5/\u{e9}s",
        ] {
            let error = text.parse::<LimitSpec>().unwrap_err().to_string();
            assert!(error.contains("fixed:150/5m"), "{error}");
        }
    }
}
