//! `hubward device send`: messages to the hub.

use super::Which;
use super::mqtt::Session;
use crate::progress::Progress;
use crate::{Failure, say, show};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::io::{self, BufRead as _, Read as _};
use std::process::ExitCode;

/// Longest line of standard input, which is more than a hub takes: it has to say so.
const LINE_BYTES_MAX: u64 = 512 << 10;

/// Send messages as a device
///
/// Each is acknowledged once it is kept. Without TEXT, every line of standard input is a message.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hubward device send '{\"temperature\":21.5}'
  hubward device send --device pump-7 --property level=high '{\"temperature\":91}'
  seq 1 1000 | hubward device send

Exit codes:
  0  all were acknowledged
  1  one was not: it is the first that is not kept for certain
  2  the command line cannot be meant")]
pub struct Send {
    /// The body of one message, sent as JSON where it is JSON
    text: Option<String>,

    /// An application property, as NAME=VALUE; several where it is given several times
    #[arg(short, long = "property", value_name = "NAME=VALUE", value_parser = property)]
    properties: Vec<(String, String)>,

    #[command(flatten)]
    which: Which,
}

fn property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a property looks like `NAME=VALUE`".into()),
    }
}

pub(super) fn run(send: &Send) -> Result<ExitCode, Failure> {
    let connection = send.which.connection()?;
    let own = send.which.own(&connection)?;
    let mut session = Session::open(&connection, &own)?;
    let mut sent = 0_usize;
    let done = match &send.text {
        Some(text) => session.publish(&bag(send, text), text).map(|()| sent += 1),
        None => each_line(|line| {
            session.publish(&bag(send, line), line)?;
            sent += 1;
            Ok(sent)
        }),
    };
    let id = session.id().to_owned();
    if let Err(failure) = done {
        say(format_args!("{sent} acknowledged before"));
        return Err(failure);
    }
    session.close();
    show(&format!("{id}: {sent} acknowledged\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn each_line(mut send: impl FnMut(&str) -> Result<usize, Failure>) -> Result<(), Failure> {
    let progress = Progress::default();
    let mut lines = io::stdin().lock();
    loop {
        let mut line = String::new();
        let read = (&mut lines).take(LINE_BYTES_MAX).read_line(&mut line);
        match read {
            Err(error) => {
                return Err(Failure::Failed(format!("cannot read standard input: {error}")));
            }
            Ok(0) => return Ok(()),
            Ok(_) => {
                let sent = send(line.trim_end_matches(['\r', '\n']))?;
                progress.tell(&format!("{sent} acknowledged"));
            }
        }
    }
}

/// The properties behind a topic: those of the message and what kind of text it is.
fn bag(send: &Send, text: &str) -> String {
    let encoded = |it: &str| utf8_percent_encode(it, NON_ALPHANUMERIC).to_string();
    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    let kind = is_json.then(|| "%24.ct=application%2Fjson&%24.ce=utf-8".to_owned());
    let own =
        send.properties.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
    own.chain(kind).collect::<Vec<_>>().join("&")
}
