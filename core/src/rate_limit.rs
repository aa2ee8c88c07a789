//! What a response announces about limits: draft-ietf-httpapi-ratelimit-headers in its present
//! form (-10: `RateLimit`, `RateLimit-Policy`), its -07 form (a dictionary), its -03 form
//! (`RateLimit-Limit`, `-Remaining`, `-Reset`), and the `X-` headers that came before it.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::time::Duration;

use crate::field::{self, Decimal};
use crate::http_date;
use crate::reading::{Mode, Reading, ResetUnit};
use crate::sort::sort;
use crate::structured_field::{self, Item, Value};
use crate::text::text;
use crate::time::{Wall, millis};

/// What is left of a limit, as a response announces it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limit {
    /// The header that announces it, in lower case; where three headers do, the Reset.
    pub header: &'static str,
    /// The name of its policy, where it has one (draft-10).
    pub name: Option<Box<str>>,
    /// How much the window holds, where that is stated beside it.
    pub quota: Option<u64>,
    /// How much is left in the window.
    pub remaining: Option<u64>,
    /// How long until the window starts anew, from the receipt of the response: whole
    /// milliseconds, as stated, however long. A moment in the past is zero.
    pub reset: Option<Duration>,
    /// Whether it counts requests. One that counts anything else (bytes, concurrency: see
    /// [`Policy::unit`]) closes nothing and gives no pace.
    pub counts_requests: bool,
}

impl Limit {
    /// Whether it counts requests and none is left.
    pub fn is_exhausted(&self) -> bool {
        self.counts_requests && self.remaining == Some(0)
    }
}

/// A quota over a window of time, as `RateLimit-Policy` or `RateLimit-Limit` announces it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Its name (draft-10); older forms have none.
    pub name: Option<Box<str>>,
    /// How many units the window holds (`q`).
    pub quota: u64,
    /// The length of the window in seconds (`w`).
    pub window: Option<u64>,
    /// What is counted (`qu`); requests where it is absent.
    pub unit: Option<Box<str>>,
}

impl Policy {
    /// Whether it counts requests.
    pub fn counts_requests(&self) -> bool {
        let requests = |unit: &str| {
            unit.eq_ignore_ascii_case("requests") || unit.eq_ignore_ascii_case("request")
        };
        self.unit.as_deref().is_none_or(requests)
    }
}

/// A number of requests in a span of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// How many requests.
    pub requests: u64,
    /// In how long a span; never zero.
    pub per: Duration,
}

impl Rate {
    pub(crate) fn new(requests: u64, per: Duration) -> Option<Rate> {
        (!per.is_zero()).then_some(Rate { requests, per })
    }

    /// Requests a second: a division of two integers, the same on every target.
    pub fn per_second(self) -> f64 {
        self.requests as f64 * 1000.0 / millis(self.per) as f64
    }

    /// Which of two rates is the slower one, exactly.
    pub fn compare(self, other: Rate) -> Ordering {
        // Both spans are below 2⁶⁴ ms as readers make them; saturation keeps any other in order.
        let cross = |a: Rate, b: Rate| u128::from(a.requests) * u128::from(millis(b.per));
        cross(self, other).cmp(&cross(other, self))
    }
}

/// Three headers that together announce one limit.
pub(crate) struct Family {
    pub(crate) limit: &'static str,
    pub(crate) remaining: &'static str,
    pub(crate) reset: &'static str,
}

/// Most trusted first.
pub(crate) const FAMILIES: [Family; 3] = [
    Family { limit: "ratelimit-limit", remaining: "ratelimit-remaining", reset: "ratelimit-reset" },
    Family {
        limit: "x-ratelimit-limit",
        remaining: "x-ratelimit-remaining",
        reset: "x-ratelimit-reset",
    },
    Family {
        limit: "x-rate-limit-limit",
        remaining: "x-rate-limit-remaining",
        reset: "x-rate-limit-reset",
    },
];

/// The limits of a `RateLimit` field: a list of named items (draft-08 to -10), else a dictionary
/// (draft-07). A single malformed item spoils the field: draft-10 §6 has it ignored.
pub(crate) fn limits(value: &str, reading: &Reading, now: Wall) -> Option<Vec<Limit>> {
    let mut limits = Vec::new();
    let listed = structured_field::list(value, &mut |_, item| {
        limits.push(named_limit(&item, reading.mode)?);
        Some(())
    });
    if listed.is_none() {
        limits = vec![unnamed_limit(value, reading, now)?];
    }
    Some(limits)
}

/// `"name";r=…;t=…`: `r` required, `t` optional and in seconds.
fn named_limit(item: &Item<'_>, mode: Mode) -> Option<Limit> {
    if mode == Mode::Strict && !has_partition_key(item) {
        return None;
    }
    let remaining = Some(parameter(item, "r")??);
    let reset = parameter(item, "t")?.map(Duration::from_secs);
    let name = Some(name(&item.value, mode)?);
    let (header, quota, counts_requests) = ("ratelimit", None, true);
    Some(Limit { header, name, quota, remaining, reset, counts_requests })
}

/// `limit=…, remaining=…, reset=…`: the first and the last are required, but read leniently one
/// of the others is enough, since a limit alone says nothing about what is left.
fn unnamed_limit(value: &str, reading: &Reading, now: Wall) -> Option<Limit> {
    // As `count` has it: each is there or not, or is no number.
    let (mut quota, mut remaining, mut reset) = (Some(None), Some(None), Some(None));
    structured_field::dictionary(value, &mut |key, item| {
        let member = match key {
            "limit" => &mut quota,
            "remaining" => &mut remaining,
            "reset" => &mut reset,
            _ => return Some(()),
        };
        *member = count(Some(&item.value));
        Some(())
    })?;
    let (quota, remaining, reset) = (quota?, remaining?, reset?);
    match reading.mode {
        Mode::Strict => quota.and(reset)?,
        Mode::Lenient => remaining.or(reset)?,
    };
    let reset = reset
        .and_then(|number| reset_wait(&text![number], reading, now))
        .map(Duration::from_millis);
    Some(Limit { header: "ratelimit", name: None, quota, remaining, reset, counts_requests: true })
}

/// The policies of a `RateLimit-Policy` field: `"name";q=100;w=60` (draft-08 to -10) or
/// `100;w=60` (draft-04 to -07). Read strictly, one without a name has a window, and no two are of
/// the same quota.
pub(crate) fn policies(value: &str, mode: Mode) -> Option<Vec<Policy>> {
    let policies = listed_policies(value, mode)?;
    if mode == Mode::Strict {
        let unnamed = || policies.iter().filter(|policy| policy.name.is_none());
        let mut quotas: Vec<u64> = unnamed().map(|policy| policy.quota).collect();
        sort(&mut quotas);
        let repeated = quotas.iter().zip(quotas.iter().skip(1)).any(|(one, next)| one == next);
        if repeated || unnamed().any(|policy| policy.window.is_none()) {
            return None;
        }
    }
    Some(policies)
}

fn listed_policies(value: &str, mode: Mode) -> Option<Vec<Policy>> {
    let mut policies = Vec::new();
    structured_field::list(value, &mut |_, item| {
        policies.push(policy(&item, mode)?);
        Some(())
    })?;
    Some(policies)
}

fn policy(item: &Item<'_>, mode: Mode) -> Option<Policy> {
    let window = parameter(item, "w")?;
    if mode == Mode::Strict && (window == Some(0) || !has_partition_key(item)) {
        return None;
    }
    let named = !matches!(item.value, Value::Integer(_));
    let quota = if named { parameter(item, "q") } else { count(Some(&item.value)) }??;
    let mut policy = Policy { name: None, quota, window, unit: None };
    if named {
        policy.name = Some(name(&item.value, mode)?);
    }
    if let Some(unit) = item.parameter("qu") {
        policy.unit = Some(name(&unit, mode)?);
    }
    Some(policy)
}

/// What a Limit header says: the quota, and the policies behind it (draft-03 §4.1:
/// `10, 10;w=1, 50;w=60`).
pub(crate) fn quota(value: &str, mode: Mode) -> Option<(u64, Vec<Policy>)> {
    let mut policies = listed_policies(value, mode)?;
    let quota = policies.first()?.quota;
    policies.retain(|policy| policy.window.is_some());
    Some((quota, policies))
}

/// What a Remaining header says: an integer. Read leniently, fractions are dropped and of
/// joined duplicates the smallest counts.
pub(crate) fn remaining(value: &str, mode: Mode) -> Option<u64> {
    let read = |member: &str| Decimal::parse(member, mode).map(Decimal::floor);
    field::once(&bare(value), mode, &read, u64::min)
}

/// What a Reset header says, as a wait: a number in the unit that `reading` tells or the number
/// itself shows. Read leniently it may also be an HTTP-date, and of joined duplicates the
/// latest counts.
pub(crate) fn reset(value: &str, reading: &Reading, now: Wall) -> Option<Duration> {
    let read = |member: &str| match reading.mode {
        Mode::Strict => reset_wait(member, reading, now),
        Mode::Lenient => reset_wait(member, reading, now)
            .or_else(|| http_date::millis_until(member, reading.mode, now)),
    };
    field::once(&bare(value), reading.mode, &read, u64::max).map(Duration::from_millis)
}

/// Integers as a structured field without their parameters, which mean nothing (draft-06 §5: "If
/// they appear, they MUST be ignored"); anything else as it is.
fn bare(value: &str) -> Cow<'_, str> {
    let mut bare = String::new();
    let integers = structured_field::list(value, &mut |_, item| {
        if !bare.is_empty() {
            bare.push(',');
        }
        bare.push_str(&text![count(Some(&item.value))??]);
        Some(())
    });
    if integers.is_some() { bare.into() } else { value.into() }
}

/// From here on a number is a moment in seconds since 1970 (2024-01-01), not a span.
const EPOCH_S: u64 = 1_704_067_200;
/// From here on a number is a moment in milliseconds since 1970.
const EPOCH_MS: u64 = EPOCH_S * 1000;

/// The wait until a reset, in milliseconds.
fn reset_wait(number: &str, reading: &Reading, now: Wall) -> Option<u64> {
    let number = Decimal::parse(number, reading.mode)?;
    let unit = match (reading.reset_unit, number.floor()) {
        (ResetUnit::Auto, EPOCH_MS..) => ResetUnit::EpochMs,
        (ResetUnit::Auto, EPOCH_S..) => ResetUnit::EpochS,
        (ResetUnit::Auto, _) => ResetUnit::DeltaS,
        (unit, _) => unit,
    };
    Some(match unit {
        ResetUnit::Auto | ResetUnit::DeltaS => number.ceil(3),
        ResetUnit::DeltaMs => number.ceil(0),
        ResetUnit::EpochS => number.ceil(3).saturating_sub(now.as_millis()),
        ResetUnit::EpochMs => number.ceil(0).saturating_sub(now.as_millis()),
    })
}

/// A string; read leniently also a token.
fn name(value: &Value, mode: Mode) -> Option<Box<str>> {
    match value {
        Value::String(name) => Some(name.as_str().into()),
        Value::Token(name) if mode == Mode::Lenient => Some(name.as_str().into()),
        _ => None,
    }
}

/// A non-negative integer if there is a value, and `None` if the value is not one.
fn count(value: Option<&Value>) -> Option<Option<u64>> {
    match value {
        None => Some(None),
        Some(Value::Integer(number)) => u64::try_from(*number).ok().map(Some),
        Some(_) => None,
    }
}

/// What `count` says of a parameter.
#[inline(never)]
fn parameter(item: &Item<'_>, key: &str) -> Option<Option<u64>> {
    count(item.parameter(key).as_ref())
}

/// Whether the partition key (`pk`), which is not kept, is none or a byte sequence, as it should.
#[inline(never)]
fn has_partition_key(item: &Item<'_>) -> bool {
    matches!(item.parameter("pk"), None | Some(Value::Bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::field::MAX_WAIT_MS;

    const NOW: Wall = Wall::from_millis(1_795_392_000_000); // 2026-11-23T00:00:00Z

    fn reset_ms(value: &str, reset_unit: ResetUnit) -> Option<u128> {
        let reading = Reading { reset_unit, ..Reading::default() };
        reset(value, &reading, NOW).map(|wait| wait.as_millis())
    }

    #[test]
    fn a_reset_is_read_in_the_unit_that_is_set() {
        assert_eq!(reset_ms("1704067199", ResetUnit::Auto), Some(1_704_067_199_000));
        assert_eq!(reset_ms("1704067200", ResetUnit::Auto), Some(0));
        assert_eq!(reset_ms("1795392000001", ResetUnit::Auto), Some(1));
        assert_eq!(reset_ms("1795392001", ResetUnit::DeltaS), Some(1_795_392_001_000));
        assert_eq!(reset_ms("1500.5", ResetUnit::DeltaMs), Some(1501));
        assert_eq!(reset_ms("1795392000.0001", ResetUnit::EpochS), Some(1));
        assert_eq!(reset_ms("1795392000500", ResetUnit::EpochMs), Some(500));
        assert_eq!(reset_ms("-1", ResetUnit::Auto), None);
    }

    #[test]
    fn of_joined_duplicates_the_most_careful_counts() {
        assert_eq!(remaining("5, 0, 7", Mode::Lenient), Some(0));
        assert_eq!(remaining("0.9", Mode::Lenient), Some(0));
        assert_eq!(remaining("5, 0", Mode::Strict), None);
        assert_eq!(reset_ms("1, Mon, 23 Nov 2026 00:01:00 GMT", ResetUnit::Auto), Some(60_000));
    }

    #[test]
    fn only_requests_are_requests() {
        let policies = |unit| policies(&format!("\"a\";q=1;qu=\"{unit}\""), Mode::Strict).unwrap();
        assert!(policies("requests")[0].counts_requests());
        assert!(policies("request")[0].counts_requests());
        assert!(!policies("content-bytes")[0].counts_requests());
        assert!(!policies("concurrent-requests")[0].counts_requests());
    }

    #[test]
    fn rates_compare_exactly() {
        let rate = |requests, millis| Rate::new(requests, Duration::from_millis(millis)).unwrap();
        assert_eq!(rate(1, 3).compare(rate(2, 6)), Ordering::Equal);
        assert_eq!(
            rate(u64::MAX - 1, MAX_WAIT_MS).compare(rate(u64::MAX, MAX_WAIT_MS)),
            Ordering::Less
        );
        assert_eq!(rate(u64::MAX, 1).compare(rate(0, u64::MAX)), Ordering::Greater);
        assert_eq!(rate(150, 300_000).per_second(), 0.5);
        assert_eq!(Rate::new(1, Duration::ZERO), None);
    }

    proptest! {
        #[test]
        fn announced_limits_are_read_back(
            stated in prop::collection::vec(("[a-z ,;=]{1,8}", 0_u64..1_000_000, 0_u64..1_000_000), 1..9)
        ) {
            let items = stated.iter().map(|(name, r, t)| format!("\"{name}\";r={r};t={t};x=?0"));
            let value = items.collect::<Vec<_>>().join(" ,\t");
            let read = limits(&value, &Reading::default(), NOW).unwrap();
            let read = read.into_iter().map(|limit| {
                let name = limit.name.unwrap().into_string();
                (name, limit.remaining.unwrap(), limit.reset.unwrap().as_secs())
            });
            prop_assert_eq!(read.collect::<Vec<_>>(), stated);
        }
    }
}
