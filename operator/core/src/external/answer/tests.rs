use super::*;

fn says(answer: &Answer) -> &str {
    match answer {
        Answer::Nothing(why) => why,
        other => panic!("an answer: {other:?}"),
    }
}

#[test]
fn numbers_of_prometheus() {
    let vector = |value: &str| {
        format!(
            r#"{{"status":"success","data":{{"resultType":"vector","result":[{{"metric":{{"job":"a"}},"value":[1435781451.781,"{value}"]}}]}},"warnings":["w"]}}"#
        )
    };
    let scalar = r#"{"status":"success","data":{"resultType":"scalar","result":[1435781451,"0.25"]}}"#.to_owned();
    for (body, number) in [
        (scalar, 0.25),
        (vector("1"), 1.0),
        (vector("2.5e-05"), 2.5e-5),
        (vector("-3"), -3.0),
        (vector("+Inf"), f64::INFINITY),
        (vector("-Inf"), f64::NEG_INFINITY),
    ] {
        assert_eq!(of_prometheus(200, body.as_bytes()), Answer::Number(number), "{body}");
    }
    assert!(says(&of_prometheus(200, vector("NaN").as_bytes())).contains("NaN"));
}

#[test]
fn what_prometheus_says_that_is_no_number() {
    let success = |kind: &str, result: &str| {
        format!(r#"{{"status":"success","data":{{"resultType":"{kind}","result":{result}}}}}"#)
    };
    let two = r#"[{"metric":{"a":"1"},"value":[1,"1"]},{"metric":{"a":"2"},"value":[1,"2"]}]"#;
    let error = r#"{"status":"error","errorType":"bad_data","error":"1:5: parse error: unexpected end of input"}"#;
    for (status, body, expected) in [
        (200, success("vector", "[]"), "no series"),
        (200, success("vector", two), "2 series, and one number is judged: put it in sum(...)"),
        (200, success("vector", r#"[{"metric":{},"histogram":[1,{"count":"1"}]}]"#), "histogram_quantile"),
        (200, success("vector", r#"[{"metric":{},"value":[1,1]}]"#), "not answer as Prometheus"),
        (200, success("vector", r#"{"a":1}"#), "not answer as Prometheus"),
        (200, success("matrix", "[]"), "gives a matrix"),
        (200, success("string", r#"[1,"x"]"#), "gives a string"),
        (200, success("scalar", r#"[1,"x"]"#), "not answer as Prometheus"),
        (400, error.to_owned(), "HTTP 400: 1:5: parse error: unexpected end of input"),
        (503, r#"{"status":"error","error":"query timed out"}"#.to_owned(), "HTTP 503: query timed out"),
        (200, "<html>Grafana</html>".to_owned(), "is this its address?"),
        (200, String::new(), "is this its address?"),
        (502, "Bad Gateway".to_owned(), "HTTP 502"),
        (302, String::new(), "HTTP 302"),
    ] {
        let answer = of_prometheus(status, body.as_bytes());
        assert!(says(&answer).contains(expected), "{status} {body}: {answer:?}");
    }
    let long = format!(r#"{{"status":"error","error":"{}"}}"#, "x".repeat(10_000));
    assert!(says(&of_prometheus(400, long.as_bytes())).len() < 300);
}

#[test]
fn the_word_of_a_web_hook() {
    for status in [200, 202, 204] {
        assert_eq!(of_web_hook(status, b"whatever", None), Answer::Yes);
    }
    for status in [400, 403, 409, 422] {
        assert_eq!(of_web_hook(status, b"a secret", None), Answer::No(format!("HTTP {status}")));
    }
    for status in [100, 301, 307, 401, 404, 405, 408, 429, 500, 502, 503] {
        for number_at in [None, Some("")] {
            assert!(says(&of_web_hook(status, b"1", number_at)).starts_with(&format!("HTTP {status}")));
        }
    }
}

#[test]
fn the_number_of_a_web_hook() {
    for (body, pointer, number) in
        [("3", "", 3.0), (r#"{"a":[{"b":0.5}]}"#, "/a/0/b", 0.5), (r#"{"a/b":-1e3}"#, "/a~1b", -1e3)]
    {
        assert_eq!(of_web_hook(200, body.as_bytes(), Some(pointer)), Answer::Number(number));
    }
    for (body, pointer, expected) in [
        ("", "", "not JSON"),
        ("ok", "", "not JSON"),
        (r#"{"a":"0.5"}"#, "/a", "/a of the answer is not a number"),
        (r#"{"a":1}"#, "/b", "/b of the answer is not there"),
        ("null", "", "the answer is not a number"),
    ] {
        assert!(says(&of_web_hook(200, body.as_bytes(), Some(pointer))).contains(expected), "{body}");
    }
    // A number is asked for, and 403 is none.
    assert_eq!(of_web_hook(403, b"1", Some("")), Answer::Nothing("HTTP 403".into()));
}
