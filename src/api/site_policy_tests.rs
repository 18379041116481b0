//! Names, origins and simple requests, each in all its spellings.

use super::*;

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().copied().map(str::to_owned).collect()
}

fn policy() -> SitePolicy {
    let hosts = texts(&["shop.example", "2001:db8::7", "10.0.0.9"]);
    SitePolicy::new(
        &hosts,
        &texts(&["https://shop.example", "http://a.example:3000"]),
    )
    .expect("sound")
}

fn request(method: &str, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(method).uri("/api/v1/orders");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a sound request")
}

/// The code of the refusal, or "" for a request that may go on.
fn outcome(policy: &SitePolicy, method: &str, headers: &[(&str, &str)]) -> &'static str {
    let local = Some(IpAddr::from([192, 0, 2, 1]));
    match policy.check(&request(method, headers), local) {
        Ok(()) => "",
        Err(problem) => problem.body().code,
    }
}

#[test]
fn a_host_is_loopback_an_own_address_or_configured() {
    let policy = policy();
    for good in [
        "localhost",
        "LOCALHOST:8080",
        "localhost.",
        "127.0.0.1",
        "127.1.2.3:80",
        "[::1]:8080",
        "192.0.2.1:8080",
        "[::ffff:192.0.2.1]",
        "shop.example",
        "Shop.Example.:443",
        "[2001:DB8::7]:1",
        "10.0.0.9",
        "",
    ] {
        assert_eq!(outcome(&policy, "GET", &[("host", good)]), "", "{good}");
    }
    for bad in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example:8080",
        "192.0.2.2",
        "[2001:db8::8]",
        "xshop.example",
        "0x7f000001",
    ] {
        let refused = outcome(&policy, "GET", &[("host", bad)]);
        assert_eq!(refused, "misdirected-request", "{bad}");
    }
    let any = SitePolicy::new(&texts(&["*"]), &[]).expect("sound");
    assert_eq!(outcome(&any, "GET", &[("host", "evil.example")]), "");
}

#[test]
fn a_target_with_an_authority_names_the_host_too() {
    let mut request = request("GET", &[("host", "localhost")]);
    *request.uri_mut() = Uri::from_static("http://evil.example/livez");
    assert!(policy().check(&request, None).is_err());
}

#[test]
fn a_page_of_another_origin_changes_nothing() {
    let policy = policy();
    let json = ("content-type", "application/json");
    for (host, good) in [
        ("localhost:8080", "http://localhost:8080"),
        ("shop.example", "http://shop.example:80"),
        ("shop.example", "https://SHOP.example"),
        ("shop.example:443", "https://shop.example"),
        ("localhost:8080", "https://shop.example"),
        ("localhost:8080", "http://a.example:3000"),
    ] {
        let headers = [("host", host), ("origin", good), json];
        assert_eq!(outcome(&policy, "PUT", &headers), "", "{good}");
    }
    for bad in [
        "http://evil.example",
        "null",
        "http://localhost:8081",
        "http://localhost",
        "http://shop.example",
        "https://shop.example:8443",
        "https://shop.example/",
        "https://u@shop.example",
        "https://",
        "shop.example",
        "file://",
    ] {
        let headers = [("host", "localhost:8080"), ("origin", bad), json];
        assert_eq!(outcome(&policy, "PUT", &headers), "foreign-origin", "{bad}");
        let upgrade = [
            ("host", "localhost:8080"),
            ("origin", bad),
            ("upgrade", "websocket"),
        ];
        assert_eq!(outcome(&policy, "GET", &upgrade), "foreign-origin", "{bad}");
        let read = [("host", "localhost:8080"), ("origin", bad)];
        assert_eq!(
            outcome(&policy, "GET", &read),
            "",
            "{bad} may read what it is shown"
        );
    }
    let twice = [
        ("host", "localhost:8080"),
        ("origin", "http://localhost:8080"),
        ("origin", "http://evil.example"),
        json,
    ];
    assert_eq!(outcome(&policy, "PUT", &twice), "foreign-origin");
    for (site, refused) in [
        ("cross-site", "foreign-origin"),
        ("same-origin", ""),
        ("none", ""),
    ] {
        let unsaid = [("host", "localhost:8080"), ("sec-fetch-site", site), json];
        assert_eq!(outcome(&policy, "PUT", &unsaid), refused, "{site}");
    }
}

#[test]
fn a_post_is_none_that_any_page_may_send() {
    let with = |headers: &[(&str, &str)]| is_simple_post(&request("POST", headers));
    assert!(with(&[]));
    assert!(with(&[("content-length", "0")]));
    assert!(with(&[("content-type", "text/plain")]));
    assert!(!with(&[("content-type", "application/json")]));
    assert!(!with(&[(
        "content-type",
        "application/JSON; charset=utf-8"
    )]));
    assert!(!with(&[("idempotency-key", "k")]));
    assert!(!with(&[("authorization", "Bearer x")]));
    assert!(with(&[
        ("content-type", "text/plain"),
        ("content-length", "2")
    ]));
    assert!(with(&[("transfer-encoding", "chunked")]));
    assert!(!is_simple_post(&request("PUT", &[])), "no form can send it");
}

#[test]
fn what_is_configured_is_checked() {
    for bad in [
        "",
        "a b",
        "shop.example:80",
        "http://shop.example",
        "[::1",
        "*.example",
    ] {
        let refused = SitePolicy::new(&texts(&[bad]), &[]).err();
        assert_eq!(refused, Some(InvalidSite::Host(bad.into())));
    }
    for bad in [
        "",
        "*",
        "shop.example",
        "https://shop.example/path",
        "ftp://a",
        "null",
    ] {
        let refused = SitePolicy::new(&[], &texts(&[bad])).err();
        assert_eq!(refused, Some(InvalidSite::Origin(bad.into())));
    }
}
