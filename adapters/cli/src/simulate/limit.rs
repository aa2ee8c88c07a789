//! Limits and times as they are given on the command line.

use std::{str::FromStr, time::Duration};

use clap::ValueEnum;
use cxone_sim::LimitSpec;

/// So many requests in so long a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    requests: u32,
    per: Duration,
}

/// How a server counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// N in each window of TIME: most gateways
    Fixed,
    /// N in any span of TIME
    Log,
    /// A token bucket: N each TIME on average, the burst at once
    Bucket,
    /// As nginx's limit_req with nodelay: N each TIME evenly, the burst ahead of that
    Leaky,
}

impl Quota {
    /// The limit of that kind, or what to change.
    pub(crate) fn spec(self, kind: Kind, burst: Option<u32>) -> Result<LimitSpec, String> {
        let Quota { requests, per } = self;
        match (kind, burst) {
            (Kind::Fixed | Kind::Log, Some(_)) => Err("--burst is for a bucket: add --limiter \
                bucket or --limiter leaky, or leave it out"
                .into()),
            (Kind::Bucket, Some(0)) => {
                Err("--burst 0 lets nothing pass a token bucket: choose 1 or more".into())
            }
            (Kind::Fixed, None) => Ok(LimitSpec::fixed(requests, per)),
            (Kind::Log, None) => Ok(LimitSpec::sliding(requests, per)),
            (Kind::Bucket, burst) => {
                Ok(LimitSpec::bucket(requests, per, burst.unwrap_or(requests)))
            }
            (Kind::Leaky, burst) => Ok(LimitSpec::leaky(requests, per, burst.unwrap_or(0))),
        }
    }
}

impl FromStr for Quota {
    type Err = String;

    fn from_str(text: &str) -> Result<Quota, String> {
        if text.contains([':', '+']) {
            return Err("write only requests/time here, such as 10/s; the kind goes to --limiter \
                        and what is after + to --burst"
                .into());
        }
        let spec: Option<LimitSpec> = format!("fixed:{text}").parse().ok();
        let spec = spec.ok_or(
            "write requests/time, both above zero, such as 150/5m; units are ms, s, m, h and d",
        )?;
        Ok(Quota { requests: spec.quota, per: spec.window })
    }
}

/// The longest time that is taken.
const LONGEST: Duration = Duration::from_secs(3600);

/// A time of up to an hour.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit = match unit {
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        _ => return Err("write a whole number and a unit (ms, s or m), such as 100ms".into()),
    };
    let number = number.parse().map_err(|_| "write a whole number before the unit")?;
    let span = unit.checked_mul(number).filter(|span| *span <= LONGEST);
    span.ok_or("it is longer than an hour".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(text: &str) -> Quota {
        text.parse().unwrap()
    }

    #[test]
    fn a_limit_is_read_with_its_kind_and_burst() {
        let spec = |kind, burst| quota("10/s").spec(kind, burst).map(|spec| spec.to_string());
        assert_eq!(spec(Kind::Fixed, None).unwrap(), "fixed:10/1s");
        assert_eq!(spec(Kind::Log, None).unwrap(), "sliding:10/1s");
        assert_eq!(spec(Kind::Bucket, None).unwrap(), "bucket:10/1s+10");
        assert_eq!(spec(Kind::Bucket, Some(20)).unwrap(), "bucket:10/1s+20");
        assert_eq!(spec(Kind::Leaky, None).unwrap(), "leaky:10/1s+0");
        for (kind, burst) in [(Kind::Fixed, 5), (Kind::Log, 5), (Kind::Bucket, 0)] {
            assert!(spec(kind, Some(burst)).unwrap_err().contains("--burst"), "{kind:?}");
        }
        assert_eq!(quota("150/5m").per, Duration::from_secs(300));
    }

    #[test]
    fn what_is_no_limit_is_told_how_to_write_one() {
        for (text, fix) in [
            ("150", "150/5m"),
            ("0/s", "above zero"),
            ("5/0s", "above zero"),
            ("5/2w", "units are"),
            ("", "150/5m"),
            ("bucket:10/s", "--limiter"),
            ("10/s+20", "--burst"),
        ] {
            let error = text.parse::<Quota>().unwrap_err();
            assert!(error.contains(fix), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_time_has_a_unit() {
        assert_eq!(span("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(span("60m"), Ok(LONGEST));
        for text in ["100", "ms", "1.5s", "-1s", "61m", "99999999999s", "5 s", ""] {
            assert!(span(text).is_err(), "{text:?}");
        }
    }
}
