//! What came of a simulation, for people.

use std::{fmt, time::Duration};

use cxone_sim::{Class, LimitSpec, Report};

/// The first sentence and the table.
pub(super) struct Text<'a> {
    pub(super) limit: &'a LimitSpec,
    pub(super) report: &'a Report,
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Text { report, .. } = self;
        writeln!(f, "{}\n", self.sentence())?;
        writeln!(f, "  time        {}", spoken(report.makespan))?;
        write!(f, "  at best     {} by the limit", spoken(report.ideal))?;
        match report.lost {
            0 => writeln!(f, "; it took {:.3} times that", report.ratio())?,
            _ => writeln!(f, " for all of them")?,
        }
        let Report { attempts, throttled, lost, early, max_in_flight, .. } = report;
        writeln!(f, "  sent        {attempts}, {throttled} of them refused (429)")?;
        writeln!(f, "  lost        {lost}")?;
        writeln!(f, "  sent early  {early}")?;
        writeln!(f, "  in flight   {max_in_flight} at most")?;
        let [high, _, low] = &report.classes;
        if high.requests > 0 {
            let [half, nearly, longest] = ["half within", "99 % within", "longest"];
            writeln!(f, "\n  submit to end  requests  {half:>12}  {nearly:>12}  {longest:>12}")?;
            class(f, "HIGH", high)?;
            class(f, "LOW", low)?;
        }
        Ok(())
    }
}

impl Text<'_> {
    fn sentence(&self) -> String {
        let Text { limit, report } = self;
        let at = format!("at {} per {}", limit.quota, unit(limit.window));
        let time = spoken(report.makespan);
        let all = report.requests;
        match (all, report.lost) {
            (1, 0) => format!("1 request {at} takes {time}."),
            (_, 0) => format!("{all} requests {at} take {time}."),
            (_, lost) => {
                let why = match &report.given_up {
                    Some(error) => format!(" ({error})"),
                    None => String::new(),
                };
                let served = all - lost;
                format!(
                    "{served} of {all} requests {at} are served in {time}; {lost} are lost{why}."
                )
            }
        }
    }
}

fn class(f: &mut fmt::Formatter<'_>, name: &str, class: &Class) -> fmt::Result {
    let [p50, p99, max] = [class.p50, class.p99, class.max].map(spoken);
    writeln!(f, "  {name:<13}  {:>8}  {p50:>12}  {p99:>12}  {max:>12}", class.requests)
}

/// "5 min", and "s" for one second.
fn unit(window: Duration) -> String {
    let spoken = spoken(window);
    spoken.strip_prefix("1 ").map_or(spoken.clone(), str::to_owned)
}

/// A span as people say it, never less than it is: its two largest units.
pub(super) fn spoken(span: Duration) -> String {
    let ms = span.as_nanos().div_ceil(1_000_000);
    let tenths = ms.div_ceil(100);
    let secs = ms.div_ceil(1000);
    let two = |large: u128, unit, small: u128, of| match small {
        0 => format!("{large} {unit}"),
        _ => format!("{large} {unit} {small} {of}"),
    };
    let mins = secs.div_ceil(60);
    let hours = mins.div_ceil(60);
    match () {
        () if ms < 1000 => format!("{ms} ms"),
        () if tenths < 600 && !tenths.is_multiple_of(10) => {
            format!("{}.{} s", tenths / 10, tenths % 10)
        }
        () if secs < 60 => format!("{secs} s"),
        () if secs < 3600 => two(secs / 60, "min", secs % 60, "s"),
        () if mins < 1440 => two(mins / 60, "h", mins % 60, "min"),
        () => two(hours / 24, "d", hours % 24, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_told_in_its_two_largest_units_and_rounded_up() {
        let shown = |ms| spoken(Duration::from_millis(ms));
        assert_eq!(shown(0), "0 ms");
        assert_eq!(shown(999), "999 ms");
        assert_eq!(shown(1_000), "1 s");
        assert_eq!(shown(1_001), "1.1 s");
        assert_eq!(shown(59_901), "1 min");
        assert_eq!(shown(300_000), "5 min");
        assert_eq!(shown(901_900), "15 min 2 s");
        assert_eq!(shown(3_599_001), "1 h");
        assert_eq!(shown(7_380_000), "2 h 3 min");
        assert_eq!(shown(86_400_000 + 1), "1 d 1 h");
        assert_eq!(unit(Duration::from_secs(1)), "s");
        assert_eq!(unit(Duration::from_secs(10)), "10 s");
        assert_eq!(unit(Duration::from_secs(3600)), "h");
    }
}
