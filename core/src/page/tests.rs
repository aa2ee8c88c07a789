use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn page(items: u64, next: NextField<'_>) -> PageFields<'_> {
    PageFields { status: 200, body: PageBody::Object, items: Some(items), next }
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
    assert_eq!(pages.state().items, 107);
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
    let long = "x".repeat(MAX_CURSOR_BYTES + 1);
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
        (PageFields { items: None, ..good }, PageError::NoItems("entities")),
        (PageFields { status: 304, ..good }, PageError::Status(304)),
        (PageFields { status: 500, body: PageBody::Empty, ..good }, PageError::Status(500)),
    ] {
        let mut pages = Pages::new(PageStyle::cursor());
        assert_eq!(pages.answer(fields), Err(expected));
        assert!(!pages.is_done());
    }
    assert!(PageError::NoItems("entities").to_string().contains("`entities`"));
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
