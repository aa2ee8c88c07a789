//! The seven ways in which CXone's APIs page, as one table.

use alloc::borrow::Cow;
use core::time::Duration;

use crate::time::Wall;

/// How an API pages: what its requests carry and which fields its answers name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PageStyle {
    pub(super) kind: Kind,
    pub(super) page_size: u32,
    pub(super) since: Option<Wall>,
    pub(super) until: Option<Wall>,
    pub(super) window: Duration,
    items: Cow<'static, str>,
    total: Cow<'static, str>,
}

/// In the order of [`NAMES`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Cursor,
    Links,
    UpdatedSince,
    Windows,
    Scroll,
    Segments,
    Search,
}

/// What is particular to a style; an empty text is none.
pub(super) struct Names {
    style: &'static str,
    /// The parameter for the page's size, …
    pub(super) size: &'static str,
    /// … and for which page it is.
    pub(super) cursor: &'static str,
    items: &'static str,
    next: &'static str,
    total: &'static str,
    page_size: u32,
}

const NAMES: [Names; 7] = [
    names("cursor", ["page_size", "cursor", "entities", "next_page_token", ""], 100),
    names("links", ["top", "", "", "_links.next", "totalRecords"], 500),
    names("updated-since", ["", "updatedSince", "completedContacts", "lastPollTime", ""], 10_000),
    names("windows", ["", "startDate", "", "", ""], 0),
    names("scroll", ["", "scrollToken", "data", "scrollToken", "hits"], 0),
    names("segments", ["pageSize", "cursor", "interactions", "links.next", "totalRecords"], 100),
    names("search", ["top", "skip", "users", "", "totalRecords"], 50),
];

const fn names(style: &'static str, names: [&'static str; 5], page_size: u32) -> Names {
    let [size, cursor, items, next, total] = names;
    Names { style, size, cursor, items, next, total, page_size }
}

const KINDS: [Kind; 7] = [
    Kind::Cursor,
    Kind::Links,
    Kind::UpdatedSince,
    Kind::Windows,
    Kind::Scroll,
    Kind::Segments,
    Kind::Search,
];

/// How long a window is unless another length is chosen.
const DAY: Duration = Duration::from_secs(24 * 3600);

impl PageStyle {
    /// Queries `cursor` and `page_size`, answers `entities` and `next_page_token`:
    /// `/api/v2.0/interactions` and its like. A page has 100 items.
    pub fn cursor() -> PageStyle {
        PageStyle::of(Kind::Cursor)
    }

    /// Query `top`, then the link in `_links.next`, which must be of the origin that was asked;
    /// `totalRecords` is checked. Agents, skills, teams and most lists of the ACD APIs, whose
    /// `items` are under a name of their own. A page has 500 items.
    ///
    /// The server counts: records that are removed during a run shift others past its reach, and
    /// those that are added may come twice.
    pub fn links(items: impl Into<Cow<'static, str>>) -> PageStyle {
        PageStyle::of(Kind::Links).items(items)
    }

    /// Query `updatedSince`, the next one from `lastPollTime`, until a 204 or an empty page:
    /// contacts/completed, whose items are `completedContacts`, and state-history.
    ///
    /// Pages overlap where records share a time: those that came before, to the byte, are left
    /// out ([`Pages::is_repeated`](super::Pages::is_repeated)). A record that was updated during
    /// the run comes again, in its new form. A state at its end can be
    /// [reopened](super::PageState::reopen) for what came later.
    ///
    /// Of the records of one time only as many can be had as an answer holds: 10 000 at the
    /// platform, or what [`page_size`](PageStyle::page_size) says. When a page brings nothing new it
    /// is asked what follows a millisecond later, and where more is hidden, or the page is as long as
    /// that, the run fails with [`PageError::Crowded`](super::PageError::Crowded). A server whose
    /// answers hold fewer than it is believed to can hide the rest of its last records that way.
    pub fn updated_since(since: Wall) -> PageStyle {
        PageStyle::of(Kind::UpdatedSince).since(since)
    }

    /// Queries `startDate` and `endDate`, one window after the other, each of a day unless
    /// [`window`](PageStyle::window) says otherwise, and no paging inside: skills/summary and
    /// wfm-data, whose `items` are under a name of their own. A window without anything (204) is
    /// empty.
    pub fn windows(items: impl Into<Cow<'static, str>>, since: Wall, until: Wall) -> PageStyle {
        PageStyle::of(Kind::Windows).items(items).since(since).until(until)
    }

    /// Query `scrollToken`, answers `data`, `scrollToken` and `hits`, which is checked, until an
    /// empty page: Digital contacts. The token lives for some minutes: who resumes later starts
    /// anew.
    pub fn scroll() -> PageStyle {
        PageStyle::of(Kind::Scroll)
    }

    /// Queries `cursor` (a number) and `pageSize`, answers `interactions` and `links.next`, a link
    /// with the next cursor or the cursor itself; `totalRecords` is checked: segments of
    /// Interaction Analytics. A page has 100 items.
    pub fn segments() -> PageStyle {
        PageStyle::of(Kind::Segments)
    }

    /// `skip` and `top` in the body of a POST, until `totalRecords` or an empty page: the searches
    /// of user-management. A page has 50 items, of which the server may send fewer; those that
    /// came are counted. Records that are removed during a run shift others past its reach.
    pub fn search(items: impl Into<Cow<'static, str>>) -> PageStyle {
        PageStyle::of(Kind::Search).items(items)
    }

    /// The style of this name: `cursor`, `links`, `updated-since`, `windows`, `scroll`, `segments`
    /// or `search`.
    pub fn named(name: &str) -> Option<PageStyle> {
        let named = |kind: &&Kind| NAMES[**kind as usize].style == name;
        KINDS.iter().find(named).map(|kind| PageStyle::of(*kind))
    }

    /// The names of all styles.
    pub fn all_names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|names| names.style)
    }

    fn of(kind: Kind) -> PageStyle {
        let names = &NAMES[kind as usize];
        PageStyle {
            kind,
            page_size: names.page_size,
            since: None,
            until: None,
            window: DAY,
            items: names.items.into(),
            total: names.total.into(),
        }
    }

    /// Asks for `items` a page, in the styles that can; 0 counts as 1. Of
    /// [`updated_since`](PageStyle::updated_since) it says what the server's answers hold at most.
    pub fn page_size(mut self, items: u32) -> PageStyle {
        self.page_size = items.max(1);
        self
    }

    /// The items are in this field.
    pub fn items(mut self, field: impl Into<Cow<'static, str>>) -> PageStyle {
        self.items = field.into();
        self
    }

    /// The number of all items is in this field; an empty name is none, and nothing is checked.
    pub fn total(mut self, field: impl Into<Cow<'static, str>>) -> PageStyle {
        self.total = field.into();
        self
    }

    /// From when on, in the styles with times: sent as `YYYY-MM-DDThh:mm:ss.sssZ`.
    pub fn since(mut self, since: Wall) -> PageStyle {
        self.since = Some(since);
        self
    }

    /// Until when: the end of the last window.
    pub fn until(mut self, until: Wall) -> PageStyle {
        self.until = Some(until);
        self
    }

    /// How long a window is, at least 1 ms.
    pub fn window(mut self, length: Duration) -> PageStyle {
        self.window = length;
        self
    }

    /// How many items it asks for on a page; where that is the server's to say, 0 or what
    /// [`page_size`](PageStyle::page_size) says of it.
    pub fn items_a_page(&self) -> u32 {
        self.page_size
    }

    /// Its name, by which [`named`](PageStyle::named) finds it.
    pub fn name(&self) -> &'static str {
        self.names().style
    }

    /// The field of an answer that holds the items: an array. A `.` leads into an object.
    pub fn items_field(&self) -> &str {
        &self.items
    }

    /// The field of an answer that names the next page; empty if none does.
    pub fn next_field(&self) -> &'static str {
        self.names().next
    }

    /// The field of an answer that holds the number of all items; empty if none does.
    pub fn total_field(&self) -> &str {
        &self.total
    }

    /// Do its requests have to be a POST, with what pages in the body?
    pub fn in_body(&self) -> bool {
        self.kind == Kind::Search
    }

    /// May a page hold items of the one before it, so that their fingerprints are needed?
    pub fn overlaps(&self) -> bool {
        self.kind == Kind::UpdatedSince
    }

    pub(super) fn names(&self) -> &'static Names {
        &NAMES[self.kind as usize]
    }
}
