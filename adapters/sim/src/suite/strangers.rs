//! Limits beside the suite.

use std::time::Duration;

use super::{Scenario, batch, limit, near, stating};
use crate::headers::{Announce, RetryAfter};
use crate::latency::Latency;
use crate::server::{Change, Server, When, Windows};
use crate::stalls::Stalls;

/// Limits that are in no list, so that what was tuned to the suite shows.
///
/// | scenario | what is unusual |
/// |---|---|
/// | tiny | 2 per 10 s: less than the concurrency |
/// | wide | 5000 per 60 s, which the concurrency hardly reaches |
/// | first-A, first-B | A and B with windows from the first request: none is a multiple of its length after another |
/// | odd | 37 per 7 s, windows from the first request, no header |
/// | log-told | a sliding log that announces itself |
/// | slow-bucket | 20 a minute, three at once, no header |
/// | queueing | nginx without nodelay: what comes ahead of the rate is held back |
/// | strict-log | a log in which refused requests count |
/// | far | 4/s + 10 a second away, with a long tail |
/// | busy | no limit is met, but the server has only two workers |
/// | dated | 503 with an HTTP-date by a clock that is 90 s ahead |
/// | halved, doubled | quotas of 100 per 10 s that become 50 or 200 |
/// | fallen, risen | H and I, but the limit changes after 500 requests and not by the clock |
/// | crowd | ten clients at one bucket of 50/s + 50 |
/// | many | 64 in flight at 100/s + 20 |
/// | small-burst | nginx 50/s with a burst of 5, which refuses sooner than it answers |
/// | jittery | nginx 50/s without burst on a busy machine: late timers, a long tail |
/// | stalling | the same limit and client and network that stand still for moments |
pub fn strangers() -> Vec<Scenario> {
    let ms = Duration::from_millis;
    let changing = |to: &str| {
        let change = Change { when: When::At(Duration::from_secs(25)), limit: limit(to) };
        Server { changes: vec![change], ..Server::new(limit("fixed:100/10s")) }
    };
    let after_500 = |from: &str, to: &str| {
        let change = Change { when: When::Accepted(500), limit: limit(to) };
        Server { changes: vec![change], ..stating(limit(from)) }
    };
    let first = |server| Server { windows: Windows::FirstRequest, ..server };
    let media = limit("fixed:150/300s");
    let told = Server { announce: Announce::Draft10, ..Server::new(limit("sliding:60/20s")) };
    let queueing = Server { delay_after: Some(0), ..Server::new(limit("leaky:20/s+10")) };
    let busy = Server { workers: Some(2), service: ms(50), ..Server::new(limit("bucket:1000/s")) };
    let dated = Server {
        refusal: 503,
        retry_after: RetryAfter::Date,
        skew_ms: 90_000,
        ..Server::new(limit("fixed:30/10s"))
    };
    let far = batch("far", 200, stating(limit("bucket:4/s+10")));
    vec![
        batch("tiny", 20, stating(limit("fixed:2/10s"))),
        batch("wide", 10_000, stating(limit("fixed:5000/60s"))),
        batch("first-A", 600, first(stating(media))),
        batch("first-B", 600, first(Server::new(media))),
        batch("odd", 300, first(Server::new(limit("fixed:37/7s")))),
        batch("log-told", 400, told),
        batch("slow-bucket", 100, Server::new(limit("bucket:20/1m+3"))),
        batch("queueing", 500, queueing),
        batch("strict-log", 400, stating(limit("sliding:50/10s,count-refused"))),
        Scenario { latency: Latency::LongTail { median: ms(1000) }, ..far },
        batch("busy", 1000, busy),
        batch("dated", 200, dated),
        batch("halved", 600, changing("fixed:50/10s")),
        batch("doubled", 600, changing("fixed:200/10s")),
        batch("fallen", 1000, after_500("bucket:20/s+20", "bucket:5/s+20")),
        batch("risen", 1000, after_500("bucket:5/s+20", "bucket:20/s+20")),
        Scenario { clients: 10, ..batch("crowd", 2000, stating(limit("bucket:50/s+50"))) },
        Scenario {
            latency: Latency::LongTail { median: ms(2) },
            timer_lateness: ms(3),
            ..near("jittery", 600, Server::new(limit("leaky:50/s")))
        },
        Scenario {
            stalls: Some(Stalls { each: ms(1000), most: ms(300) }),
            ..near("stalling", 600, Server::new(limit("leaky:50/s")))
        },
        near("small-burst", 600, Server::new(limit("leaky:50/s+5"))),
        Scenario { concurrency: 64, ..batch("many", 3000, stating(limit("bucket:100/s+20"))) },
    ]
}
