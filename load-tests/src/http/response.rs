//! Just enough of RFC 9112 to know where a response ends. What this does not
//! understand (chunked bodies, no length at all) is an error at once, never a
//! wait for bytes that may not come.

use anyhow::{Context as _, Result, bail, ensure};

/// More than any answer of `TrackOps` needs; past it the peer is not one.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// `/metrics` is the largest body that is read, well under this.
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What the head of a response says about the whole.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// Length of status line and headers, with the empty line that ends them.
    pub bytes: usize,
    /// Length of the body that follows.
    pub body_bytes: usize,
    /// The server ends the connection after this response.
    pub close: bool,
}

/// Reads the head at the start of `buffer`; `None` while it is incomplete.
pub fn parse_head(buffer: &[u8]) -> Result<Option<Head>> {
    let Some(first_end) = line_end(buffer, 0) else {
        ensure!(buffer.len() <= HEAD_BYTES_MAX, "status line without an end");
        return Ok(None);
    };
    let status = parse_status(&buffer[..first_end])?;
    let mut length = None;
    let mut close = false;
    let mut start = first_end + 1;
    loop {
        let Some(end) = line_end(buffer, start) else {
            ensure!(buffer.len() <= HEAD_BYTES_MAX, "response head too long");
            return Ok(None);
        };
        let line = buffer[start..end].trim_ascii();
        start = end + 1;
        if line.is_empty() {
            break;
        }
        let (name, value) = split_header(line).context("header line without a colon")?;
        if name.eq_ignore_ascii_case(b"content-length") {
            length = Some(parse_length(value)?);
        } else if name.eq_ignore_ascii_case(b"connection") {
            close |= value.eq_ignore_ascii_case(b"close");
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            bail!("chunked answers are not understood here");
        }
    }
    let body_bytes = match length {
        _ if status == 204 || status == 304 => 0,
        Some(length) => length,
        None => bail!("answer {status} without content-length"),
    };
    Ok(Some(Head {
        status,
        bytes: start,
        body_bytes,
        close,
    }))
}

/// The value of header `wanted` (lower or upper case) in a complete head.
pub fn find_header<'a>(head: &'a [u8], wanted: &str) -> Option<&'a str> {
    head.split(|byte| *byte == b'\n')
        .skip(1)
        .filter_map(split_header)
        .find(|(name, _)| name.eq_ignore_ascii_case(wanted.as_bytes()))
        .and_then(|(_, value)| std::str::from_utf8(value).ok())
}

fn line_end(buffer: &[u8], start: usize) -> Option<usize> {
    let found = buffer[start..].iter().position(|byte| *byte == b'\n')?;
    Some(start + found)
}

fn split_header(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    Some((&line[..colon], line[colon + 1..].trim_ascii()))
}

fn parse_status(line: &[u8]) -> Result<u16> {
    let code = line
        .strip_prefix(b"HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .context("not an HTTP/1.1 status line")?;
    let status: u16 = std::str::from_utf8(code)?.parse().context("status code")?;
    ensure!(
        (200..600).contains(&status),
        "status {status} was not expected"
    );
    Ok(status)
}

fn parse_length(value: &[u8]) -> Result<usize> {
    let length = std::str::from_utf8(value)?
        .parse()
        .context("content-length")?;
    ensure!(
        length <= BODY_BYTES_MAX,
        "body of {length} bytes is too long"
    );
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATED: &[u8] = b"HTTP/1.1 201 Created\r\nLocation: /api/v1/orders/x\r\n\
        Content-Length: 5\r\n\r\nhello";

    #[test]
    fn head_is_incomplete_at_every_cut() {
        let body_start = CREATED.len() - 5;
        for cut in 0..body_start {
            assert_eq!(
                parse_head(&CREATED[..cut]).expect("no error"),
                None,
                "cut at {cut}"
            );
        }
        let head = parse_head(CREATED).expect("well formed").expect("complete");
        let wanted = Head {
            status: 201,
            bytes: body_start,
            body_bytes: 5,
            close: false,
        };
        assert_eq!(head, wanted);
        assert_eq!(find_header(CREATED, "location"), Some("/api/v1/orders/x"));
    }

    #[test]
    fn close_and_empty_answers() {
        let head = parse_head(b"HTTP/1.1 204 No Content\r\nconnection: Close\r\n\r\n");
        let head = head.expect("well formed").expect("complete");
        assert!(head.close);
        assert_eq!(head.body_bytes, 0);
    }

    #[test]
    fn what_has_no_known_end_is_refused() {
        for bad in [
            &b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
            b"SSH-2.0-OpenSSH\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\n",
        ] {
            assert!(parse_head(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        assert!(parse_head(&vec![b'x'; HEAD_BYTES_MAX + 1]).is_err());
    }
}
