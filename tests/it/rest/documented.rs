//! Every answer that a test gets is one that the document has for the operation, with its code and its headers.

use std::sync::OnceLock;

use serde_json::Value;
use trackops::api::service::ApiService;

use super::support::{Answer, Api};

static DOCUMENT: OnceLock<Value> = OnceLock::new();

/// What any path may answer before it is known which operation is asked for, as the document's description says.
const OF_ANY: [u16; 3] = [405, 408, 501];

/// Fails if the document doesn't have this answer.
#[track_caller]
pub fn check(document: &Value, method: &str, target: &str, answer: &Answer) {
    let path = target.split('?').next().unwrap_or_default();
    let status = answer.status.as_u16();
    let Some(operation) = operation(document, method, path) else {
        return;
    };
    if OF_ANY.contains(&status) {
        return;
    }
    let described = &operation["responses"][status.to_string()];
    assert!(
        described.is_object(),
        "{method} {path}: {status} {}",
        answer.text
    );
    if let Some(codes) = described["x-problem-codes"].as_array() {
        let code = answer.json()["code"].clone();
        assert!(codes.contains(&code), "{method} {path}: {status} {code}");
    }
    for (name, header) in described["headers"].as_object().into_iter().flatten() {
        let is_there = answer.headers.contains_key(name.as_str());
        let is_required = header["required"] == true;
        assert!(
            is_there || !is_required,
            "{method} {path}: {status} without {name}"
        );
    }
}

/// The document of an API where nobody needs a credential. It has the same answers.
pub async fn document(service: &ApiService) -> &'static Value {
    if DOCUMENT.get().is_none() {
        let document = Api::document_of(service).await;
        return DOCUMENT.get_or_init(|| document);
    }
    DOCUMENT.get().expect("is there")
}

/// The operation whose path matches best: literal segments before parameters.
fn operation<'a>(document: &'a Value, method: &str, path: &str) -> Option<&'a Value> {
    let method = method.to_lowercase();
    let segments: Vec<&str> = path.split('/').collect();
    let fits = |template: &str| {
        let parts: Vec<&str> = template.split('/').collect();
        let same = |(part, segment): (&&str, &&str)| {
            (part.starts_with('{') && !segment.is_empty()) || part == segment
        };
        parts.len() == segments.len() && parts.iter().zip(&segments).all(same)
    };
    let paths = document["paths"].as_object()?;
    let (_, item) = paths.iter().find(|(template, _)| fits(template))?;
    item.get(&method)
}
