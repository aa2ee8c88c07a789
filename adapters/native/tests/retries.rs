//! What is tried again, and what is not.

mod common;

use std::time::Duration;

use common::{ECHO, builder, burst, client, mock};
use cxone_client::ErrorKind;
use cxone_mock::{Fault, Rule};

#[tokio::test]
async fn x23_transient_failures_of_a_get_are_healed() {
    let faults = [
        Fault::status(408),
        Fault::status(425),
        Fault::status(502),
        Fault::status(503).retry_after(1),
        Fault::status(504),
        Fault::reset(),
        Fault::close(),
        Fault::truncate(10),
        Fault::slow(Duration::from_secs(5)),
        Fault::slow_body(Duration::from_secs(5)),
    ];
    for fault in faults {
        let mock = mock().await;
        mock.script(Rule::api(fault.clone()));
        let request = client(&mock).get(ECHO).timeout(Duration::from_millis(500));
        let response = request.send().await.unwrap_or_else(|error| panic!("{fault:?}: {error:?}"));
        assert_eq!(response.attempts(), 2, "{fault:?}");
        response.json::<serde_json::Value>().unwrap();
    }
}

#[tokio::test]
async fn x23_a_post_is_not_sent_twice_unless_it_may_be() {
    for (fault, again) in [
        (Fault::status(502), false),
        (Fault::reset(), false),
        (Fault::truncate(5), false),
        (Fault::status(429), true),
        (Fault::unauthorized(), true),
    ] {
        let mock = mock().await;
        mock.script(Rule::api(fault.clone()));
        let client = client(&mock);
        let plain = client.post(ECHO).json(&1).send().await;
        assert_eq!(plain.is_ok(), again, "{fault:?}");
        let sent = mock.stats().api_requests;
        assert_eq!(sent, if again { 2 } else { 1 }, "{fault:?}");

        for request in [client.post(ECHO).idempotency_key("k-1"), client.post(ECHO).idempotent()] {
            mock.script(Rule::api(fault.clone()));
            assert_eq!(request.send().await.unwrap().attempts(), 2, "{fault:?}");
        }
    }
}

#[tokio::test]
async fn x9_attempts_are_finite_and_the_last_answer_is_kept() {
    let mock = mock().await;
    mock.script(Rule::api(Fault::status(502).body("{\"n\":1}")).forever());
    let client = builder(&mock).max_attempts(3).build().unwrap();
    let error = client.get(ECHO).send().await.unwrap_err();
    assert_eq!(error.to_string(), "Server Error: 502 Bad Gateway");
    assert_eq!((error.kind(), error.attempts()), (&ErrorKind::Server, 3));
    assert_eq!(error.body().unwrap().as_ref(), b"{\"n\":1}");
    assert_eq!(mock.stats().api_requests, 3);
}

#[tokio::test]
async fn t27_failures_never_wedge_the_queue() {
    let mock = mock().await;
    let faults = vec![
        Fault::status(500),
        Fault::reset(),
        Fault::status(404),
        Fault::close(),
        Fault::truncate(3),
        Fault::status(429),
        Fault::unauthorized(),
    ];
    mock.script(Rule::api(faults).times(70));
    let client = builder(&mock).max_attempts(1).concurrency(4).build().unwrap();
    let failed = burst(&client, 60).await;
    assert!(failed > 20, "{failed}");
    mock.script(cxone_mock::Script::new().clear());
    assert_eq!(burst(&client, 30).await, 0);
    let stats = client.stats().await;
    assert_eq!((stats.in_flight, stats.waiting, stats.queued), (0, 0, [0; 3]));
    assert_eq!(stats.finished, 90);
}

#[tokio::test]
async fn an_outage_pauses_the_job_instead_of_failing_all_of_it() {
    let mock = mock().await;
    mock.script(Rule::api(Fault::reset()).times(8));
    let client = builder(&mock).concurrency(4).build().unwrap();
    let mut notices = client.notices();
    assert_eq!(burst(&client, 40).await, 0);
    let mut outage = false;
    while let Ok(Some(notice)) =
        tokio::time::timeout(Duration::from_millis(20), notices.recv()).await
    {
        outage |= notice.to_string().starts_with("No answer from the server. Retrying in ");
    }
    assert!(outage);
}
