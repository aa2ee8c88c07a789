use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn page(items: u64, next: NextField<'_>) -> PageFields<'_> {
    PageFields {
        status: 200,
        body: PageBody::Object,
        items: Some(items),
        next,
        total: None,
        fingerprints: &[],
        origin: "https://h.example",
    }
}

fn query_of(pages: &Pages) -> Vec<(&'static str, String)> {
    pages.request().map(|request| request.query).unwrap_or_default()
}

fn cursor_of(pages: &Pages) -> Option<String> {
    let query = pages.request()?.query;
    query.into_iter().find(|(name, _)| *name == "cursor").map(|(_, value)| value)
}

#[test]
fn t23_pages_are_asked_for_with_page_size_and_cursor() {
    let mut pages = Pages::new(PageStyle::cursor());
    assert_eq!(pages.style().items_field(), "entities");
    assert_eq!(pages.style().next_field(), "next_page_token");
    assert_eq!((pages.style().items_a_page(), pages.style().in_body()), (100, false));
    assert_eq!(pages.request().unwrap().query, [("page_size", "100".to_owned())]);

    let step = pages.answer(page(100, NextField::Text("a/b=="))).unwrap();
    assert_eq!(step, PageStep { items: 100, total: 100, more: true });
    let query = pages.request().unwrap().query;
    assert_eq!(query, [("page_size", "100".to_owned()), ("cursor", "a/b==".to_owned())]);

    let step = pages.answer(page(7, NextField::Absent)).unwrap();
    assert_eq!(step, PageStep { items: 7, total: 107, more: false });
    assert!(pages.is_done());
    assert_eq!(pages.request(), None);
    assert_eq!(pages.answer(page(7, NextField::Absent)), Err(PageError::Over));
    assert_eq!((pages.state().items, pages.state().cursor), (107, None));
}

#[test]
fn a_page_size_can_be_chosen_but_not_zero() {
    for (asked, sent) in [(25, "25"), (0, "1")] {
        let pages = Pages::new(PageStyle::cursor().page_size(asked));
        assert_eq!(pages.request().unwrap().query, [("page_size", sent.to_owned())]);
    }
}

#[test]
fn x30_a_missing_null_or_empty_token_ends_the_run() {
    for next in [NextField::Absent, NextField::Null, NextField::Text("")] {
        let mut pages = Pages::new(PageStyle::cursor());
        assert!(!pages.answer(page(3, next)).unwrap().more);
        assert!(pages.is_done());
    }
}

#[test]
fn x30_an_empty_page_with_a_next_token_continues() {
    let mut pages = Pages::new(PageStyle::cursor());
    assert!(pages.answer(page(0, NextField::Text("a"))).unwrap().more);
    assert_eq!(cursor_of(&pages).as_deref(), Some("a"));
}

#[test]
fn a_number_is_a_token_and_other_types_are_not() {
    let mut pages = Pages::new(PageStyle::cursor());
    pages.answer(page(1, NextField::Number(0))).unwrap();
    assert_eq!(cursor_of(&pages).as_deref(), Some("0"));
    let long = "x".repeat(8 * 1024 + 1);
    let longest = &long[1..];
    assert!(pages.clone().answer(page(1, NextField::Text(longest))).unwrap().more);
    for bad in [NextField::Other, NextField::Text(&long)] {
        let mut pages = pages.clone();
        let error = pages.answer(page(1, bad)).unwrap_err();
        assert_eq!(error, PageError::BadCursor("next_page_token"));
    }
}

#[test]
fn x30_a_repeated_token_is_an_error_and_not_a_loop() {
    let mut pages = Pages::new(PageStyle::cursor());
    for cursor in ["a", "b", "c"] {
        pages.answer(page(1, NextField::Text(cursor))).unwrap();
    }
    for repeated in ["a", "b", "c"] {
        let mut pages = pages.clone();
        let error = pages.answer(page(1, NextField::Text(repeated))).unwrap_err();
        assert_eq!(error, PageError::RepeatedCursor("next_page_token"));
        assert_eq!(pages.request(), None);
        assert!(!pages.is_done());
    }
}

#[test]
fn x30_a_repeated_token_is_noticed_across_a_checkpoint() {
    let mut pages = Pages::new(PageStyle::cursor());
    pages.answer(page(1, NextField::Text("a"))).unwrap();
    pages.answer(page(1, NextField::Number(7))).unwrap();
    for repeated in [NextField::Text("a"), NextField::Text("7"), NextField::Number(7)] {
        let text = serde_json::to_string(&pages.state()).unwrap();
        let mut resumed = Pages::resume(PageStyle::cursor(), serde_json::from_str(&text).unwrap());
        assert_eq!(cursor_of(&resumed).as_deref(), Some("7"));
        assert!(matches!(resumed.answer(page(1, repeated)), Err(PageError::RepeatedCursor(_))));
    }
}

#[test]
fn x30_an_answer_without_a_page_is_never_success() {
    let good = page(1, NextField::Absent);
    for (fields, expected) in [
        (PageFields { status: 204, ..good }, PageError::Empty(204)),
        (PageFields { body: PageBody::Empty, ..good }, PageError::Empty(200)),
        (PageFields { body: PageBody::Malformed, ..good }, PageError::NotAnObject),
        (PageFields { items: None, ..good }, PageError::NoItems("entities".into())),
        (PageFields { status: 304, ..good }, PageError::Status(304)),
        (PageFields { status: 500, body: PageBody::Empty, ..good }, PageError::Status(500)),
    ] {
        let mut pages = Pages::new(PageStyle::cursor());
        assert_eq!(pages.answer(fields), Err(expected));
        assert!(!pages.is_done());
    }
    assert!(PageError::NoItems("entities".into()).to_string().contains("`entities`"));
}

#[test]
fn x30_after_an_error_the_run_resumes_from_the_last_good_page() {
    let mut pages = Pages::new(PageStyle::cursor());
    pages.answer(page(100, NextField::Text("a"))).unwrap();
    let good = pages.state();
    let failing = PageFields { status: 500, ..page(0, NextField::Absent) };
    pages.answer(failing).unwrap_err();
    assert_eq!(pages.state(), good);
    assert_eq!(pages.answer(page(1, NextField::Absent)), Err(PageError::Over));

    let mut resumed = Pages::resume(PageStyle::cursor(), pages.state());
    assert_eq!(cursor_of(&resumed).as_deref(), Some("a"));
    let step = resumed.answer(page(5, NextField::Null)).unwrap();
    assert_eq!(step, PageStep { items: 5, total: 105, more: false });
    assert_eq!(Pages::resume(PageStyle::cursor(), resumed.state()).request(), None);
}

proptest! {
    #[test]
    fn x30_no_cursor_is_ever_asked_for_twice(cursors in prop::collection::vec("[a-d]{0,2}", 0..40)) {
        let mut pages = Pages::new(PageStyle::cursor());
        let mut asked = BTreeSet::new();
        for next in &cursors {
            let Some(request) = pages.request() else { break };
            prop_assert!(asked.insert(request.query), "a page is asked for twice");
            let before = pages.state();
            if pages.answer(page(1, NextField::Text(next))).is_err() {
                prop_assert_eq!(pages.state(), before);
                break;
            }
            pages = Pages::resume(PageStyle::cursor(), pages.state());
        }
    }
}

#[test]
fn x30_a_circle_is_noticed_however_long_it_is_and_the_state_stays_small() {
    for length in [1, 2, 300, 1000] {
        let mut pages = Pages::new(PageStyle::cursor());
        let asked = (0_u64..).find(|n| {
            let next = page(1, NextField::Number(if *n < 50 { 10_000 + n } else { n % length }));
            pages = Pages::resume(PageStyle::cursor(), pages.state());
            assert!(pages.position().seen.len() <= REMEMBERED + 1);
            pages.answer(next).is_err()
        });
        let most = if length < REMEMBERED as u64 { 51 + length } else { 50 + 3 * length };
        assert!(asked.unwrap() <= most, "{length}: after {asked:?}");
    }
}

#[test]
fn x30_as_many_cursors_are_remembered_as_promised() {
    let mut pages = Pages::new(PageStyle::cursor());
    // The landmark is the one that was forgotten last at a power of two.
    let last = 2 * REMEMBERED as u64 + 10;
    for cursor in 0..=last {
        pages.answer(page(1, NextField::Number(cursor))).unwrap();
    }
    let oldest = last + 1 - REMEMBERED as u64;
    for (cursor, known) in [(last, true), (oldest, true), (oldest - 1, false)] {
        let again = pages.clone().answer(page(1, NextField::Number(cursor)));
        assert_eq!(again.is_err(), known, "{cursor}");
    }
}

#[test]
fn links_are_followed_on_the_origin_that_was_asked_and_no_other() {
    let style = PageStyle::links("agents").page_size(2);
    let mut pages = Pages::new(style.clone());
    assert_eq!(query_of(&pages), [("top", "2".to_owned())]);
    assert_eq!((style.items_field(), style.next_field()), ("agents", "_links.next"));
    assert_eq!(style.total_field(), "totalRecords");
    let next = "https://h.example/services/agents?skip=2&top=2";
    pages.answer(PageFields { total: Some(3), ..page(2, NextField::Text(next)) }).unwrap();
    let request = pages.request().unwrap();
    assert_eq!(request.link.as_deref(), Some("/services/agents?skip=2&top=2"));
    assert_eq!(request.query, []);
    let error = pages.clone().answer(page(2, NextField::Number(2))).unwrap_err();
    assert_eq!(error, PageError::BadCursor("_links.next"));
    for away in ["https://evil.example/agents", "//evil.example/agents", "agents?skip=2"] {
        let error = pages.clone().answer(page(2, NextField::Text(away))).unwrap_err();
        assert_eq!(error, PageError::OtherOrigin("_links.next"));
    }
    let error = pages.clone().answer(page(2, NextField::Text(next))).unwrap_err();
    assert_eq!(error, PageError::RepeatedCursor("_links.next"));
    pages.answer(PageFields { total: Some(3), ..page(1, NextField::Null) }).unwrap();
    assert!(pages.is_done());
}

#[test]
fn a_run_that_ends_before_the_stated_total_is_an_error() {
    for style in [PageStyle::links("agents"), PageStyle::segments(), PageStyle::search("users")] {
        let mut pages = Pages::new(style.clone());
        let items = if style.in_body() { 0 } else { 2 };
        let short = PageFields { total: Some(3), ..page(items, NextField::Absent) };
        let error = pages.answer(short).unwrap_err();
        assert_eq!(error, PageError::Incomplete { items, total: 3 }, "{}", style.name());
        // Who begins in the middle cannot count.
        let state = PageState { cursor: Some("/agents?skip=1".into()), ..PageState::default() };
        assert!(Pages::resume(style, state).answer(short).is_ok());
    }
}

#[test]
fn updated_since_goes_on_from_the_last_poll_time_until_there_is_no_more() {
    let style = PageStyle::updated_since(Wall::from_millis(1_795_392_000_000));
    let mut pages = Pages::new(style.clone());
    assert_eq!(query_of(&pages), [("updatedSince", "2026-11-23T00:00:00.000Z".to_owned())]);
    let next = NextField::Text("2026-11-23T01:00:00");
    pages.answer(PageFields { fingerprints: &[3, 1, 2], ..page(3, next) }).unwrap();
    assert_eq!(query_of(&pages), [("updatedSince", "2026-11-23T01:00:00Z".to_owned())]);
    // One of the last page's comes again.
    assert!(pages.is_repeated(2) && !pages.is_repeated(4));
    let next = NextField::Text("2026-11-23T02:00:00Z");
    let step = pages.answer(PageFields { fingerprints: &[2, 4], ..page(2, next) }).unwrap();
    assert_eq!(step, PageStep { items: 1, total: 4, more: true });

    // Ways to end: 204, an empty page, and, when what came before at the same time comes again,
    // nothing a millisecond later.
    let none = PageFields { status: 204, body: PageBody::Empty, ..page(0, NextField::Absent) };
    let later = page(0, NextField::Text("2026-11-23T03:00:00Z"));
    let same = PageFields { fingerprints: &[4], ..page(1, next) };
    for end in [none, page(0, next), later, same] {
        let mut pages = pages.clone();
        let mut step = pages.answer(end).unwrap();
        if end == same {
            assert_eq!(step, PageStep { items: 0, total: 4, more: true });
            assert_eq!(query_of(&pages), [("updatedSince", "2026-11-23T02:00:00.001Z".to_owned())]);
            step = pages.answer(none).unwrap();
        }
        assert_eq!(step, PageStep { items: 0, total: 4, more: false });
        assert_eq!(pages.request(), None);
        // A later run asks for what came since, and knows what it has.
        let later = Pages::resume(style.clone(), pages.state().reopen());
        assert_eq!(query_of(&later), [("updatedSince", "2026-11-23T02:00:00Z".to_owned())]);
        assert!(later.is_repeated(4));
    }
    // A new one at the same time: more of them may follow.
    let both = PageFields { fingerprints: &[4, 5], ..page(2, next) };
    assert!(pages.answer(both).unwrap().more);
    // One that goes back does not go on.
    let back = NextField::Text("2026-11-23T01:00:00Z");
    let back = PageFields { fingerprints: &[6], ..page(1, back) };
    assert_eq!(pages.answer(back), Err(PageError::RepeatedCursor("lastPollTime")));
}

/// A run over records, each its number and its time in ms of a day, of which an answer holds so
/// many; some come after so many answers. What it has brought, and whether it has come to its end.
fn poll(size: usize, records: &[(u64, u64)], later: &[(usize, u64, u64)]) -> Polled {
    poll_by(
        PageStyle::updated_since(Wall::from_millis(0)).page_size(size as u32),
        size,
        records,
        later,
    )
}

/// The same in a style which may believe that an answer holds more.
fn poll_by(
    style: PageStyle,
    size: usize,
    records: &[(u64, u64)],
    later: &[(usize, u64, u64)],
) -> Polled {
    let mut pages = Pages::new(style);
    let (mut records, mut kept) = (records.to_vec(), Vec::new());
    for answers in 0..100 {
        let Some(request) = pages.request() else { return (kept, Ok(answers)) };
        let from = request.query[0].1.clone();
        let due = records.iter().filter(|(_, time)| timestamp(*time) >= from).take(size);
        let due: Vec<(u64, u64)> = due.copied().collect();
        let marks: Vec<u64> = due.iter().map(|(record, _)| *record).collect();
        let last = due.last().map_or(0, |(_, time)| *time);
        let next = timestamp(last);
        let fields =
            PageFields { fingerprints: &marks, ..page(due.len() as u64, NextField::Text(&next)) };
        kept.extend(marks.iter().filter(|mark| !pages.is_repeated(**mark)));
        if let Err(error) = pages.answer(fields) {
            return (kept, Err(error));
        }
        records.extend(later.iter().filter(|it| it.0 == answers).map(|it| (it.1, it.2)));
    }
    panic!("it does not end")
}

type Polled = (Vec<u64>, Result<usize, PageError>);

#[test]
fn more_records_of_one_time_than_an_answer_holds_are_an_error_and_never_the_end() {
    let at = |time: u64, records: std::ops::Range<u64>| records.map(move |it| (it, time));
    let all = |n: u64| (0..n).collect::<Vec<_>>();
    let records = |parts: &[(u64, std::ops::Range<u64>)]| -> Vec<(u64, u64)> {
        parts.iter().flat_map(|(time, part)| at(*time, part.clone())).collect()
    };
    // As many as an answer holds, before and after others: all come.
    let fits = records(&[(1, 0..3), (2, 3..8), (3, 8..10)]);
    assert_eq!(poll(6, &fits, &[]).0, all(10));
    assert!(poll(6, &fits, &[]).1.is_ok());
    // One more hides what follows, …
    let hidden = records(&[(1, 0..3), (2, 3..9), (3, 9..11)]);
    assert_eq!(poll(5, &hidden, &[]).1, Err(PageError::Crowded(5)));
    // … and itself, where nothing follows.
    let last = records(&[(1, 0..3), (2, 3..9)]);
    assert_eq!(poll(5, &last, &[]).1, Err(PageError::Crowded(5)));
    // From the first page on, too.
    let first = records(&[(2, 0..9), (3, 9..10)]);
    assert_eq!(poll(5, &first, &[]).1, Err(PageError::Crowded(5)));
    let only = records(&[(2, 0..150)]);
    assert_eq!(poll(100, &only, &[]).1, Err(PageError::Crowded(100)));
    // That more is hidden is seen whatever the answers are believed to hold.
    let style = PageStyle::updated_since(Wall::from_millis(0));
    assert_eq!(poll_by(style.clone(), 6, &fits, &[]).0, all(10));
    assert_eq!(poll_by(style, 5, &hidden, &[]).1, Err(PageError::Crowded(5)));
    // Few that are all there is are few that are all there is.
    assert_eq!(poll(100, &records(&[(2, 0..2)]), &[]), (all(2), Ok(3)));
    // So are one that was updated, and those that a later run finds as they were.
    let style = PageStyle::updated_since(Wall::from_millis(0));
    let mut pages = Pages::new(style.clone());
    for (mark, time) in [(1, 1), (2, 2), (2, 2), (2, 2)] {
        let next = timestamp(time);
        let one = PageFields { fingerprints: &[mark], ..page(1, NextField::Text(&next)) };
        while pages.request().is_some_and(|it| it.query[0].1 <= next) {
            pages.answer(one).unwrap();
        }
        let none = PageFields { status: 204, body: PageBody::Empty, ..page(0, NextField::Absent) };
        assert!(!pages.answer(none).unwrap().more, "{mark} at {time}");
        pages = Pages::resume(style.clone(), pages.state().reopen());
    }
    // What comes between two looks hides nothing, and is not missed.
    for answers in 0..4 {
        let (kept, end) = poll(5, &records(&[(1, 0..2)]), &[(answers, 2, 2), (answers, 3, 3)]);
        assert!(end.is_ok(), "{answers}: {end:?}");
        let due = if answers < 2 { 4 } else { 2 };
        assert_eq!(kept, all(due), "{answers}");
    }
}

#[test]
fn a_server_that_sees_no_milliseconds_ends_too() {
    let mut pages = Pages::new(PageStyle::updated_since(Wall::from_millis(0)));
    let next = NextField::Text("2026-11-23T02:00:00Z");
    let same = PageFields { fingerprints: &[1, 2], ..page(2, next) };
    let steps: Vec<(u64, bool)> =
        (0..3).map(|_| pages.answer(same).map(|it| (it.items, it.more)).unwrap()).collect();
    assert_eq!(steps, [(2, true), (0, true), (0, false)]);
    // Of a time in another zone nobody asks for what follows it.
    let mut pages = Pages::new(PageStyle::updated_since(Wall::from_millis(0)));
    let there = PageFields { next: NextField::Text("2026-11-23T02:00:00+02:00"), ..same };
    assert!(pages.answer(there).unwrap().more);
    assert!(!pages.answer(there).unwrap().more);
}

#[test]
fn windows_follow_one_another_without_a_gap_and_the_last_one_is_cut() {
    const HOUR: u64 = 3_600_000;
    let style =
        PageStyle::windows("skillSummaries", Wall::from_millis(0), Wall::from_millis(5 * HOUR));
    let long = PageStyle::windows("s", Wall::from_millis(0), Wall::from_millis(50 * HOUR));
    assert_eq!(Pages::new(long).request().unwrap().query[1].1, "1970-01-02T00:00:00.000Z");
    let mut pages = Pages::new(style.window(core::time::Duration::from_secs(2 * 3600)));
    let mut asked = Vec::new();
    while let Some(request) = pages.request() {
        let [(_, start), (_, end)] = &request.query[..] else { panic!("{request:?}") };
        asked.push(format!("{}-{}", &start[11..16], &end[11..16]));
        let empty = PageFields { status: 204, body: PageBody::Empty, ..page(0, NextField::Absent) };
        pages = Pages::resume(pages.style().clone(), pages.state());
        pages.answer(if asked.len() == 2 { empty } else { page(2, NextField::Absent) }).unwrap();
    }
    assert_eq!(asked, ["00:00-02:00", "02:00-04:00", "04:00-05:00"]);
    assert_eq!(pages.position().items, 4);
}

#[test]
fn a_scroll_ends_with_an_empty_page_and_is_checked_against_its_hits() {
    let mut pages = Pages::new(PageStyle::scroll());
    assert_eq!(query_of(&pages), []);
    pages.answer(PageFields { total: Some(3), ..page(2, NextField::Text("t1")) }).unwrap();
    assert_eq!(query_of(&pages), [("scrollToken", "t1".to_owned())]);
    let short = PageFields { total: Some(3), ..page(0, NextField::Text("t2")) };
    let error = pages.clone().answer(short).unwrap_err();
    assert_eq!(error, PageError::Incomplete { items: 2, total: 3 });
    pages.answer(PageFields { total: Some(3), ..page(1, NextField::Text("t2")) }).unwrap();
    pages.answer(PageFields { total: Some(3), ..page(0, NextField::Text("t2")) }).unwrap();
    assert!(pages.is_done());
}

#[test]
fn segments_take_the_next_cursor_as_a_number_or_out_of_a_link() {
    for next in [
        NextField::Number(100),
        NextField::Text("100"),
        NextField::Text("https://else.example/v2/segments/analyzed?cursor=100&pageSize=100"),
    ] {
        let mut pages = Pages::new(PageStyle::segments());
        assert_eq!(query_of(&pages), [("pageSize", "100".to_owned())]);
        pages.answer(page(100, next)).unwrap();
        let query = [("pageSize", "100".to_owned()), ("cursor", "100".to_owned())];
        assert_eq!(query_of(&pages), query);
    }
    let mut pages = Pages::new(PageStyle::segments());
    let error = pages.answer(page(1, NextField::Text("https://h.example/a"))).unwrap_err();
    assert_eq!(error, PageError::BadCursor("links.next"));
}

#[test]
fn a_search_skips_what_came_and_not_what_was_asked_for() {
    let mut pages = Pages::new(PageStyle::search("users").page_size(50));
    assert!(pages.style().in_body());
    assert_eq!(query_of(&pages), [("skip", "0".to_owned()), ("top", "50".to_owned())]);
    pages.answer(page(20, NextField::Absent)).unwrap();
    assert_eq!(query_of(&pages), [("skip", "20".to_owned()), ("top", "50".to_owned())]);
    let last = PageFields { total: Some(30), ..page(10, NextField::Absent) };
    assert!(!pages.clone().answer(last).unwrap().more);
    // Without a total an empty page ends it.
    assert!(pages.answer(page(10, NextField::Absent)).unwrap().more);
    assert!(!pages.answer(page(0, NextField::Absent)).unwrap().more);
}

#[test]
fn each_style_is_found_by_its_name() {
    for name in PageStyle::all_names() {
        assert_eq!(PageStyle::named(name).unwrap().name(), name);
    }
    assert_eq!(PageStyle::all_names().count(), 7);
    assert_eq!(PageStyle::named("offset"), None);
}

/// A server of records 0 to `n`, in each of the styles; page sizes as it likes.
struct Server {
    n: u64,
    sizes: Vec<u64>,
}

/// Its answer, with room for what the fields point to.
struct Answer {
    records: Vec<u64>,
    next: String,
    total: Option<u64>,
}

impl Server {
    /// Answers, or says that there is nothing more.
    fn answer(&self, style: &PageStyle, request: &PageRequest, round: usize) -> Option<Answer> {
        let value = |name| request.query.iter().find(|(it, _)| *it == name).map(|(_, it)| &**it);
        let size = self.sizes[round % self.sizes.len()].max(1);
        let number = |text: Option<&str>| text.map_or(0, |text| text.parse().unwrap());
        let from_start = |first: u64| (first..self.n.min(first + size)).collect::<Vec<u64>>();
        let total = Some(self.n).filter(|_| !style.total_field().is_empty());
        let (records, next) = match style.name() {
            "links" => {
                let skip = request.link.as_ref().map(|link| link.rsplit('=').next().unwrap());
                let records = from_start(number(skip));
                let end = number(skip) + records.len() as u64;
                (records, (end < self.n).then(|| format!("https://h.example/a?skip={end}")))
            }
            // Three records share a time, and what was updated then comes again.
            "updated-since" => {
                let time = value("updatedSince").unwrap();
                let hour = |record: u64| format!("2026-11-23T00:00:00.{:03}Z", record / 3);
                let first = (0..self.n).find(|record| *hour(*record) >= *time)?;
                let records: Vec<u64> = (first..self.n.min(first + size.max(4))).collect();
                let next = hour(*records.last()?);
                (records, Some(next))
            }
            // A record a minute.
            "windows" => {
                let minute = |name| {
                    let time = value(name).unwrap();
                    let part = |range| time.get::<std::ops::Range<usize>>(range).unwrap();
                    part(11..13).parse::<u64>().unwrap() * 60 + number(Some(part(14..16)))
                };
                let records: Vec<u64> = (minute("startDate")..minute("endDate")).collect();
                (records.into_iter().filter(|it| *it < self.n).collect(), None)
            }
            "search" => (from_start(number(value("skip"))), None),
            _ => {
                let first = value(if style.name() == "scroll" { "scrollToken" } else { "cursor" });
                let records = from_start(number(first));
                let end = number(first) + records.len() as u64;
                let more = end < self.n || style.name() == "scroll";
                (records, more.then(|| end.to_string()))
            }
        };
        Some(Answer { records, next: next.unwrap_or_default(), total })
    }
}

proptest! {
    #[test]
    fn every_style_brings_each_record_once_through_throttles_and_kills(
        style in 0..7_usize,
        n in 0..60_u64,
        sizes in prop::collection::vec(1..9_u64, 1..5),
        troubles in prop::collection::vec(0..6_u8, 1..40),
    ) {
        let day = Wall::from_millis(1_795_392_000_000);
        let name = PageStyle::all_names().nth(style).unwrap();
        let style = PageStyle::named(name).unwrap().items("x").since(day);
        let style = style.until(Wall::from_millis(day.as_millis() + 3_600_000));
        let style = style.window(core::time::Duration::from_secs(7 * 60));
        let server = Server { n, sizes };
        let mut pages = Pages::new(style.clone());
        let (mut kept, mut checkpoint) = (Vec::new(), PageState::default());
        for round in 0..1000 {
            let Some(request) = pages.request() else { break };
            let trouble = troubles[round % troubles.len()];
            if trouble == 1 && round < 200 {
                // It ends with an error; what came is resumed from its state.
                let failed = PageFields { status: 429, ..page(0, NextField::Absent) };
                prop_assert_eq!(pages.answer(failed), Err(PageError::Status(429)));
                pages = Pages::resume(style.clone(), pages.state());
                continue;
            }
            let answer = server.answer(&style, &request, round);
            let (records, fields) = match &answer {
                None => (Vec::new(), PageFields { status: 204, ..page(0, NextField::Absent) }),
                Some(answer) => {
                    let next = NextField::Text(&answer.next);
                    let fields = page(answer.records.len() as u64, next);
                    (answer.records.clone(), PageFields { total: answer.total, ..fields })
                }
            };
            let fresh: Vec<u64> = match style.overlaps() {
                true => records.iter().copied().filter(|it| !pages.is_repeated(*it)).collect(),
                false => records.clone(),
            };
            let fields = PageFields { fingerprints: &records, ..fields };
            let step = pages.answer(fields).map_err(|error| {
                TestCaseError::fail(format!("{name} {request:?}: {error}"))
            })?;
            prop_assert_eq!(step.items, fresh.len() as u64);
            if trouble == 2 && round < 200 {
                // Killed before the page was kept.
                pages = Pages::resume(style.clone(), checkpoint.clone());
                continue;
            }
            kept.extend(fresh);
            let text = serde_json::to_string(&pages.state()).unwrap();
            checkpoint = serde_json::from_str(&text).unwrap();
            if trouble == 3 {
                pages = Pages::resume(style.clone(), checkpoint.clone());
            }
        }
        prop_assert!(pages.is_done(), "{name} does not end");
        prop_assert_eq!(kept, (0..n).collect::<Vec<_>>(), "{}", name);
        prop_assert_eq!(pages.position().items, n);
    }
}
