//! The pages about problems: one for each code, and their index. A browser gets HTML, and everybody else Markdown.
//! Their text is in [`super::problem_code`].

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::error_answers::refusals;
use super::fixed_document::FixedDocument;
use super::parameters;
use super::problem::Problem;
use super::problem_code::Code;

/// The only style that the policy of these pages allows.
const STYLE: &str = "body{max-width:44rem;margin:2rem auto;padding:0 1rem;font:1rem/1.5 system-ui,sans-serif;\
    color-scheme:light dark}td,th{text-align:left;padding:.25rem 1rem .25rem 0;vertical-align:top}";

static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    // All of it is visible ASCII.
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

refusals!(IndexRefusals = UNCONDITIONAL, CONDITIONS);
refusals!(PageRefusals = PARAMETERS, UNCONDITIONAL, CONDITIONS; NotFound);

/// Every problem code, with its status and title.
#[utoipa::path(
    get, path = "/problems", tag = "documents", operation_id = "listProblems",
    params(parameters::IfNoneMatch),
    responses((status = 200, description = "A page in Markdown, or in HTML if `Accept` names it",
        content((String = "text/markdown"), (String = "text/html")), headers(("ETag"), ("Cache-Control"))),
        (status = 304, description = "The client has this page", headers(("ETag"), ("Cache-Control"))),
        IndexRefusals)
)]
pub async fn list_problem_pages(headers: HeaderMap) -> Result<Response, Problem> {
    let mut page = Page::new(&headers, "Problems");
    page.rows(Code::ALL.into_iter().map(|code| {
        let facts = code.facts();
        (facts.code, facts.status.as_u16(), facts.title)
    }));
    page.answer(&headers)
}

/// What a problem code means and what to do about it.
#[utoipa::path(
    get, path = "/problems/{code}", tag = "documents", operation_id = "getProblemPage",
    params(parameters::CodeOfPath, parameters::IfNoneMatch),
    responses((status = 200, description = "A page in Markdown, or in HTML if `Accept` names it",
        content((String = "text/markdown"), (String = "text/html")), headers(("ETag"), ("Cache-Control"))),
        (status = 304, description = "The client has this page", headers(("ETag"), ("Cache-Control"))),
        PageRefusals)
)]
pub async fn get_problem_page(
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let code = Code::parse(&name)
        .ok_or_else(|| Problem::new(Code::NotFound, "there is no problem of that code"))?;
    let facts = code.facts();
    let mut page = Page::new(&headers, facts.title);
    page.fact(facts.code, facts.status.as_u16());
    page.paragraph(facts.advice);
    page.answer(&headers)
}

/// A page in the form that the client wants.
struct Page {
    text: String,
    is_html: bool,
}

impl Page {
    fn new(headers: &HeaderMap, title: &str) -> Self {
        let is_html = names_html(headers);
        let text = if is_html {
            format!(
                "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
                 <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
                 <style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n",
                title = escaped(title)
            )
        } else {
            format!("# {title}\n")
        };
        Self { text, is_html }
    }

    /// The code and the status of one problem.
    fn fact(&mut self, code: &str, status: u16) {
        self.add(if self.is_html {
            format!("<p><code>{}</code>, status {status}</p>\n", escaped(code))
        } else {
            format!("\n`{code}`, status {status}\n")
        });
    }

    fn paragraph(&mut self, text: &str) {
        self.add(if self.is_html {
            format!(
                "<p>{}</p>\n<p><a href=\"/problems\">All problems</a></p>\n",
                escaped(text)
            )
        } else {
            format!("\n{text}\n")
        });
    }

    /// A table of codes, statuses and titles.
    fn rows<'a>(&mut self, rows: impl Iterator<Item = (&'a str, u16, &'a str)>) {
        self.add(if self.is_html {
            "<table>\n<tr><th>Status</th><th>Code</th><th>Title</th></tr>\n"
        } else {
            "\n| status | code | title |\n| --- | --- | --- |\n"
        });
        for (code, status, title) in rows {
            self.add(if self.is_html {
                format!(
                    "<tr><td>{status}</td><td><a href=\"/problems/{code}\">{code}</a></td><td>{}</td></tr>\n",
                    escaped(title)
                )
            } else {
                format!("| {status} | [{code}](/problems/{code}) | {title} |\n")
            });
        }
        if self.is_html {
            self.add("</table>\n");
        }
    }

    fn add(&mut self, part: impl AsRef<str>) {
        self.text.push_str(part.as_ref());
    }

    fn answer(mut self, headers: &HeaderMap) -> Result<Response, Problem> {
        let kind = if self.is_html {
            self.add("</body>\n</html>\n");
            "text/html; charset=utf-8"
        } else {
            "text/markdown; charset=utf-8"
        };
        let mut response = FixedDocument::new(kind, self.text).answer(headers)?;
        let answered = response.headers_mut();
        answered.insert(header::VARY, HeaderValue::from_static("accept"));
        if self.is_html {
            answered.insert(header::CONTENT_SECURITY_POLICY, POLICY.clone());
        }
        Ok(response)
    }
}

/// Whether `Accept` names HTML, as every browser's does.
fn names_html(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_html = parts
            .next()
            .is_some_and(|kind| kind.eq_ignore_ascii_case("text/html"));
        let is_refused = parts.any(|part| {
            let weight = part.strip_prefix("q=").or(part.strip_prefix("Q="));
            weight.is_some_and(|weight| weight.parse() == Ok(0.0))
        });
        is_html && !is_refused
    })
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_names_html_gets_it() {
        let names = |accept: &str| {
            let mut headers = HeaderMap::new();
            let value = HeaderValue::from_str(accept).expect("a header");
            headers.insert(header::ACCEPT, value);
            names_html(&headers)
        };
        let chromium = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
        for accept in [
            chromium,
            "text/html",
            "TEXT/HTML;q=0.5",
            "*/*, text/html; q=1",
        ] {
            assert!(names(accept), "{accept}");
        }
        for accept in [
            "*/*",
            "text/*",
            "text/markdown",
            "text/html;q=0",
            "text/html; q=0.000, */*",
            "",
        ] {
            assert!(!names(accept), "{accept}");
        }
        assert!(!names_html(&HeaderMap::new()));
    }

    #[test]
    fn text_is_no_markup() {
        assert_eq!(
            escaped("<a href=\"x\"> & 'b'"),
            "&lt;a href=&quot;x&quot;&gt; &amp; 'b'"
        );
    }
}
