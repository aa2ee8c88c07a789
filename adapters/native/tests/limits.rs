//! Refusals, pauses, and the order in which they are left.

mod common;

use std::time::{Duration, Instant, SystemTime};

use common::{ECHO, arrivals, builder, burst, client, mock, until};
use cxone_client::{Backoff, Client, ErrorKind, Notice, PauseReason, Priority, ScopeBy};
use cxone_mock::{Fault, LimitHeaders, Mock, RefusalBody, RetryAfter, Rule};

/// The next pause that is told.
async fn pause(notices: &mut cxone_client::Notices) -> Notice {
    loop {
        let notice = notices.recv().await.expect("a client");
        if matches!(notice, Notice::Paused { .. }) {
            return notice;
        }
    }
}

async fn queued(client: &Client, n: u64) {
    until("all are queued", async || client.stats().await.queued.iter().sum::<u64>() == n).await;
}

#[tokio::test]
async fn t10_t28_a_429_is_waited_for_whatever_its_body_is() {
    for body in [RefusalBody::Json, RefusalBody::Html, RefusalBody::Empty] {
        let limit = "fixed:6/1s".parse().unwrap();
        let mock = Mock::builder().limit(limit).refusal_body(body).start().await.unwrap();
        assert_eq!(burst(&client(&mock), 12).await, 0);
        let stats = mock.stats();
        assert!(stats.throttled > 0, "{stats:?}");
        assert_eq!(stats.early, 0);
    }
}

#[tokio::test]
async fn t14_x12_retry_after_as_a_date_also_of_a_skewed_clock() {
    for skew in [0, -3600, 3600] {
        let limit = "fixed:6/1s".parse().unwrap();
        let mock = Mock::builder().limit(limit).retry_after(RetryAfter::Date).clock_skew(skew);
        let mock = mock.start().await.unwrap();
        let start = Instant::now();
        assert_eq!(burst(&client(&mock), 9).await, 0);
        assert_eq!(mock.stats().early, 0, "skew {skew}");
        assert!(start.elapsed() < Duration::from_secs(6));
    }
}

#[tokio::test]
async fn t15_t16_t17_without_a_header_the_own_backoff_grows() {
    let mock = mock().await;
    mock.script(Rule::api(Fault::status(429)).times(4));
    let backoff = Backoff {
        base: Duration::from_millis(40),
        cap: Duration::from_millis(100),
        ..Backoff::default()
    };
    let client = builder(&mock).backoff(backoff).build().unwrap();
    let mut notices = client.notices();
    client.get(ECHO).send().await.unwrap();
    for (n, base) in [(1, 40), (2, 80), (3, 100), (4, 100)] {
        let Notice::Paused { wait, reason, attempt, scope, .. } = pause(&mut notices).await else {
            unreachable!()
        };
        assert_eq!((attempt, scope.as_str()), (n, "default"));
        assert_eq!(reason, PauseReason::Backoff { status: 429 });
        let most = Duration::from_millis(base + base / 2 + 1);
        assert!(wait >= Duration::from_millis(base) && wait <= most, "{n}: {wait:?}");
    }
}

#[tokio::test]
async fn t19_at_most_eight_are_in_flight_and_that_can_be_changed() {
    let mock = mock().await;
    let client = client(&mock);
    let slow = |n| {
        let requests = (0..n).map(|_| tokio::spawn(client.get("/api/v2.0/slow?ms=30").send()));
        let requests: Vec<_> = requests.collect();
        async {
            for request in requests {
                request.await.unwrap().unwrap();
            }
        }
    };
    slow(30).await;
    assert_eq!(mock.stats().max_in_flight, 8);
    client.set_concurrency(2).unwrap();
    mock.reset();
    slow(8).await;
    assert_eq!(mock.stats().max_in_flight, 2);
    assert_eq!(client.set_concurrency(0).unwrap_err().field(), "concurrency");
}

#[tokio::test]
async fn t18_t20_a_pause_accepts_requests_and_releases_them_in_order_of_priority() {
    let mock = mock().await;
    let client = builder(&mock).concurrency(1).build().unwrap();
    client.pause();
    client.pause();
    let mut requests = Vec::new();
    for (i, priority) in [Priority::Low, Priority::Normal, Priority::High].iter().enumerate() {
        for j in 0..2 {
            let request = client.get(format!("{ECHO}/{i}{j}")).priority(*priority);
            requests.push(tokio::spawn(request.send()));
            queued(&client, requests.len() as u64).await;
        }
    }
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(mock.stats().api_requests, 0);
    client.resume();
    for request in requests {
        request.await.unwrap().unwrap();
    }
    let paths = ["20", "21", "10", "11", "00", "01"].map(|path| format!("{ECHO}/{path}"));
    assert_eq!(arrivals(&mock), paths);
}

#[tokio::test]
async fn t20_one_scope_can_be_held_alone() {
    let mock = mock().await;
    let client = builder(&mock).scope_by(ScopeBy::Family).build().unwrap();
    client.pause_scope("dfo");
    let held = tokio::spawn(client.get("/dfo/3.0/contacts").send());
    client.get("/media-playback/v1/x").send().await.unwrap();
    assert!(!held.is_finished());
    assert!(client.stats().await.scopes.iter().any(|scope| scope.name == "dfo" && scope.held));
    client.resume_scope("dfo");
    held.await.unwrap().unwrap();
}

#[tokio::test]
async fn x7_t20_a_high_request_overtakes_the_low_ones_that_wait() {
    let mock = mock().await;
    mock.script(Rule::api(Fault::staggered(429, [1, 1])));
    let client = builder(&mock).concurrency(2).build().unwrap();
    let mut notices = client.notices();
    let low = (0..6).map(|i| client.get(format!("{ECHO}/low{i}")).priority(Priority::Low));
    let low: Vec<_> = low.map(|request| tokio::spawn(request.send())).collect();
    pause(&mut notices).await;
    let refused = Instant::now();
    until("both are refused", async || mock.stats().throttled == 2).await;
    let high = client.get(format!("{ECHO}/high")).priority(Priority::High).send().await.unwrap();
    assert_eq!(high.attempts(), 1);
    let took = refused.elapsed();
    assert!(took > Duration::from_millis(900) && took < Duration::from_millis(1600), "{took:?}");
    for request in low {
        request.await.unwrap().unwrap();
    }
    assert_eq!(arrivals(&mock)[2], format!("{ECHO}/high"));
    assert_eq!(mock.stats().early, 0);
}

#[tokio::test]
async fn x1_x2_x3_x4_x5_staggered_refusals_with_eight_in_flight_are_never_retried_early() {
    let mock = mock().await;
    mock.script(Rule::api(Fault::staggered(429, [1, 3, 2, 1, 2, 1, 3, 2])));
    let client = client(&mock);
    let start = Instant::now();
    assert_eq!(burst(&client, 60).await, 0);
    let (stats, took) = (mock.stats(), start.elapsed());
    assert_eq!((stats.throttled, stats.early), (8, 0));
    // Three seconds, never multiplied, and the slightest of jitters.
    assert!(took > Duration::from_secs(3) && took < Duration::from_millis(4500), "{took:?}");
}

#[tokio::test]
async fn x6_t30_after_the_pause_one_goes_first_to_see() {
    let mock = mock().await;
    let refusals = Fault::staggered(429, [1; 8]);
    mock.script(Rule::api(refusals));
    // The probe is refused too.
    mock.script(Rule::api(Fault::status(429).retry_after(1)));
    assert_eq!(burst(&client(&mock), 40).await, 0);
    let log = mock.log();
    let sent: Vec<_> = log.iter().filter(|entry| entry.path.starts_with(ECHO)).collect();
    assert!(sent[..9].iter().all(|entry| entry.status == Some(429)));
    assert!(sent[8].at_ms >= sent[0].at_ms + 950, "alone, after a second");
    assert!(sent[9].at_ms >= sent[8].at_ms + 950, "and the next alone again");
    assert_eq!(mock.stats().early, 0);
}

#[tokio::test]
async fn x8_x9_waits_that_would_outlast_the_caller_end_at_once() {
    let mock = mock().await;
    mock.script(Rule::api(Fault::status(429).retry_after(20)).forever());
    let client = client(&mock);
    let start = Instant::now();
    let send = client.get(ECHO).deadline(Duration::from_secs(5)).send();
    let error = send.await.unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(1));
    assert!(matches!(error.kind(), ErrorKind::RateLimited { .. }), "{error:?}");
    let wait = error.retry_at().unwrap().duration_since(SystemTime::now()).unwrap();
    assert!((19..=21).contains(&wait.as_secs()), "{wait:?}");

    // Beyond max_wait each that waits ends, and each that comes until then.
    let error = builder(&mock).max_wait(Duration::from_secs(1)).build().unwrap();
    assert_eq!(burst(&error, 12).await, 12);
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn x10_x11_a_worthless_retry_after_makes_no_hot_loop() {
    for value in ["0", "-5", "0x10", "soon", "Thu, 01 Jan 1970 00:00:00 GMT"] {
        let mock = mock().await;
        let fault = Fault::status(429).header("retry-after", value);
        mock.script(Rule::api(fault).times(3));
        let start = Instant::now();
        assert_eq!(client(&mock).get(ECHO).send().await.unwrap().attempts(), 4);
        // 20, 40 and 80 ms: the own backoff.
        assert!(start.elapsed() >= Duration::from_millis(140), "{value}");
    }
}

#[tokio::test]
async fn x14_an_announced_budget_is_kept_without_a_refusal() {
    let mock = Mock::builder().limit("fixed:5/1s".parse().unwrap());
    let mock = mock.limit_headers(LimitHeaders::Draft10).start().await.unwrap();
    let client = builder(&mock).concurrency(1).build().unwrap();
    let mut notices = client.notices();
    assert_eq!(burst(&client, 12).await, 0);
    assert_eq!(mock.stats().throttled, 0);
    let notice = pause(&mut notices).await;
    assert!(matches!(notice, Notice::Paused { reason: PauseReason::Budget, attempt: 0, .. }));
    assert!(notice.to_string().starts_with("The announced budget is spent."), "{notice}");
}

#[tokio::test]
async fn x15_a_refusal_of_one_family_leaves_the_others_alone() {
    let mock = mock().await;
    mock.script(Rule::on("/dfo/", Fault::status(429).retry_after(2)));
    let client = builder(&mock).scope_by(ScopeBy::Family).build().unwrap();
    let mut notices = client.notices();
    let refused = tokio::spawn(client.get("/dfo/3.0/contacts").send());
    pause(&mut notices).await;
    let start = Instant::now();
    for _ in 0..20 {
        client.get("/media-playback/v1/x").send().await.unwrap();
    }
    assert!(start.elapsed() < Duration::from_millis(1500));
    refused.await.unwrap().unwrap();
    assert_eq!(mock.stats().early, 0);
}

#[tokio::test]
async fn x23_x24_other_statuses_that_throttle() {
    for status in [403, 503, 509, 529] {
        let mock = mock().await;
        mock.script(Rule::api(Fault::status(status).retry_after(1)));
        let client = client(&mock);
        let response = client.post(ECHO).send().await;
        if status == 503 {
            // It may have been processed.
            assert_eq!(response.unwrap_err().to_string(), "Server Error: 503 Service Unavailable");
        } else {
            assert_eq!(response.unwrap().attempts(), 2, "{status}");
        }
        assert_eq!(mock.stats().throttled, 1);
    }
}

#[tokio::test]
async fn a_long_poll_counts_apart() {
    let mock = mock().await;
    let client = builder(&mock).concurrency(1).scope_limit_apart("poll", 1).build().unwrap();
    let poll = client.get("/api/v2.0/slow?ms=400").rate_scope("poll");
    let poll = tokio::spawn(poll.send());
    until("it is out", async || mock.stats().in_flight == 1).await;
    client.get(ECHO).send().await.unwrap();
    assert!(!poll.is_finished());
    poll.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_deadline_covers_the_time_in_the_queue() {
    let mock = mock().await;
    let client = client(&mock);
    client.pause();
    let start = Instant::now();
    let send = client.get(ECHO).deadline(Duration::from_millis(100)).send();
    let error = send.await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (&ErrorKind::Timeout, 0));
    assert!(start.elapsed() >= Duration::from_millis(100));
    assert_eq!(mock.stats().api_requests, 0);
}
