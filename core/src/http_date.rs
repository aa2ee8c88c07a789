//! HTTP-date (RFC 9110 §5.6.7): the preferred form and the two obsolete ones.
//!
//! ```text
//! Sun, 06 Nov 1994 08:49:37 GMT    IMF-fixdate
//! Sunday, 06-Nov-94 08:49:37 GMT   RFC 850
//! Sun Nov  6 08:49:37 1994         asctime, also in UTC
//! ```

use crate::reading::Mode;
use crate::time::Wall;

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const LONG_DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The moment that `text` names, if it is an HTTP-date of a year from 1970 to 9999.
///
/// `now` gives the century of a two-digit year: the latest one that does not put the date more
/// than 50 years ahead. The leap second 23:59:60 is the first second of the next day.
///
/// Read leniently, names are recognised in any case, `UTC` stands for `GMT`, a day may have one
/// digit, and the day of the week may be wrong. Read strictly it has to be that of the date.
pub fn parse(text: &str, mode: Mode, now: Wall) -> Option<Wall> {
    let text = Text { rest: text.as_bytes(), mode };
    let date = imf_fixdate(text).or_else(|| rfc850(text, now)).or_else(|| asctime(text))?;
    let weekday_fits = (date.days() + 4) % 7 == date.weekday; // 1970 began on a Thursday
    (date.is_valid() && (weekday_fits || mode == Mode::Lenient)).then(|| date.moment())
}

/// How long after `now` the date is, in milliseconds; zero if it is not after it.
pub(crate) fn millis_until(text: &str, mode: Mode, now: Wall) -> Option<u64> {
    Some(parse(text, mode, now)?.as_millis().saturating_sub(now.as_millis()))
}

fn imf_fixdate(mut text: Text<'_>) -> Option<Date> {
    let weekday = text.one_of(&DAYS)?;
    text.literal(", ")?;
    let day = text.day()?;
    text.literal(" ")?;
    let month = text.one_of(&MONTHS)? + 1;
    text.literal(" ")?;
    let year = text.digits(4)?;
    text.literal(" ")?;
    let time = text.time()?;
    text.zone()?;
    text.end(Date { weekday, year, month, day, time })
}

fn rfc850(mut text: Text<'_>, now: Wall) -> Option<Date> {
    let weekday = text.one_of(&LONG_DAYS)?;
    text.literal(", ")?;
    let day = text.day()?;
    text.literal("-")?;
    let month = text.one_of(&MONTHS)? + 1;
    text.literal("-")?;
    let year_of_century = text.digits(2)?;
    text.literal(" ")?;
    let time = text.time()?;
    text.zone()?;

    let this_year = date_of(now.as_millis() / 86_400_000)[0].min(9999);
    let latest = this_year + 50;
    let year = latest - (latest - year_of_century) % 100;
    let date = Date { weekday, year, month, day, time };
    let too_far = year == latest && Date { year: this_year, ..date }.moment() > now;
    text.end(if too_far { Date { year: year - 100, ..date } } else { date })
}

fn asctime(mut text: Text<'_>) -> Option<Date> {
    let weekday = text.one_of(&DAYS)?;
    text.literal(" ")?;
    let month = text.one_of(&MONTHS)? + 1;
    text.literal(" ")?;
    let day = if text.literal(" ").is_some() { text.digits(1) } else { text.day() }?;
    text.literal(" ")?;
    let time = text.time()?;
    text.literal(" ")?;
    let year = text.digits(4)?;
    text.end(Date { weekday, year, month, day, time })
}

/// What is left to read of a date.
#[derive(Clone, Copy)]
struct Text<'a> {
    rest: &'a [u8],
    mode: Mode,
}

impl Text<'_> {
    fn literal(&mut self, literal: &str) -> Option<()> {
        let (head, tail) = self.rest.split_at_checked(literal.len())?;
        let same = match self.mode {
            Mode::Lenient => head.eq_ignore_ascii_case(literal.as_bytes()),
            Mode::Strict => head == literal.as_bytes(),
        };
        same.then(|| self.rest = tail)
    }

    /// The position among `names` of the one that comes next.
    fn one_of(&mut self, names: &[&str]) -> Option<u64> {
        (0..).zip(names).find_map(|(index, name)| self.literal(name).map(|()| index))
    }

    fn digits(&mut self, count: usize) -> Option<u64> {
        let (head, tail) = self.rest.split_at_checked(count)?;
        let number = head.iter().try_fold(0, |number, byte| {
            byte.is_ascii_digit().then(|| number * 10 + u64::from(byte - b'0'))
        })?;
        self.rest = tail;
        Some(number)
    }

    fn day(&mut self) -> Option<u64> {
        match self.mode {
            Mode::Lenient => self.digits(2).or_else(|| self.digits(1)),
            Mode::Strict => self.digits(2),
        }
    }

    /// `hour ":" minute ":" second`
    fn time(&mut self) -> Option<[u64; 3]> {
        let hour = self.digits(2)?;
        self.literal(":")?;
        let minute = self.digits(2)?;
        self.literal(":")?;
        Some([hour, minute, self.digits(2)?])
    }

    fn zone(&mut self) -> Option<()> {
        let utc = if self.mode == Mode::Lenient { self.literal(" UTC") } else { None };
        utc.or_else(|| self.literal(" GMT"))
    }

    fn end(self, date: Date) -> Option<Date> {
        self.rest.is_empty().then_some(date)
    }
}

/// The fields of a date as they were written; `month` from 1, `weekday` from 0 for Sunday.
#[derive(Clone, Copy)]
struct Date {
    weekday: u64,
    year: u64,
    month: u64,
    day: u64,
    time: [u64; 3],
}

impl Date {
    fn is_valid(self) -> bool {
        let leap = self.year.is_multiple_of(4)
            && (!self.year.is_multiple_of(100) || self.year.is_multiple_of(400));
        let days = match self.month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let [hour, minute, second] = self.time;
        (1970..=9999).contains(&self.year)
            && (1..=days).contains(&self.day)
            && ((hour < 24 && minute < 60 && second < 60) || self.time == [23, 59, 60])
    }

    /// Days since 1970-01-01; zero for an earlier date. In the calendar used for it a year
    /// begins in March, so that the leap day is its last.
    fn days(self) -> u64 {
        let (year, months_since_march) = match self.month {
            1 | 2 => (self.year.saturating_sub(1), self.month + 9),
            _ => (self.year, self.month - 3),
        };
        let before_year = year * 365 + year / 4 - year / 100 + year / 400;
        let before_month = (153 * months_since_march + 2) / 5;
        (before_year + before_month + self.day).saturating_sub(DAYS_BEFORE_1970 + 1)
    }

    fn moment(self) -> Wall {
        let [hour, minute, second] = self.time;
        Wall::from_millis((((self.days() * 24 + hour) * 60 + minute) * 60 + second) * 1000)
    }
}

/// Days from the first of March of the year 0 to 1970-01-01.
const DAYS_BEFORE_1970: u64 = 719_468;

/// The moment of a date and time in UTC, if there is such a one.
pub(crate) fn moment_of(year: u64, month: u64, day: u64, time: [u64; 3]) -> Option<Wall> {
    let date = Date { weekday: 0, year, month, day, time };
    date.is_valid().then(|| date.moment())
}

/// Year, month and day of a day that is so many after 1970-01-01.
pub(crate) fn date_of(days: u64) -> [u64; 3] {
    let days = days + DAYS_BEFORE_1970;
    let (cycle, day) = (days / 146_097, days % 146_097); // of 400 years
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (year * 365 + year / 4 - year / 100);
    let month = (day * 5 + 2) / 153;
    let day = day - (month * 153 + 2) / 5 + 1;
    let year = cycle * 400 + year;
    match month {
        0..10 => [year, month + 3, day],
        _ => [year + 1, month - 9, day],
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::prelude::*;

    use super::*;

    const NOW: Wall = Wall::from_millis(1_795_392_000_000); // 2026-11-23T00:00:00Z

    fn year_of(moment: Wall) -> u64 {
        date_of(moment.as_millis() / 86_400_000)[0]
    }

    fn seconds(text: &str, mode: Mode) -> Option<u64> {
        parse(text, mode, NOW).map(|moment| moment.as_millis() / 1000)
    }

    #[test]
    fn t14_the_three_forms_name_the_same_moment() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(seconds(text, Mode::Strict), Some(784_111_777), "{text}");
            assert_eq!(seconds(text, Mode::Lenient), Some(784_111_777), "{text}");
        }
    }

    #[test]
    fn lenient_forgives_case_zone_one_digit_days_and_a_wrong_weekday() {
        for text in [
            "sun, 06 nov 1994 08:49:37 gmt",
            "Sun, 6 Nov 1994 08:49:37 UTC",
            "SUNDAY, 6-NOV-94 08:49:37 UTC",
            "Sun Nov 6 08:49:37 1994",
            "Mon, 06 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(seconds(text, Mode::Lenient), Some(784_111_777), "{text}");
            assert_eq!(seconds(text, Mode::Strict), None, "{text}");
        }
    }

    #[test]
    fn a_leap_second_is_the_next_second_and_only_at_the_end_of_a_day() {
        let next_year = seconds("Sun, 01 Jan 2017 00:00:00 GMT", Mode::Strict);
        assert_eq!(seconds("Sat, 31 Dec 2016 23:59:60 GMT", Mode::Strict), next_year);
        assert_eq!(seconds("Sat, 31 Dec 2016 22:59:60 GMT", Mode::Lenient), None);
        assert_eq!(seconds("Sat, 31 Dec 2016 23:59:61 GMT", Mode::Lenient), None);
    }

    #[test]
    fn a_two_digit_year_is_at_most_fifty_years_ahead() {
        let moment = |text: &str| {
            let year = year_of(parse(text, Mode::Strict, NOW)?);
            Some(year)
        };
        assert_eq!(moment("Saturday, 23-Nov-75 00:00:00 GMT"), Some(2075));
        assert_eq!(moment("Monday, 23-Nov-76 00:00:00 GMT"), Some(2076));
        assert_eq!(moment("Tuesday, 23-Nov-76 00:00:01 GMT"), Some(1976));
        assert_eq!(moment("Wednesday, 23-Nov-77 00:00:00 GMT"), Some(1977));
        let in_2090 = Wall::from_millis(3_800_000_000_000);
        let soon = parse("Wednesday, 01-Jan-10 00:00:00 GMT", Mode::Strict, in_2090);
        assert_eq!(soon.map(year_of), Some(2110));
    }

    #[test]
    fn each_day_follows_the_one_before() {
        let mut day = 0;
        for year in 1970..=9999_u64 {
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let lengths = [31, 28 + u64::from(leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            for (month, length) in (1..).zip(lengths) {
                for day_of_month in 1..=length {
                    assert_eq!(date_of(day), [year, month, day_of_month]);
                    day += 1;
                }
            }
        }
    }

    #[test]
    fn impossible_and_foreign_dates_are_malformed() {
        for text in [
            "Fri, 32 Dec 1999 23:59:59 GMT",
            "Wed, 30 Feb 2000 00:00:00 GMT",
            "Thu, 29 Feb 2001 00:00:00 GMT",
            "Sat, 31 Apr 1999 00:00:00 GMT",
            "Thu, 31 Jun 1999 00:00:00 GMT",
            "Fri, 31 Sep 1999 00:00:00 GMT",
            "Wed, 31 Nov 1999 00:00:00 GMT",
            "Fri, 00 Dec 1999 23:59:59 GMT",
            "Fri, 31 Dec 1999 24:00:00 GMT",
            "Fri, 31 Dec 1999 23:60:00 GMT",
            "Fri, 31 Dec 1999 23:59:59 EST",
            "Fri, 31 Dec 1999 23:59:59 GMT+1",
            "Wed, 31 Dec 1969 23:59:59 GMT",
            "Fri, 29 Sep 100000 16:26:57 GMT",
            "Sun Nov 06 1994 08:49:37 GMT",
            "Sun Nov 10 08*00:00 2000",
            "Sun Nov 10 08:00:00 1000",
            "2026-11-23T10:00:00Z",
            "Sun, 06 Nov 1994 08:49:37",
            "",
        ] {
            assert_eq!(seconds(text, Mode::Lenient), None, "{text}");
            assert_eq!(seconds(text, Mode::Strict), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_second_from_1970_to_9999_is_read_back(at in 0_u64..253_402_300_800) {
            let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(at));
            prop_assert_eq!(seconds(&text, Mode::Strict), Some(at));
            prop_assert_eq!(seconds(&text, Mode::Lenient), Some(at));
            let year: u64 = text[12..16].parse().unwrap();
            prop_assert_eq!(year_of(Wall::from_millis(at * 1000)), year);
        }

        #[test]
        fn what_the_httpdate_crate_reads_is_read_alike(
            text in "(Sun|Mon|Tue), [0-3][0-9] (Jan|Feb|Dec) (1[89]|20)[0-9]{2} [0-2][0-9]:[0-6]0:59 GMT"
        ) {
            if let Ok(time) = httpdate::parse_http_date(&text) {
                let theirs = time.duration_since(UNIX_EPOCH).unwrap().as_secs();
                prop_assert_eq!(seconds(&text, Mode::Strict), Some(theirs));
            } else {
                prop_assert_eq!(seconds(&text, Mode::Strict), None);
            }
        }

        #[test]
        fn nothing_panics(text in ".*", now: u64) {
            let now = Wall::from_millis(now);
            parse(&text, Mode::Lenient, now);
            parse(&format!("Sunday, 06-Nov-{text} 08:49:37 GMT"), Mode::Lenient, now);
            parse("Sunday, 29-Feb-00 23:59:60 GMT", Mode::Lenient, now);
        }
    }
}
