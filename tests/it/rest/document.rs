//! The OpenAPI document and the pages beside it.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, Request};
use serde_json::Value;
use trackops::api::client_address::Ends;
use trackops::api::problem_code::Code;
use trackops::api::router;
use trackops::api::served::Served;
use trackops::api::service::ApiService;
use trackops::api::site_policy::SitePolicy;
use trackops::auth::Auth;
use trackops::auth::audit::AuditLog;
use trackops::auth::role_words::SHOPS_MAX;
use trackops::ports::clock::SystemClock;
use trackops_domain::placed::limits;

use super::support::{Api, still};

/// Paths that serve pages, not the interface.
const PAGES: [&str; 3] = ["/", "/docs", "/docs/"];

#[tokio::test]
async fn the_document_is_as_reviewed() {
    let document = Api::new().await.get("/api/v1/openapi.json").await.json();
    assert!(
        document["openapi"]
            .as_str()
            .is_some_and(|version| version.starts_with("3.1"))
    );
    insta::assert_json_snapshot!("openapi", still(document, &["/info/version"]));
}

/// Every path of the document is routed with exactly the methods that the document has, and `router.rs` routes
/// nothing but pages past the document.
#[tokio::test]
async fn every_route_is_in_the_document() {
    let api = Api::new().await;
    let document = api.get("/api/v1/openapi.json").await.json();
    let documented = document["paths"].as_object().expect("paths");
    let source = include_str!("../../../src/api/router.rs");
    for path in source.split('"').skip(1).step_by(2) {
        let is_page = !path.starts_with('/') || PAGES.contains(&path);
        assert!(is_page, "{path} is not in the document");
    }
    for (path, operations) in documented {
        let mut methods: BTreeSet<String> = operations
            .as_object()
            .expect("operations")
            .keys()
            .map(|method| method.to_uppercase())
            .collect();
        methods.insert("OPTIONS".into());
        if methods.contains("GET") {
            methods.insert("HEAD".into());
        }
        let answer = api.send("TRACE", path, &[], Body::empty()).await;
        // Without the token.
        let shown = path
            .strip_suffix("/{token}/events")
            .or(path.strip_suffix("/{token}"));
        answer.problem(405, "method-not-allowed", shown.unwrap_or(path));
        let allowed = answer
            .header("allow")
            .expect("Allow")
            .split(',')
            .map(str::to_owned);
        assert_eq!(allowed.collect::<BTreeSet<_>>(), methods, "{path}");
    }
}

#[tokio::test]
async fn the_document_of_messages_is_as_reviewed() {
    let document = Api::new().await.get("/api/v1/asyncapi.json").await.json();
    insta::assert_json_snapshot!("asyncapi", still(document, &["/info/version"]));
}

/// Generators make functions and types of these names.
#[tokio::test]
async fn operations_and_schemas_have_good_names() {
    let document = Api::new().await.get("/api/v1/openapi.json").await.json();
    let mut names = BTreeSet::new();
    let items = document["paths"].as_object().expect("paths").values();
    for operation in items.flat_map(|item| item.as_object().expect("operations").values()) {
        let name = operation["operationId"].as_str().expect("a name");
        let is_camel = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_alphanumeric());
        assert!(is_camel, "{name}");
        assert!(names.insert(name), "{name} stands twice");
        assert!(operation["responses"]["500"].is_object(), "{name}");
    }
    let schemas = document["components"]["schemas"]
        .as_object()
        .expect("schemas");
    for (name, schema) in schemas {
        let is_ours = ["View", "Body", "V1", "List"]
            .iter()
            .any(|end| name.ends_with(end));
        assert!(
            !is_ours || ["OutboxList", "ShardList"].contains(&&**name),
            "{name}"
        );
        assert!(schema["description"].is_string(), "{name}");
    }
}

/// The document takes most bounds from the constants that the server checks with. These it can't.
#[tokio::test]
async fn bounds_that_are_written_twice_agree() {
    let document = Api::new().await.get("/api/v1/openapi.json").await.json();
    let most = |form: &str, field: &str| {
        document["components"]["schemas"][form]["properties"][field]["maxItems"].clone()
    };
    assert_eq!(most("OrderDraft", "items"), limits::ITEMS_MAX);
    assert_eq!(most("OrderContent", "items"), limits::ITEMS_MAX);
    assert_eq!(most("ApiKeyDraft", "shops"), SHOPS_MAX);
}

#[tokio::test]
async fn every_reference_in_the_document_leads_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str));
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = Api::new().await.get("/api/v1/openapi.json").await.json();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(!found.is_empty());
    for reference in found {
        let pointer = reference.strip_prefix('#').expect("a local reference");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[tokio::test]
async fn the_pages_for_people_are_there() {
    let api = Api::new().await;
    let front = api.get("/").await;
    assert_eq!(
        (front.status.as_u16(), front.header("location")),
        (307, Some("/docs/"))
    );
    let page = api.get("/docs/").await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("swagger-ui"), "{}", page.text);
    for path in ["/docs/", "/docs/swagger-ui-bundle.js"] {
        let file = api.get(path).await;
        let policy = file.header("content-security-policy").expect("a policy");
        assert!(policy.contains("default-src 'none'"), "{path}: {policy}");
        assert!(
            policy.contains("frame-ancestors 'none'"),
            "{path}: {policy}"
        );
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
    }
    // The one inline style that the policy allows, by its SHA-256. With another the logo would be black.
    let logo = api.get("/docs/swagger-ui-standalone-preset.js").await.text;
    let style = ".logo_small_svg__cls-2{fill:#fff}.logo_small_svg__cls-3{fill:#85ea2d}";
    assert!(logo.contains(&format!("\"style\",null,\"{style}\"")));
    // The policy forbids both.
    assert!(!page.text.contains("<style"), "{}", page.text);
    assert!(!page.text.contains("<script>"), "{}", page.text);
    let script = api.get("/docs/swagger-initializer.js").await;
    assert!(
        script.text.contains("/api/v1/openapi.json"),
        "{}",
        script.text
    );
    let mut codes = BTreeSet::new();
    for code in Code::ALL {
        let facts = code.facts();
        assert!(codes.insert(facts.code), "{} stands twice", facts.code);
        let page = api.get(&format!("/problems/{}", facts.code)).await;
        assert_eq!(page.status, 200);
        assert!(page.text.contains(facts.advice), "{}", page.text);
    }
}

/// The pages may be switched off; the document stays.
#[tokio::test]
async fn without_the_pages_the_front_page_leads_to_the_document() {
    let any_host = SitePolicy::new(&["*".to_owned()], &[]).expect("it stands for every name");
    let nobody_asks = Auth::open(AuditLog::none(Arc::new(SystemClock)));
    let service = ApiService::new(
        router::public(Served::default(), true, false),
        any_host,
        nobody_asks,
    );
    let status = async |path: &str| {
        let request = Request::get(path).header("host", "x");
        let request = request.body(Body::empty()).expect("a sound request");
        let answer = service.handle(request, Ends::default()).await;
        let location = answer.headers().get("location").cloned();
        (answer.status().as_u16(), location)
    };
    let (leads, there) = status("/").await;
    assert_eq!(
        (leads, there.as_ref().map(HeaderValue::as_bytes)),
        (307, Some(&b"/api/v1/openapi.json"[..]))
    );
    assert_eq!(status("/api/v1/openapi.json").await.0, 200);
    assert_eq!(status("/problems/not-found").await.0, 200);
    for page in ["/docs", "/docs/", "/docs/index.html"] {
        assert_eq!(status(page).await.0, 404, "{page}");
    }
}

#[tokio::test]
async fn a_document_is_kept_and_asked_for_by_its_tag() {
    let api = Api::new().await;
    for path in [
        "/api/v1/openapi.json",
        "/api/v1/asyncapi.json",
        "/problems/not-found",
    ] {
        let whole = api.get(path).await;
        let tag = whole.header("etag").expect("a tag").to_owned();
        let kept = Some("max-age=3600, must-revalidate");
        assert_eq!(whole.header("cache-control"), kept, "{path}");
        for named in [tag.clone(), format!("\"x\", W/{tag}"), "*".into()] {
            let same = [("if-none-match", &*named)];
            let answer = api.send("GET", path, &same, Body::empty()).await;
            assert_eq!(
                (answer.status.as_u16(), &*answer.text),
                (304, ""),
                "{named}"
            );
            assert_eq!(answer.header("etag"), Some(&*tag));
            assert_eq!(answer.header("cache-control"), kept);
        }
        let other = [("if-none-match", "\"7\"")];
        let answer = api.send("GET", path, &other, Body::empty()).await;
        assert_eq!((answer.status.as_u16(), answer.text), (200, whole.text));
        let condition = [("if-match", &*tag)];
        let answer = api.send("GET", path, &condition, Body::empty()).await;
        answer.problem(400, "condition-not-supported", path);
    }
    let tags = ["/problems/not-found", "/problems/overloaded"].map(|path| api.get(path));
    let [first, second] = tags;
    assert_ne!(first.await.header("etag"), second.await.header("etag"));
}

/// The table of all codes has each of them beside its status.
#[test]
fn every_code_stands_in_the_policy() {
    let policy = include_str!("../../../docs/http-status-codes.md");
    let (_, table) = policy.split_once("## All codes").expect("the table");
    let (table, _) = table.split_once("\n## ").expect("its end");
    for code in Code::ALL {
        let facts = code.facts();
        let mut rows = table.lines().filter_map(|line| {
            let (statuses, codes) = line.strip_prefix("| ")?.split_once(" | ")?;
            codes
                .contains(&format!("`{}`", facts.code))
                .then_some(statuses)
        });
        let statuses = rows
            .next()
            .unwrap_or_else(|| panic!("{} is missing", facts.code));
        assert!(
            statuses.contains(facts.status.as_str()),
            "{}: {statuses}",
            facts.code
        );
    }
}
