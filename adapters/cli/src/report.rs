//! What a sync was, in numbers: as JSON, and as text for people.

use std::{fmt, time::Duration};

use serde::Serialize;

use crate::waits::Waits;

/// The object that `--json` prints.
#[derive(Serialize)]
pub(crate) struct Report {
    /// What was synced, unless that is interactions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resource: Option<String>,
    /// Records kept; those of the runs that this one went on with, included.
    #[serde(flatten)]
    pub(crate) records: Records,
    /// Different ids among them; `null` if that is not known: of more than 100 000, and of a run
    /// that went on.
    pub(crate) unique: Option<u64>,
    /// Requests sent, retries included and token fetches not.
    pub(crate) requests: u64,
    /// Requests that were told to slow down.
    pub(crate) throttled: u64,
    /// Tokens asked for.
    pub(crate) token_fetches: u64,
    /// Requests sent before the time that the server had stated: by the embedded mock's count.
    pub(crate) early: Option<u64>,
    /// From start to end.
    pub(crate) elapsed_ms: u64,
    /// The file, or `-`.
    pub(crate) out: String,
}

/// How many, under the name that they have.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Records {
    Interactions(u64),
    Records(u64),
}

impl Records {
    fn count(&self) -> u64 {
        let (Records::Interactions(n) | Records::Records(n)) = self;
        *n
    }
}

/// The closing lines for people.
pub(crate) struct Summary<'a> {
    pub(crate) report: &'a Report,
    /// What records are called.
    pub(crate) noun: &'a str,
    pub(crate) waits: &'a Waits,
    /// The least time that the limit allows, if it is known.
    pub(crate) ideal: Option<Duration>,
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { report, noun, waits, ideal } = self;
        let count = report.records.count();
        write!(f, "  {noun:<14} {count}")?;
        match report.unique.map(|unique| count.saturating_sub(unique)) {
            None => writeln!(f)?,
            Some(0) => writeln!(f, ", no id twice")?,
            Some(n) => writeln!(f, ", {n} of them with an id that came before")?,
        }
        writeln!(
            f,
            "  requests       {}, {} of them throttled",
            report.requests, report.throttled
        )?;
        writeln!(f, "  waits          {waits}")?;
        if let Some(early) = report.early {
            writeln!(f, "  sent early     {early}")?;
        }
        writeln!(f, "  token fetches  {}", report.token_fetches)?;
        write!(f, "  time           {:.1} s", report.elapsed_ms as f64 / 1000.0)?;
        if let Some(ideal) = ideal {
            write!(f, "; the limit allows no less than {:.1} s", ideal.as_secs_f64())?;
        }
        let out = if report.out == "-" { "standard output" } else { &report.out };
        write!(f, "\n  written to     {out}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            resource: None,
            records: Records::Interactions(2500),
            unique: Some(2500),
            requests: 31,
            throttled: 6,
            token_fetches: 1,
            early: Some(0),
            elapsed_ms: 12_740,
            out: "interactions.ndjson".into(),
        }
    }

    #[test]
    fn against_the_mock_the_ideal_and_what_was_early_are_known() {
        let waits = Waits::default();
        let ideal = Some(Duration::from_secs(12));
        let noun = "interactions";
        let text = Summary { report: &report(), noun, waits: &waits, ideal }.to_string();
        assert_eq!(
            text,
            "  interactions   2500, no id twice
  requests       31, 6 of them throttled
  waits          none
  sent early     0
  token fetches  1
  time           12.7 s; the limit allows no less than 12.0 s
  written to     interactions.ndjson"
        );
    }

    #[test]
    fn against_a_real_server_nothing_is_invented() {
        let report = Report { early: None, unique: Some(2498), out: "-".into(), ..report() };
        let (noun, waits) = ("interactions", Waits::default());
        let text = Summary { report: &report, noun, waits: &waits, ideal: None }.to_string();
        assert!(!text.contains("early") && !text.contains("no less"), "{text}");
        assert!(text.contains("2500, 2 of them with an id that came before"), "{text}");
        assert!(text.ends_with("written to     standard output"), "{text}");
    }
}
