//! A page over HTTP, for readiness, metrics and admin pages that exist only inside a network namespace.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use serde_json::json;

use crate::Outcome;
use crate::address::expand;
use crate::args::{Arguments, Usage};
use crate::connection::{self, Options};
use crate::report::{error_name, line};

pub const HELP: &str = "fetch ADDRESS [--path /PATH] [--method GET] [connection options]: one HTTP/1.0 request; status and body";

/// More than this is not a page of ours.
const BODY_LIMIT: u64 = 64 * 1024 * 1024;

pub fn run(mut arguments: Arguments) -> Outcome {
    let words = arguments.words();
    let [address] = words.as_slice() else {
        return Err(Usage("one address is needed".into()));
    };
    let to = expand(address)?[0];
    let path = arguments.text("path").unwrap_or_else(|| "/".into());
    let method = arguments.text("method").unwrap_or_else(|| "GET".into());
    let options = Options::take(&mut arguments)?;
    arguments.finish()?;
    match request(to, &method, &path, &options) {
        Ok((status, body)) => {
            line(&json!({ "status": status, "body": body, "error": null }));
            Ok((200..300).contains(&status))
        }
        Err(error) => {
            line(&json!({ "status": 0, "body": "", "error": error_name(&error) }));
            Ok(false)
        }
    }
}

/// HTTP/1.0, so that the answer ends with the connection and is never chunked.
fn request(
    to: SocketAddr,
    method: &str,
    path: &str,
    options: &Options,
) -> io::Result<(u16, String)> {
    let mut socket = connection::open(to, options)?;
    write!(
        socket,
        "{method} {path} HTTP/1.0\r\nHost: {to}\r\nContent-Length: 0\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    socket.take(BODY_LIMIT).read_to_end(&mut answer)?;
    parse(&String::from_utf8_lossy(&answer))
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

fn parse(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    Some((status, body.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_body_are_told_apart() {
        let answer = "HTTP/1.1 503 Service Unavailable\r\nA: b\r\n\r\nnot ready\r\n\r\nmore";
        assert_eq!(parse(answer), Some((503, "not ready\r\n\r\nmore".into())));
    }

    #[test]
    fn an_answer_without_an_end_of_head_is_none() {
        assert_eq!(parse("HTTP/1.1 200 OK\r\n"), None);
    }
}
