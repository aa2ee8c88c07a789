//! `cxone simulate`.

use serde_json::Value;

use crate::{Dir, Run};

async fn simulate(test: &str, args: &[&str]) -> Run {
    let all: Vec<&str> = ["simulate"].into_iter().chain(args.iter().copied()).collect();
    Run::of(Dir::new(test).cxone(&all)).await
}

#[tokio::test]
async fn the_first_line_answers_the_question() {
    let args = ["--limit", "150/5m", "--requests", "600", "--retry-after", "seconds"];
    let run = simulate("simulate_answer", &args).await.expect_success();
    let mut lines = run.stdout.lines();
    let answer = lines.next().unwrap();
    assert!(answer.starts_with("600 requests at 150 per 5 min take 15 min "), "{answer}");
    for line in ["  lost        0", "  sent early  0", "  in flight   8 at most"] {
        assert!(lines.any(|it| it == line), "{line}: {}", run.stdout);
    }
    let best = "  at best     15 min 2 s by the limit; it took 1.00";
    assert!(run.stdout.contains(best), "{}", run.stdout);
    assert_eq!(run.stderr, "");
}

#[tokio::test]
async fn the_plot_fits_a_page_and_is_plain_where_nobody_sees_colours() {
    let run = simulate("simulate_plot", &["--policy", "tutorial"]).await.expect_success();
    let plot: Vec<&str> = run.stdout.lines().filter(|line| line.contains('|')).collect();
    assert!((4..=8).contains(&plot.len()), "{}", run.stdout);
    assert!(plot.iter().any(|line| line.contains('#')) && plot.iter().any(|l| l.contains('x')));
    assert!(run.stdout.lines().all(|line| line.chars().count() <= 80), "{}", run.stdout);
    assert!(!run.stdout.contains('\x1b'));
}

#[tokio::test]
async fn the_object_says_the_same_to_a_program() {
    let args = ["--json", "--limit", "10/s", "--limiter", "bucket", "--burst", "20"];
    let args = [&args[..], &["--requests", "300", "--high", "3"]].concat();
    let run = simulate("simulate_json", &args).await.expect_success();
    let json = run.json();
    assert_eq!(
        (&json["requests"], &json["lost"], &json["early"]),
        (&300.into(), &0.into(), &0.into())
    );
    assert_eq!(json["ideal_ms"], 28_100, "280 permits of 100 ms after the burst, and a round trip");
    let (makespan, ratio) = (json["makespan_ms"].as_u64().unwrap(), &json["makespan_ratio"]);
    let expected = makespan as f64 / 28_100.0;
    assert!((ratio.as_f64().unwrap() - expected).abs() < 1e-3 && expected >= 1.0, "{json}");
    let sent = json["throttled"].as_u64().unwrap() + 300;
    assert_eq!(json["attempts"].as_u64(), Some(sent));
    assert_eq!((&json["high"]["requests"], &json["low"]["requests"]), (&3.into(), &297.into()));
    assert!(json["high"]["p99_ms"].as_u64() < json["low"]["p99_ms"].as_u64(), "{json}");
    assert_eq!(json["max_in_flight"], 8);
}

#[tokio::test]
async fn the_same_seed_gives_the_same_run() {
    let run =
        async |seed: &str| simulate("simulate_seed", &["--json", "--seed", seed]).await.json();
    assert_eq!(run("7").await, run("7").await);
    assert_ne!(run("7").await, run("8").await);
}

#[tokio::test]
async fn what_is_lost_is_not_called_fast() {
    let args = ["--limit", "1/h", "--requests", "10", "--retry-after", "seconds"];
    let run = simulate("simulate_lost", &args).await.expect_success();
    let first = run.stdout.lines().next().unwrap();
    assert!(first.starts_with("1 of 10 requests at 1 per h are served in "), "{first}");
    assert!(first.contains("9 are lost (Rate Limited: "), "{first}");
    let json = simulate("simulate_lost", &[&["--json"], &args[..]].concat()).await.json();
    assert_eq!((&json["lost"], &json["makespan_ratio"]), (&9.into(), &Value::Null));
}

#[tokio::test]
async fn the_suite_is_an_array_of_scenarios() {
    let args = ["--suite", "--json", "--seeds", "1"];
    let suite = simulate("simulate_suite", &args).await.expect_success().json();
    let rows = suite.as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row["scenario"].as_str().unwrap()).collect();
    let all = ["A", "B", "C", "D", "E", "H", "F", "I", "J"];
    let announced = ["G-A-draft10", "G-A-x", "G-C-draft10", "G-C-x"];
    for name in all.iter().chain(&announced) {
        assert_eq!(names.iter().filter(|it| it == &name).count(), 1, "{name}: {names:?}");
    }
    for row in rows {
        let fields: Vec<&String> = row.as_object().unwrap().keys().collect();
        let expected = [
            "scenario",
            "policy",
            "requests",
            "makespan_ratio",
            "throttled",
            "lost",
            "early",
            "max_in_flight",
            "high_p99_ms",
            "worst",
        ];
        assert_eq!(fields, expected);
        assert_eq!((&row["policy"], &row["lost"]), (&"learned".into(), &0.into()), "{row}");
        // Of one seed the worst is the median.
        for figure in ["makespan_ratio", "throttled"] {
            assert!(row[figure].is_number() && row[figure] == row["worst"][figure], "{row}");
        }
    }
}

#[tokio::test]
async fn a_part_of_the_suite_is_a_table() {
    let args = ["--suite", "--only", "J,A", "--seeds", "2", "--policy", "tutorial"];
    let run = simulate("simulate_table", &args).await.expect_success();
    let lines: Vec<&str> = run.stdout.lines().skip(2).collect();
    let names: Vec<&str> = lines.iter().map(|line| line.split_once(' ').unwrap().0).collect();
    assert_eq!(names, ["scenario", "A", "J"]);
    let width = lines[0].chars().count();
    assert!(width <= 80 && lines.iter().all(|line| line.chars().count() == width));
}

#[cfg(unix)]
#[tokio::test]
async fn whoever_stops_reading_has_read_enough() {
    let dir = Dir::new("simulate_pipe");
    let mut command = dir.cxone(&["simulate"]);
    // The reader has gone before anything is written.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let child = command.stdout(writer).spawn().unwrap();
    let run = Run::from(child.wait_with_output().await.unwrap());
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
}

#[tokio::test]
async fn wrong_usage_names_the_option_and_the_way_out() {
    for (args, option, way_out) in [
        (&["--limit", "150"][..], "--limit", "150/5m"),
        (&["--limit", "bucket:10/s"], "--limit", "--limiter"),
        (&["--limiter", "fixed", "--burst", "3"], "--burst", "--limiter bucket"),
        (&["--limiter", "bucket", "--burst", "0"], "--burst", "1 or more"),
        (&["--requests", "0"], "--requests", "1..=1000000"),
        (&["--high", "601"], "--high", "--requests 600"),
        (&["--latency", "100"], "--latency", "100ms"),
        (&["--policy", "best"], "--policy", "learned"),
        (&["--suite", "--limit", "1/s"], "--suite", "--limit"),
        (&["--only", "A"], "--suite", "--only"),
        (&["--suite", "--only", "Z"], "--only Z", "A, B, C"),
    ] {
        let run = simulate("simulate_usage", args).await;
        assert_eq!((run.status, run.stdout.as_str()), (2, ""), "{args:?}");
        assert!(run.stderr.contains(option), "{args:?}: {}", run.stderr);
        assert!(run.stderr.contains(way_out), "{args:?}: {}", run.stderr);
    }
}

#[tokio::test]
async fn a_plan_says_how_long_an_export_takes_under_the_published_limits() {
    let plan = async |name: &'static str, args: &[&'static str]| {
        let args = [&["--plan", name], args].concat();
        simulate(&format!("plan_{name}"), &args).await.expect_success()
    };
    let run = plan("recordings", &["--records", "600"]).await;
    let mut lines = run.stdout.lines();
    let answer = lines.next().unwrap();
    assert!(answer.starts_with("600 recordings are 600 requests and take 15 min"), "{answer}");
    let published = "NICE publishes 150 per 5 min for media-playback; by that it takes 15 min";
    assert!(lines.next().unwrap().starts_with(published), "{}", run.stdout);
    let run = plan("extractions", &["--records", "3", "--json"]).await;
    let json = run.json();
    assert_eq!(
        (&json["requests"], &json["limit"]["scope"]),
        (&6.into(), &"data-extraction".into())
    );
    assert!((150_000..152_000).contains(&json["makespan_ms"].as_u64().unwrap()), "{json}");
    let run = plan("digital-contacts", &["--records", "1000000", "--json"]).await;
    assert_eq!(run.json()["limit"]["requests"], 120_000);
    let run = plan("agents", &["--records", "1000"]).await;
    assert!(run.stdout.starts_with("1000 records are 2 requests and take "), "{}", run.stdout);
    assert!(run.stdout.contains("NICE publishes no limit"), "{}", run.stdout);
    assert_eq!(simulate("plan_alone", &["--plan", "agents"]).await.status, 2);
    assert_eq!(simulate("plan_records", &["--records", "5"]).await.status, 2);
}
