//! NICE's own platform: what a sign-in discovers, and the same data set in each of its page styles.

use http::{Method, StatusCode, header, request::Parts};
use serde_json::{Value, json};

use crate::{
    PLATFORM_TOKEN_PATH, answer::Answer, files, interactions::interaction, routes::Query,
    shared::Shared, tokens::TENANT,
};

/// Where the APIs of the ACD are, whatever their version.
const ACD: &str = "/incontactapi/services/v";

/// What a Digital page holds.
const DIGITAL_PAGE: usize = 25;

/// Answers below `/.well-known/`.
pub(crate) fn configuration(shared: &Shared, head: &Parts) -> Answer {
    let query = Query::read(head.uri.query().unwrap_or_default());
    let origin = origin(head);
    match head.uri.path() {
        "/.well-known/openid-configuration" => Answer::json(
            StatusCode::OK,
            &json!({
                "issuer": origin,
                "token_endpoint": format!("{origin}{PLATFORM_TOKEN_PATH}"),
                "grant_types_supported": ["password", "refresh_token"],
            }),
        ),
        "/.well-known/cxone-configuration" => match query.get("tenantId") {
            Some(TENANT) => Answer::json(
                StatusCode::OK,
                &json!({
                    "api_endpoint": shared.config.api_endpoint.clone().unwrap_or(origin),
                    "area": "na1",
                    "domain": "niceincontact.com",
                }),
            ),
            _ => Answer::error(StatusCode::NOT_FOUND, "NotFound", "no such tenant"),
        },
        path => Answer::error(StatusCode::NOT_FOUND, "NotFound", &format!("nothing at {path}")),
    }
}

/// Answers an API request, if it is one of the platform's that are known.
pub(crate) fn answer(shared: &Shared, head: &Parts, query: &Query, body: &[u8]) -> Option<Answer> {
    let path = head.uri.path();
    let total = shared.lock().interactions;
    let get = head.method == Method::GET;
    let post = head.method == Method::POST;
    // In the wild it is written in both ways.
    let acd = path.get(..ACD.len()).filter(|start| start.eq_ignore_ascii_case(ACD));
    if acd.is_some() {
        let (_, route) = path[ACD.len()..].split_once('/')?;
        let segments: Vec<&str> = route.split('/').collect();
        return Some(match &segments[..] {
            [items @ ("agents" | "skills" | "teams")] if get => links(head, items, query, total),
            ["contacts", "completed"] if get => {
                updated_since(query, total, shared.config.poll_size)
            }
            ["skills", "summary"] if get => window(query, total),
            ["report-jobs", job] => report_job(shared, head, job, post),
            ["lists", "call-lists", _, "upload"] if post => {
                let id = shared.lock().jobs.submit(shared.config.job_polls);
                Answer::json(StatusCode::ACCEPTED, &json!({ "jobId": id }))
            }
            ["lists", "call-lists", "jobs", job] if get => {
                let done = shared.lock().jobs.poll(job)?;
                let status = if done { "Completed" } else { "Processing" };
                Answer::json(StatusCode::OK, &json!({ "jobId": job, "status": status }))
            }
            ["agent-sessions", session, "get-next-event"] if get => next_event(shared, session),
            _ => return None,
        });
    }
    Some(match path {
        "/dfo/3.0/contacts" if get => scroll(query, total),
        "/interaction-analytics-gateway/v2/segments/analyzed" if get => {
            segments(head, query, total)
        }
        "/user-management/v1/users/search" if post => search(body, total),
        "/data-extraction/v1/jobs" if post => {
            let id = shared.lock().jobs.submit(shared.config.job_polls);
            Answer::json(StatusCode::ACCEPTED, &json!(id))
        }
        "/media-playback/v1/contacts" if get => {
            let url = publish(shared, head);
            let interaction = json!({ "data": { "fileToPlayUrl": url } });
            Answer::json(StatusCode::OK, &json!({ "interactions": [interaction] }))
        }
        _ if get => {
            let job = path.strip_prefix("/data-extraction/v1/jobs/")?;
            let done = shared.lock().jobs.poll(job)?;
            let mut status = json!({ "id": job, "status": "RUNNING" });
            if done {
                status["status"] = "SUCCEEDED".into();
                status["result"] = json!({ "url": publish(shared, head) });
            }
            Answer::json(StatusCode::OK, &json!({ "jobStatus": status }))
        }
        _ => return None,
    })
}

/// One record: an interaction, with what contacts have besides.
fn record(index: usize) -> Value {
    let mut record = json!(interaction(index));
    for id in ["contactId", "agentId", "skillId", "teamId", "segmentId"] {
        record[id] = (index + 1).into();
    }
    record["lastUpdateTime"] = time(index).into();
    record
}

/// When a record was updated: three of them at a time, for what that may break.
fn time(index: usize) -> String {
    interaction(index / 3 * 3).start_time
}

fn page(total: usize, first: usize, size: usize) -> (std::ops::Range<usize>, Vec<Value>) {
    let end = total.min(first.saturating_add(size));
    let range = first.min(end)..end;
    (range.clone(), range.map(record).collect())
}

fn links(head: &Parts, items: &str, query: &Query, total: usize) -> Answer {
    let (Some(skip), Some(top)) = (number(query, "skip", 0), number(query, "top", 100)) else {
        return bad("skip and top are numbers");
    };
    let (range, records) = page(total, skip, top.clamp(1, 1000));
    let at = |skip| format!("{}{}?skip={skip}&top={top}", origin(head), head.uri.path());
    let mut value = json!({
        items: records,
        "totalRecords": total,
        "_links": { "self": at(skip) },
    });
    if range.end < total {
        value["_links"]["next"] = at(range.end).into();
    }
    Answer { page: Some(range), ..Answer::json(StatusCode::OK, &value) }
}

fn updated_since(query: &Query, total: usize, size: usize) -> Answer {
    let Some(since) = query.get("updatedSince").filter(|time| time.ends_with('Z')) else {
        return bad("updatedSince is a time with a literal Z");
    };
    let since = since.replace(".000Z", "Z");
    let first = (0..total).collect::<Vec<_>>().partition_point(|index| time(*index) < since);
    let last = total.checked_sub(1).map(time);
    if first == total || last.as_ref() == Some(&since) {
        return Answer::empty(StatusCode::NO_CONTENT);
    }
    // Past the end is past the last time: a page that reaches that holds all that share it.
    let reaches = |size: usize| last == Some(time(total.min(first + size) - 1));
    let size = if reaches(size) { total } else { size };
    let (range, records) = page(total, first, size);
    let next = time(range.end - 1);
    let value = json!({ "completedContacts": records, "lastPollTime": next });
    Answer { page: Some(range), ..Answer::json(StatusCode::OK, &value) }
}

fn window(query: &Query, total: usize) -> Answer {
    let bound = |name| query.get(name).filter(|time| time.ends_with('Z'));
    let (Some(start), Some(end)) = (bound("startDate"), bound("endDate")) else {
        return bad("startDate and endDate are times with a literal Z");
    };
    let (start, end) = (start.replace(".000Z", "Z"), end.replace(".000Z", "Z"));
    let indices: Vec<usize> = (0..total).collect();
    let first = indices.partition_point(|index| interaction(*index).start_time < start);
    let last = indices.partition_point(|index| interaction(*index).start_time < end);
    let (range, records) = page(last, first, total);
    if records.is_empty() {
        return Answer::empty(StatusCode::NO_CONTENT);
    }
    let value = json!({ "skillSummaries": records });
    Answer { page: Some(range), ..Answer::json(StatusCode::OK, &value) }
}

fn scroll(query: &Query, total: usize) -> Answer {
    let token = query.get("scrollToken").unwrap_or("scroll-0");
    let first = token.strip_prefix("scroll-").and_then(|first| first.parse().ok());
    let Some(first) = first.filter(|first| *first <= total) else {
        return bad("scrollToken is none that was handed out");
    };
    let (range, records) = page(total, first, DIGITAL_PAGE);
    let next = format!("scroll-{}", range.end);
    let value = json!({ "data": records, "hits": total, "scrollToken": next });
    Answer { page: Some(range), ..Answer::json(StatusCode::OK, &value) }
}

fn segments(head: &Parts, query: &Query, total: usize) -> Answer {
    let (Some(first), Some(size)) = (number(query, "cursor", 0), number(query, "pageSize", 20))
    else {
        return bad("cursor and pageSize are numbers");
    };
    let (range, records) = page(total, first, size.clamp(1, 500));
    let at =
        |cursor| format!("{}{}?cursor={cursor}&pageSize={size}", origin(head), head.uri.path());
    let mut value = json!({
        "interactions": records,
        "totalRecords": total,
        "links": { "self": at(first) },
    });
    if range.end < total {
        value["links"]["next"] = at(range.end).into();
    }
    Answer { page: Some(range), ..Answer::json(StatusCode::OK, &value) }
}

fn search(body: &[u8], total: usize) -> Answer {
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return bad("the body is a JSON object");
    };
    let member = |name: &str, by_default| match body.get(name) {
        None => Some(by_default),
        Some(value) => value.as_u64(),
    };
    let (Some(skip), Some(top)) = (member("skip", 0), member("top", 50)) else {
        return bad("skip and top are numbers");
    };
    let (range, records) = page(total, skip as usize, top.clamp(1, 50) as usize);
    let value = json!({ "users": records, "totalRecords": total });
    Answer { page: Some(range), ..Answer::json(StatusCode::OK, &value) }
}

fn report_job(shared: &Shared, head: &Parts, job: &str, post: bool) -> Answer {
    if post {
        let id = shared.lock().jobs.submit(shared.config.job_polls);
        return Answer::json(StatusCode::OK, &json!({ "jobId": id }));
    }
    let Some(done) = shared.lock().jobs.poll(job) else {
        return Answer::error(StatusCode::NOT_FOUND, "NotFound", "no such job");
    };
    let mut result = json!({ "jobId": job, "state": if done { "Finished" } else { "Running" } });
    if done {
        result["resultFileURL"] = publish(shared, head).into();
    }
    Answer::json(StatusCode::OK, &json!({ "jobResult": result }))
}

fn next_event(shared: &Shared, session: &str) -> Answer {
    let state = &mut *shared.lock();
    state.jobs.polls += 1;
    if !state.jobs.polls.is_multiple_of(3) {
        return Answer::empty(StatusCode::NOT_MODIFIED);
    }
    let event = json!({ "Type": "AgentState", "Number": state.jobs.polls / 3 });
    Answer::json(StatusCode::OK, &json!({ "sessionId": session, "events": [event] }))
}

/// The address of a new file: on another origin than the API, as object stores are.
fn publish(shared: &Shared, head: &Parts) -> String {
    let name = shared.lock().jobs.publish(shared.config.result_lifetime);
    format!("{}{}{name}", origin(head).replace("127.0.0.1", "localhost"), files::PREFIX)
}

fn origin(head: &Parts) -> String {
    let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| head.uri.authority().map(|host| host.as_str()));
    format!("http://{}", host.unwrap_or("localhost"))
}

fn number(query: &Query, name: &str, by_default: usize) -> Option<usize> {
    query.get(name).map_or(Some(by_default), |text| text.parse().ok())
}

fn bad(message: &str) -> Answer {
    Answer::error(StatusCode::BAD_REQUEST, "InvalidParameter", message)
}
