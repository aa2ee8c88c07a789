//! Items and pages as a `Stream`, driven by the page machine of the engine's crate.

use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use cxone_core::Priority;
use cxone_core::page::{
    NextField, PageBody, PageError, PageFields, PageState, PageStyle, Pages, fingerprint,
};
use futures_core::Stream;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::address::{is_relative, resolve};
use crate::client::Client;
use crate::error::{Error, ErrorKind};
use crate::json::{at, at_mut};
use crate::request::RequestBuilder;
use crate::response::Response;

/// All items of a paged API: a `Stream` of `Result<T, Error>`, one request at a time.
///
/// Each page is a request like any other: throttles, dead tokens and transient failures are dealt
/// with before anything is seen of them. Nothing is fetched before it is polled for.
///
/// # Errors
///
/// A page that cannot be had, or used, is an error, and the last thing that the stream yields:
/// nothing is fetched after it, and an incomplete run never looks like a complete one. Besides
/// the errors of any request:
///
/// - [`ErrorKind::Page`] for a page without a body (204) where that is not the style's end, one
///   that is no JSON object or holds no array of items, for a cursor that came before, which would
///   lead in circles, a link to another origin, and an end before the total that the server states;
/// - [`ErrorKind::Decode`] for an item that is no `T`.
///
/// [`state`](Paginate::state) then tells from where to [`resume`](Paginate::resume).
#[must_use = "a stream does nothing until it is polled"]
pub struct Paginate<T> {
    pages: PageStream<T>,
    items: VecDeque<T>,
    /// From where to resume: before and after the page whose items are being yielded.
    before: PageState,
    after: PageState,
}

impl<T: DeserializeOwned> Paginate<T> {
    pub(crate) fn new(client: Client, path: &str) -> Paginate<T> {
        Paginate {
            pages: PageStream {
                pages: Pages::new(PageStyle::cursor()),
                client,
                path: path.to_owned(),
                query: Ok(Vec::new()),
                body: Ok(Map::new()),
                priority: Priority::Normal,
                scope: None,
                next: Next::Idle,
                page: PhantomData,
            },
            items: VecDeque::new(),
            before: PageState::default(),
            after: PageState::default(),
        }
    }

    /// How the API pages. Default [`PageStyle::cursor`]. The items of the style
    /// [`search`](PageStyle::search) come by `POST`, those of the others by `GET`.
    pub fn style(mut self, style: PageStyle) -> Self {
        self.pages.pages = Pages::resume(style, self.after.clone());
        self
    }

    /// Asks for so many items a page. The default is the style's, 100 for the first.
    pub fn page_size(self, items: u32) -> Self {
        let style = self.pages.pages.style().clone().page_size(items);
        self.style(style)
    }

    /// Adds to the query of each page: filters.
    pub fn query<Q: Serialize + ?Sized>(mut self, query: &Q) -> Self {
        if let Ok(pairs) = &mut self.pages.query {
            let added = serde_urlencoded::to_string(query);
            match added {
                Ok(added) => pairs.extend(
                    form_urlencoded::parse(added.as_bytes())
                        .map(|(name, value)| (name.into_owned(), value.into_owned())),
                ),
                Err(cause) => self.pages.query = Err(Some(cause)),
            }
        }
        self
    }

    /// The rest of the body where the style pages in it: a JSON object, such as filters.
    pub fn json<B: Serialize + ?Sized>(mut self, body: &B) -> Self {
        self.pages.body = match serde_json::to_value(body) {
            Ok(Value::Object(members)) => Ok(members),
            Ok(_) => Err(None),
            Err(cause) => Err(Some(cause)),
        };
        self
    }

    /// The class of its requests. Default [`Priority::Normal`].
    pub fn priority(mut self, priority: Priority) -> Self {
        self.pages.priority = priority;
        self
    }

    /// The scope whose limit its requests consume.
    pub fn rate_scope(mut self, scope: &str) -> Self {
        self.pages.scope = Some(scope.to_owned());
        self
    }

    /// Starts at the page that a cursor names, instead of at the first one.
    pub fn from_cursor(self, cursor: impl Into<String>) -> Self {
        self.resume(PageState { cursor: Some(cursor.into()), ..PageState::default() })
    }

    /// Goes on where another run stopped. Its [`state`](Self::state) can be stored: it is
    /// `Serialize` and `Deserialize`.
    pub fn resume(mut self, state: PageState) -> Self {
        self.after = state.clone();
        self.pages.pages = Pages::resume(self.pages.pages.style().clone(), state);
        self
    }

    /// Yields whole pages, each with the state from which to resume after it.
    pub fn pages(self) -> PageStream<T> {
        self.pages
    }

    /// From where to resume so that nothing is missed: after the last page whose items have all
    /// been yielded. (The items of a page that was begun come again.)
    pub fn state(&self) -> &PageState {
        if self.items.is_empty() { &self.after } else { &self.before }
    }
}

// Items are moved in and out, and never pinned.
impl<T> Unpin for Paginate<T> {}

impl<T: DeserializeOwned> Stream for Paginate<T> {
    type Item = Result<T, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(item) = self.items.pop_front() {
                return Poll::Ready(Some(Ok(item)));
            }
            match ready!(Pin::new(&mut self.pages).poll_next(cx)) {
                Some(Ok(page)) => {
                    self.items = page.items.into();
                    self.before = mem::replace(&mut self.after, page.state);
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

/// One page of items.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Page<T> {
    /// Its items, in the server's order.
    pub items: Vec<T>,
    /// Which page of the run it is, from 1 on; pages before a resumed run count.
    pub number: u64,
    /// How many items the run has brought so far, these included.
    pub total: u64,
    /// From where to resume after this page.
    pub state: PageState,
}

/// All pages of a paged API: a `Stream` of `Result<Page<T>, Error>`. See [`Paginate`], whose
/// errors are the same.
#[must_use = "a stream does nothing until it is polled"]
pub struct PageStream<T> {
    pages: Pages,
    client: Client,
    path: String,
    /// An error of its own waits here for the first poll.
    query: Result<Vec<(String, String)>, Option<serde_urlencoded::ser::Error>>,
    body: Result<Map<String, Value>, Option<serde_json::Error>>,
    priority: Priority,
    scope: Option<String>,
    next: Next,
    page: PhantomData<fn() -> T>,
}

enum Next {
    Idle,
    Fetching(Pin<Box<dyn Future<Output = Result<Response, Error>> + Send>>),
    /// An error was yielded.
    Failed,
}

impl<T: DeserializeOwned> PageStream<T> {
    /// From where to resume so that no page is missed: after the last one yielded.
    pub fn state(&self) -> PageState {
        self.pages.state()
    }

    /// The request for the next page; `None` after the last one.
    fn request(&mut self) -> Option<Result<RequestBuilder, Error>> {
        let page = self.pages.request()?;
        let (query, body) = match (&mut self.query, &mut self.body) {
            (Ok(query), Ok(body)) => (query, body),
            (Err(cause), _) => {
                let cause = cause.take().map(|cause| Arc::new(cause) as _);
                return Some(Err(Error::request("its query cannot be sent").caused_by(cause)));
            }
            (_, Err(cause)) => {
                let cause = cause.take().map(|cause| Arc::new(cause) as _);
                return Some(Err(Error::request("its body is no JSON object").caused_by(cause)));
            }
        };
        let request = if let Some(link) = &page.link {
            // It was followed on this origin only.
            let (base, found) = self.client.settings().base.now();
            match resolve(base, &self.path) {
                // It is not known yet where the APIs are: a path will do.
                Ok(_) if !found && is_relative(&self.path) => self.client.get(link).at_origin(),
                Ok((first, _)) => self.client.get(first.origin().ascii_serialization() + link),
                Err(error) => return Some(Err(error)),
            }
        } else if self.pages.style().in_body() {
            for (name, value) in page.query {
                let number = value.parse().map_or(Value::Null, u64::into);
                body.insert(name.to_owned(), number);
            }
            self.client.post(&self.path).idempotent().query(query).json(body)
        } else {
            self.client.get(&self.path).query(query).query(&page.query)
        };
        let request = request.priority(self.priority);
        Some(Ok(match &self.scope {
            Some(scope) => request.rate_scope(scope),
            None => request,
        }))
    }

    fn read(&mut self, response: &Response) -> Result<Page<T>, Error> {
        let style = self.pages.style().clone();
        let mut body = parse(response);
        let items = body.as_mut().ok().and_then(|object| at_mut(object, style.items_field()));
        let mut items = match items.map(Value::take) {
            Some(Value::Array(items)) => Some(items),
            _ => None,
        };
        let count = items.as_ref().map(|items| items.len() as u64);
        let mut fingerprints = Vec::new();
        if let (Some(items), true) = (&mut items, style.overlaps()) {
            fingerprints.extend(items.iter().map(|item| fingerprint(item.to_string().as_bytes())));
            let mut marks = fingerprints.iter();
            items.retain(|_| !marks.next().is_some_and(|mark| self.pages.is_repeated(*mark)));
        }
        // First, so that the run has not gone past items that are no `T`.
        let items = items.unwrap_or_default().into_iter().map(serde_json::from_value);
        let items: Result<Vec<T>, _> = items.collect();
        let items = items.map_err(|cause| response.decode_error(cause))?;
        let field = |name: &str| body.as_ref().ok().and_then(|object| at(object, name));
        let fields = PageFields {
            status: response.status().as_u16(),
            body: body.as_ref().map_or_else(|other| *other, |_| PageBody::Object),
            items: count,
            next: next_field(field(style.next_field())),
            total: field(style.total_field()).and_then(Value::as_u64),
            fingerprints: &fingerprints,
            origin: &response.url().origin().ascii_serialization(),
        };
        let step = self.pages.answer(fields).map_err(|error| page_error(response, error))?;
        let state = self.pages.state();
        Ok(Page { items, number: state.pages, total: step.total, state })
    }
}

impl<T: DeserializeOwned> Stream for PageStream<T> {
    type Item = Result<Page<T>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            let result = match &mut this.next {
                Next::Failed => return Poll::Ready(None),
                Next::Fetching(answer) => {
                    let answer = ready!(answer.as_mut().poll(cx));
                    this.next = Next::Idle;
                    answer.and_then(|response| this.read(&response))
                }
                Next::Idle => match this.request() {
                    None => return Poll::Ready(None),
                    Some(Ok(request)) => {
                        this.next = Next::Fetching(Box::pin(request.send()));
                        continue;
                    }
                    Some(Err(error)) => Err(error),
                },
            };
            if result.is_err() {
                this.next = Next::Failed;
            }
            return Poll::Ready(Some(result));
        }
    }
}

impl<T> fmt::Debug for Paginate<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Paginate").field("pages", &self.pages).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for PageStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.pages.state();
        f.debug_struct("PageStream")
            .field("pages", &state.pages)
            .field("items", &state.items)
            .field("done", &state.done)
            .finish_non_exhaustive()
    }
}

fn parse(response: &Response) -> Result<Map<String, Value>, PageBody> {
    let body = response.bytes();
    if body.trim_ascii().is_empty() {
        return Err(PageBody::Empty);
    }
    serde_json::from_slice(body).map_err(|_| PageBody::Malformed)
}

fn next_field(value: Option<&Value>) -> NextField<'_> {
    match value {
        None => NextField::Absent,
        Some(Value::Null) => NextField::Null,
        Some(Value::String(text)) => NextField::Text(text),
        Some(Value::Number(number)) => number.as_u64().map_or(NextField::Other, NextField::Number),
        Some(_) => NextField::Other,
    }
}

fn page_error(response: &Response, error: PageError) -> Error {
    let message = format!("Pagination Error: {error}");
    response.error(ErrorKind::Page, message).caused_by(Some(Arc::new(error)))
}
