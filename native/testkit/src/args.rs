//! Command lines: `WORD … --name value --switch`. Small enough that a parser crate would be the larger thing.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Arguments that make no sense, in words for the caller.
#[derive(Debug)]
pub struct Usage(pub String);

impl fmt::Display for Usage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Longest that anything here may run: nobody's forgotten process stays for ever.
const LONGEST: Duration = Duration::from_secs(3600);

#[derive(Debug, Default)]
pub struct Arguments {
    words: Vec<String>,
    options: HashMap<String, Vec<String>>,
}

impl Arguments {
    /// Every `--name` takes a value unless the next word is another option or there is none.
    pub fn parse(words: impl Iterator<Item = String>) -> Result<Self, Usage> {
        let mut parsed = Self::default();
        let mut words = words.peekable();
        while let Some(word) = words.next() {
            match word.strip_prefix("--") {
                None => parsed.words.push(word),
                Some("") => return Err(Usage("`--` alone means nothing here".into())),
                Some(name) => {
                    let value = words
                        .next_if(|next| !next.starts_with("--"))
                        .unwrap_or_default();
                    parsed
                        .options
                        .entry(name.to_string())
                        .or_default()
                        .push(value);
                }
            }
        }
        Ok(parsed)
    }

    pub fn words(&mut self) -> Vec<String> {
        std::mem::take(&mut self.words)
    }

    pub fn all(&mut self, name: &str) -> Vec<String> {
        self.options.remove(name).unwrap_or_default()
    }

    pub fn text(&mut self, name: &str) -> Option<String> {
        self.all(name).pop()
    }

    pub fn switch(&mut self, name: &str) -> Result<bool, Usage> {
        match self.text(name).as_deref() {
            None => Ok(false),
            Some("") => Ok(true),
            Some(value) => Err(Usage(format!(
                "--{name} takes no value, but `{value}` follows it"
            ))),
        }
    }

    /// The value of `--name`, or `default` where it is not given.
    pub fn value<T: FromStr>(&mut self, name: &str, default: T) -> Result<T, Usage> {
        Ok(self.optional(name)?.unwrap_or(default))
    }

    pub fn optional<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, Usage> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        text.parse()
            .map(Some)
            .map_err(|_| Usage(format!("--{name}: `{text}` is not understood")))
    }

    pub fn required<T: FromStr>(&mut self, name: &str) -> Result<T, Usage> {
        self.optional(name)?
            .ok_or_else(|| Usage(format!("--{name} is missing")))
    }

    /// A time in milliseconds, at most an hour.
    pub fn milliseconds(&mut self, name: &str, default: u64) -> Result<Duration, Usage> {
        let time = Duration::from_millis(self.value(name, default)?);
        if time > LONGEST {
            return Err(Usage(format!(
                "--{name}: at most {} milliseconds",
                LONGEST.as_millis()
            )));
        }
        Ok(time)
    }

    /// Call last: what nobody asked for is a mistake of the caller's.
    pub fn finish(self) -> Result<(), Usage> {
        if let Some(word) = self.words.first() {
            return Err(Usage(format!("`{word}` is one word too many")));
        }
        match self.options.keys().next() {
            Some(name) => Err(Usage(format!("there is no option --{name}"))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Arguments {
        Arguments::parse(line.split_whitespace().map(String::from)).expect("parses")
    }

    #[test]
    fn words_options_and_switches_are_told_apart() {
        let mut arguments = parse("one --count 3 two --flag --last 5");
        assert_eq!(arguments.value("count", 0).expect("count"), 3);
        assert!(arguments.switch("flag").expect("flag"));
        assert_eq!(arguments.value("last", 0).expect("last"), 5);
        assert_eq!(arguments.words(), ["one", "two"]);
        arguments.finish().expect("nothing is left");
    }

    #[test]
    fn what_nobody_reads_is_an_error() {
        let unread = parse("--cuont 3").finish().expect_err("a typing mistake");
        assert_eq!(unread.to_string(), "there is no option --cuont");
    }

    #[test]
    fn a_value_that_is_no_number_is_an_error() {
        assert!(parse("--count many").value::<u32>("count", 1).is_err());
    }

    #[test]
    fn nothing_runs_longer_than_an_hour() {
        assert!(
            parse("--duration 3600001")
                .milliseconds("duration", 1)
                .is_err()
        );
    }
}
