//! Against a server on this machine that is everything a server can be.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use drydock_crds::{ExternalMetric, PrometheusQuery};
use drydock_operator_core::Request;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::*;

/// For one that never answers.
const SHORT: Duration = Duration::from_millis(300);
/// For one that does, on a machine that has other things to do.
const LONG: Duration = Duration::from_secs(30);
const ONE: &str = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"0.25"]}]}}"#;

#[derive(Clone)]
enum Behaviour {
    /// Status line, further head lines, body.
    Says(&'static str, String, String),
    Raw(&'static [u8]),
    Hangs,
    /// The head, and a byte of the body now and then.
    Drips,
    Endless,
}

/// A server, what it was asked (heads and bodies), and how much it could send.
struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    sent: Arc<AtomicUsize>,
}

impl Server {
    async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, asked, sent) = (listener.local_addr().unwrap(), Arc::default(), Arc::default());
        let server = Self { address, asked: Arc::clone(&asked), sent: Arc::clone(&sent) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, behaviour.clone(), asked.clone(), sent.clone()));
            }
        });
        server
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, behaviour: Behaviour, asked: Arc<Mutex<Vec<String>>>, sent: Arc<AtomicUsize>) {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    // Whole once the head has ended, and the body is as long as it says.
    loop {
        let n = stream.read(&mut buffer).await.unwrap_or(0);
        text.extend_from_slice(&buffer[..n]);
        let so_far = String::from_utf8_lossy(&text).into_owned();
        let length = so_far.lines().find_map(|l| l.strip_prefix("content-length: ")?.parse::<usize>().ok());
        let body = so_far.split_once("\r\n\r\n").map(|(_, body)| body.len());
        if n == 0 || body.is_some_and(|body| body >= length.unwrap_or(0)) {
            break;
        }
    }
    asked.lock().unwrap().push(String::from_utf8_lossy(&text).into_owned());
    let chunk = format!("1000\r\n{}\r\n", "1".repeat(4096));
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    match behaviour {
        Behaviour::Says(status, head, body) => {
            let length = body.len();
            let reply =
                format!("HTTP/1.1 {status}\r\n{head}content-length: {length}\r\nconnection: close\r\n\r\n{body}");
            let _ = stream.write_all(reply.as_bytes()).await;
        }
        Behaviour::Raw(bytes) => drop(stream.write_all(bytes).await),
        Behaviour::Hangs => std::future::pending().await,
        Behaviour::Drips => {
            let _ = stream.write_all(chunked.as_bytes()).await;
            while stream.write_all(b"1\r\n1\r\n").await.is_ok() {
                sleep(Duration::from_millis(20)).await;
            }
        }
        Behaviour::Endless => {
            let _ = stream.write_all(chunked.as_bytes()).await;
            while stream.write_all(chunk.as_bytes()).await.is_ok() {
                sent.fetch_add(4096, Ordering::SeqCst);
            }
        }
    }
}

fn says(status: &'static str, body: &str) -> Behaviour {
    Behaviour::Says(status, String::new(), body.to_owned())
}

fn hosts(list: &str) -> Hosts {
    list.parse().unwrap()
}

fn asker() -> Asker {
    Asker::new(hosts("127.0.0.1")).unwrap()
}

fn prometheus(address: String) -> Request {
    Request::Prometheus { address, query: r#"sum(rate(x{revision="b"}[1m])) & more"#.to_owned() }
}

fn web_hook(url: String) -> Request {
    Request::WebHook { url, body: json!({ "canary": "b" }), number_at: None }
}

#[tokio::test]
async fn a_query_and_a_web_hook_as_they_are_sent() {
    let server = Server::start(says("200 OK", ONE)).await;
    for (path, asked) in [("", "/api"), ("/", "/api"), ("/prefix", "/prefix/api"), ("/prefix/", "/prefix/api")] {
        assert_eq!(asker().ask(&prometheus(server.url(path)), LONG).await, Answer::Number(0.25));
        let line = server.asked().last().unwrap().lines().next().unwrap().to_owned();
        let query = "sum%28rate%28x%7Brevision%3D%22b%22%7D%5B1m%5D%29%29+%26+more";
        assert_eq!(line, format!("GET {asked}/v1/query?query={query} HTTP/1.1"));
    }
    assert_eq!(asker().ask(&web_hook(server.url("/gate?a=b")), LONG).await, Answer::Yes);
    let asked = server.asked().last().unwrap().clone();
    assert!(asked.starts_with("POST /gate?a=b HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("content-type: application/json\r\n") && asked.ends_with(r#"{"canary":"b"}"#), "{asked}");
    // Nothing of the operator's own.
    for asked in server.asked() {
        let asked = asked.to_lowercase();
        assert!(!asked.contains("authorization") && !asked.contains("cookie"), "{asked}");
        assert!(asked.contains("user-agent: drydock-operator/"), "{asked}");
    }
}

#[tokio::test]
async fn servers_that_are_broken_say_nothing_and_why() {
    let elsewhere = Server::start(says("200 OK", ONE)).await;
    let to = format!("location: {}\r\n", elsewhere.url("/"));
    let error = r#"{"status":"error","error":"parse error"}"#;
    for (behaviour, why) in [
        (Behaviour::Hangs, "no answer within 0 seconds"),
        (Behaviour::Drips, "no answer within 0 seconds"),
        (Behaviour::Endless, "longer than 64 KiB"),
        (Behaviour::Raw(b"\0\xff\xfe not http at all\r\n\r\n"), ""),
        (Behaviour::Raw(b""), ""),
        (Behaviour::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"status\""), ""),
        (Behaviour::Says("307 Temporary Redirect", to.clone(), String::new()), "HTTP 307"),
        (Behaviour::Says("302 Found", to, String::new()), "HTTP 302"),
        (says("500 Internal Server Error", "a secret"), "HTTP 500"),
        (says("503 Service Unavailable", error), "HTTP 503"),
    ] {
        let within = if why.contains("within") { SHORT } else { LONG };
        let server = Server::start(behaviour).await;
        for request in [prometheus(server.url("")), web_hook(server.url("/"))] {
            let Answer::Nothing(said) = asker().ask(&request, within).await else { panic!("{why}: an answer") };
            assert!(said.contains(why) && !said.is_empty() && !said.contains("secret"), "{why:?}: {said}");
        }
        assert_eq!(server.asked().len(), 2, "{why}");
        // What the kernel holds on both sides, besides.
        assert!(server.sent.load(Ordering::SeqCst) < 32 << 20, "{} bytes", server.sent.load(Ordering::SeqCst));
    }
    assert_eq!(elsewhere.asked(), Vec::<String>::new(), "a redirect was followed");
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let Answer::Nothing(said) = asker().ask(&prometheus(format!("http://{closed}")), LONG).await else {
        panic!("nobody listens")
    };
    assert!(said.contains("refused"), "{said}");
    let garbage = Server::start(says("200 OK", "<html>")).await;
    let Answer::Nothing(said) = asker().ask(&prometheus(garbage.url("")), LONG).await else { panic!("garbage") };
    assert!(said.contains("is this its address?"), "{said}");
}

/// Whoever writes a ModelDeployment asks with the operator's feet: not where it may not go.
#[tokio::test]
async fn nobody_is_asked_who_may_not_be() {
    let server = Server::start(says("200 OK", ONE)).await;
    let port = server.address.port();
    for (list, url, why) in [
        ("", server.url(""), "may not ask 127.0.0.1: externalHosts"),
        ("*.shop.svc,prometheus", server.url(""), "may not ask 127.0.0.1: externalHosts"),
        ("*", server.url(""), "does not ask 127.0.0.1: an address of its node"),
        ("*", format!("http://localhost:{port}"), "an address of its node"),
        ("*", format!("http://2130706433:{port}"), "does not ask 127.0.0.1"),
        ("*", format!("http://0x7f.1:{port}"), "does not ask 127.0.0.1"),
        ("*", format!("http://[::ffff:127.0.0.1]:{port}"), "does not ask ::ffff:127.0.0.1"),
        ("*", "http://169.254.169.254/latest/meta-data".to_owned(), "does not ask 169.254.169.254"),
        ("*", format!("http://me:secret@127.0.0.1:{port}"), "without a user and a password"),
        ("*", "ftp://127.0.0.1".to_owned(), "http:// or https://"),
        ("*", "http://".to_owned(), "is no address"),
    ] {
        let asker = Asker::new(hosts(list)).unwrap();
        for request in [prometheus(url.clone()), web_hook(url.clone())] {
            let Answer::Nothing(said) = asker.ask(&request, LONG).await else { panic!("{url} was asked") };
            assert!(said.contains(why), "{url}: {said}");
        }
    }
    assert_eq!(server.asked(), Vec::<String>::new());
    // Who runs the operator has said that this one may.
    let asker = Asker::new(hosts("*,localhost")).unwrap();
    let answer = asker.ask(&prometheus(format!("http://localhost:{port}")), LONG).await;
    assert_eq!((answer, server.asked().len()), (Answer::Number(0.25), 1));
}

fn question(name: &str, address: String, key: &str, within: Duration) -> Question {
    let query = PrometheusQuery { address: address.clone(), query: "up".into() };
    Question {
        of: ExternalMetric { name: name.into(), prometheus: Some(query), max: Some(0.2), ..ExternalMetric::default() },
        key: key.into(),
        request: prometheus(address),
        within: SignedDuration::try_from(within).unwrap(),
        is_due: true,
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..500 {
        if is_so() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("never {what}");
}

#[tokio::test]
async fn no_pass_waits_and_the_next_one_knows() {
    let (good, hangs) = (Server::start(says("200 OK", ONE)).await, Server::start(Behaviour::Hangs).await);
    let sources = Sources::new(hosts("127.0.0.1")).unwrap();
    let target = Target::new("shop", "fashion");
    let both = [question("good", good.url(""), "k", LONG), question("hangs", hangs.url(""), "k", SHORT)];
    assert!(sources.heard(&target).is_empty());
    // Passes come every second, and ask nobody twice who has not answered.
    for _ in 0..5 {
        sources.ask(&target, &both, at(7));
    }
    until("asked", || hangs.asked().len() == 1).await;
    until("heard", || sources.heard(&target).len() == 2).await;
    assert_eq!((good.asked().len(), hangs.asked().len()), (1, 1));
    let heard = sources.heard(&target);
    assert_eq!((heard["good"].answers, heard["good"].bad, heard["good"].asked), (1, 1, at(7)));
    assert!(matches!(&heard["hangs"].last, Answer::Nothing(why) if why.contains("no answer within")));
    // Not due: nothing is asked, and nothing forgotten.
    let later = both.clone().map(|q| Question { is_due: false, ..q });
    sources.ask(&target, &later, at(8));
    assert_eq!(sources.heard(&target).len(), 2);
    sources.ask(&target, &both[..1], at(17));
    until("heard again", || sources.heard(&target)["good"].answers == 2).await;
    assert_eq!(sources.heard(&target).len(), 1);
    assert!(sources.heard(&Target::new("shop", "other")).is_empty());
}

#[tokio::test]
async fn an_answer_to_what_is_asked_no_more_is_dropped() {
    let hangs = Server::start(Behaviour::Hangs).await;
    let good = Server::start(says("200 OK", ONE)).await;
    let sources = Sources::new(hosts("127.0.0.1")).unwrap();
    let target = Target::new("shop", "fashion");
    sources.ask(&target, &[question("a", hangs.url(""), "step 1", SHORT)], at(1));
    until("asked", || hangs.asked().len() == 1).await;
    sources.ask(&target, &[question("a", good.url(""), "step 2", LONG)], at(2));
    until("heard", || sources.heard(&target).contains_key("a")).await;
    sleep(Duration::from_millis(400)).await;
    let heard = sources.heard(&target)["a"].clone();
    assert_eq!((heard.key.as_str(), heard.answers, heard.last), ("step 2", 1, Answer::Number(0.25)));
    sources.ask(&target, &[], at(3));
    assert!(sources.heard(&target).is_empty());
    // One that is deleted in the middle of a step is forgotten when another one begins.
    sources.ask(&target, &[question("a", good.url(""), "step 3", LONG)], at(4));
    sources.ask(&Target::new("shop", "other"), &[question("a", good.url(""), "b", LONG)], at(4 + 601));
    assert_eq!(sources.0.known().len(), 1);
}
