//! The grammar of Kopia's command line, which is that of Go's `kingpin`: flags anywhere behind the word that brings
//! them, `--x v` and `--x=v`, `--no-x` for switches, one-letter flags in groups, `--` before what only looks like a flag.
//!
//! Callers of Kopia read its complaints, so the wording of usage errors is part of the contract.

use std::collections::BTreeMap;
use std::collections::VecDeque;

use super::failure::Failure;
use super::text::parse_duration;

/// What a flag takes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// Nothing; `--no-` turns it off. The value is what holds when it is not given.
    Switch(bool),
    /// Any text.
    Text,
    /// Any text, again and again.
    Texts,
    /// A number without fraction.
    Int,
    /// A number.
    Float,
    /// A time span such as `1h30m`.
    Duration,
    /// One of these words.
    OneOf(&'static [&'static str]),
}

/// A flag and where its value comes from when it is not typed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flag {
    pub(super) name: &'static str,
    kind: Kind,
    letter: Option<char>,
    variable: Option<&'static str>,
    required: bool,
}

impl Flag {
    pub(super) const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, letter: None, variable: None, required: false }
    }

    /// A switch that is off unless given.
    pub(super) const fn switch(name: &'static str) -> Self {
        Self::new(name, Kind::Switch(false))
    }

    pub(super) const fn letter(self, letter: char) -> Self {
        Self { letter: Some(letter), ..self }
    }

    pub(super) const fn variable(self, name: &'static str) -> Self {
        Self { variable: Some(name), ..self }
    }

    pub(super) const fn required(self) -> Self {
        Self { required: true, ..self }
    }
}

/// An argument that is not a flag.
#[derive(Debug, Clone, Copy)]
pub(super) struct Argument {
    pub(super) name: &'static str,
    pub(super) required: bool,
    pub(super) many: bool,
}

/// What becomes of a command.
#[derive(Debug, Clone, Copy)]
pub(super) enum Then {
    /// We answer.
    Run(fn(&Typed) -> Result<(), Failure>),
    /// One of these words must follow.
    Choose(&'static [Command]),
    /// Not ours: whatever follows is for a real Kopia.
    HandOver,
}

/// A word of the command line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Command {
    pub(super) names: &'static [&'static str],
    pub(super) flags: &'static [&'static [Flag]],
    pub(super) arguments: &'static [Argument],
    pub(super) then: Then,
}

impl Command {
    /// A command that we do not answer.
    pub(super) const fn foreign(names: &'static [&'static str]) -> Self {
        Self { names, flags: &[], arguments: &[], then: Then::HandOver }
    }

    /// A word that others follow.
    pub(super) const fn group(names: &'static [&'static str], commands: &'static [Command]) -> Self {
        Self { names, flags: &[], arguments: &[], then: Then::Choose(commands) }
    }

    pub(super) const fn new(
        names: &'static [&'static str],
        flags: &'static [&'static [Flag]],
        arguments: &'static [Argument],
        run: fn(&Typed) -> Result<(), Failure>,
    ) -> Self {
        Self { names, flags, arguments, then: Then::Run(run) }
    }
}

/// A command line, understood.
#[derive(Debug, Default)]
pub(super) struct Typed {
    /// The words of the command by their first names.
    pub(super) words: Vec<&'static str>,
    /// What is not a flag.
    pub(super) arguments: Vec<String>,
    /// Values of flags: typed, from the environment, or of a switch its default.
    values: BTreeMap<&'static str, Vec<String>>,
}

impl Typed {
    /// Whether a switch is on.
    pub(super) fn on(&self, name: &str) -> bool {
        self.text(name) == Some("true")
    }

    /// The value of a flag.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.texts(name).last().map(String::as_str)
    }

    /// All values of a flag.
    pub(super) fn texts(&self, name: &str) -> &[String] {
        self.values.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// The value of a flag that takes numbers.
    pub(super) fn float(&self, name: &str) -> Option<f64> {
        self.text(name)?.parse().ok()
    }

    /// The value of a flag that takes whole numbers, cut as Go cuts them.
    #[expect(clippy::cast_possible_truncation, reason = "saturating is what is wanted")]
    pub(super) fn int(&self, name: &str) -> Option<i64> {
        self.float(name).map(|value| value as i64)
    }

    /// The value of a flag that takes a time span, in nanoseconds.
    pub(super) fn nanos(&self, name: &str) -> Option<i64> {
        parse_duration(self.text(name)?)
    }
}

/// What a command line asks for.
#[derive(Debug)]
pub(super) enum Request {
    Run(fn(&Typed) -> Result<(), Failure>, Typed),
    /// A command that is not ours.
    HandOver(Vec<&'static str>),
    Version,
    Help,
}

/// Reads a command line without the program's name. `variable` looks up the environment.
pub(super) fn parse(
    arguments: &[String],
    global: &'static [Flag],
    commands: &'static [Command],
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Request, Failure> {
    let mut parser = Parser {
        rest: arguments.iter().cloned().collect(),
        literal: false,
        flags: global.iter().collect(),
        next: Then::Choose(commands),
        positions: &[],
        typed: Typed::default(),
    };
    let parsed = parser.run();
    if parser.typed.values.contains_key("help") || parser.typed.values.contains_key("help-full") {
        return Ok(Request::Help);
    }
    if parsed?.is_foreign() {
        return Ok(Request::HandOver(parser.typed.words));
    }
    if parser.typed.values.contains_key("version") {
        return Ok(Request::Version);
    }
    parser.finish(variable)
}

/// One unit of a command line.
#[derive(Debug, PartialEq, Eq)]
enum Token {
    /// `--name`, with what stands behind `=`.
    Long(String, Option<String>),
    /// `-n`, with what is joined to it.
    Short(char, Option<String>),
    Argument(String),
}

enum Parsed {
    Ours,
    Foreign,
}

impl Parsed {
    fn is_foreign(&self) -> bool {
        matches!(self, Self::Foreign)
    }
}

struct Parser {
    rest: VecDeque<String>,
    /// Behind `--` nothing is a flag.
    literal: bool,
    flags: Vec<&'static Flag>,
    next: Then,
    positions: &'static [Argument],
    typed: Typed,
}

impl Parser {
    fn run(&mut self) -> Result<Parsed, Failure> {
        while let Some(token) = self.token() {
            match token {
                Token::Long(name, value) => self.long(&name, value)?,
                Token::Short(letter, joined) => self.short(letter, joined)?,
                Token::Argument(text) => {
                    if let Then::Choose(commands) = self.next {
                        let command = commands
                            .iter()
                            .find(|command| command.names.contains(&text.as_str()))
                            .ok_or_else(|| Failure::usage(format!("expected command but got {text:?}")))?;
                        self.typed.words.extend(command.names.first());
                        if matches!(command.then, Then::HandOver) {
                            return Ok(Parsed::Foreign);
                        }
                        self.flags.extend(command.flags.iter().copied().flatten());
                        self.next = command.then;
                        self.positions = command.arguments;
                    } else if self.typed.arguments.len() < self.positions.len()
                        || self.positions.last().is_some_and(|last| last.many)
                    {
                        self.typed.arguments.push(text);
                    } else {
                        return Err(Failure::usage(format!("unexpected {text}")));
                    }
                }
            }
        }
        Ok(Parsed::Ours)
    }

    fn token(&mut self) -> Option<Token> {
        let text = self.rest.pop_front()?;
        if self.literal || text == "-" {
            return Some(Token::Argument(text));
        }
        if text == "--" {
            self.literal = true;
            return self.token();
        }
        if let Some(long) = text.strip_prefix("--") {
            return Some(match long.split_once('=') {
                Some((name, value)) => Token::Long(name.to_owned(), Some(value.to_owned())),
                None => Token::Long(long.to_owned(), None),
            });
        }
        match text.strip_prefix('-').map(str::chars) {
            Some(mut letters) => {
                let letter = letters.next()?;
                let joined = letters.as_str();
                Some(Token::Short(letter, (!joined.is_empty()).then(|| joined.to_owned())))
            }
            None => Some(Token::Argument(text)),
        }
    }

    fn long(&mut self, name: &str, value: Option<String>) -> Result<(), Failure> {
        let unknown = || Failure::usage(format!("unknown long flag '--{name}'"));
        let find = |name: &str| self.flags.iter().find(|flag| flag.name == name).copied();
        let (flag, on) = match find(name) {
            Some(flag) => (flag, true),
            None => (name.strip_prefix("no-").and_then(find).ok_or_else(unknown)?, false),
        };
        match flag.kind {
            // Kopia takes what follows `=` for an argument: an unknown source, and its list is empty.
            Kind::Switch(_) if value.is_some() => {
                Err(Failure::usage(format!("unexpected {}", value.unwrap_or_default())))
            }
            Kind::Switch(_) => self.set(flag, on.to_string()),
            _ if !on => Err(unknown()),
            _ => self.take(flag, value, &format!("--{name}")),
        }
    }

    fn short(&mut self, letter: char, joined: Option<String>) -> Result<(), Failure> {
        let flag = self.flags.iter().find(|flag| flag.letter == Some(letter)).copied();
        let flag = flag.ok_or_else(|| Failure::usage(format!("unknown short flag '-{letter}'")))?;
        if let Kind::Switch(_) = flag.kind {
            if let Some(letters) = joined {
                self.rest.push_front(format!("-{letters}"));
            }
            return self.set(flag, "true".to_owned());
        }
        self.take(flag, joined, &format!("-{letter}"))
    }

    fn take(&mut self, flag: &'static Flag, value: Option<String>, shown: &str) -> Result<(), Failure> {
        let missing = || Failure::usage(format!("expected argument for flag '{shown}'"));
        let value = match value {
            Some(value) => value,
            None => match self.token().ok_or_else(missing)? {
                Token::Argument(text) => text,
                Token::Long(..) | Token::Short(..) => return Err(missing()),
            },
        };
        self.set(flag, value)
    }

    fn set(&mut self, flag: &'static Flag, value: String) -> Result<(), Failure> {
        check(flag, &value)?;
        let values = self.typed.values.entry(flag.name).or_default();
        if !values.is_empty() && !matches!(flag.kind, Kind::Texts) {
            return Err(Failure::usage(format!("flag '{}' cannot be repeated", flag.name)));
        }
        values.push(value);
        Ok(())
    }

    /// Fills in what was not typed, and asks for what must be.
    fn finish(mut self, variable: impl Fn(&str) -> Option<String>) -> Result<Request, Failure> {
        let run = match self.next {
            Then::Run(run) => run,
            Then::Choose(_) | Then::HandOver if self.typed.words.is_empty() => return Ok(Request::Help),
            Then::Choose(_) | Then::HandOver => {
                let words = self.typed.words.join(" ");
                return Err(Failure::usage(format!("must select a subcommand of '{words}'")));
            }
        };
        let mut missing = Vec::new();
        for flag in std::mem::take(&mut self.flags) {
            if self.typed.values.contains_key(flag.name) {
                continue;
            }
            if let Some(value) = flag.variable.and_then(&variable).filter(|value| !value.is_empty()) {
                let value = match flag.kind {
                    Kind::Switch(_) => parse_bool(&value)?.to_string(),
                    _ => value,
                };
                check(flag, &value)?;
                self.typed.values.insert(flag.name, vec![value]);
            } else if let Kind::Switch(on) = flag.kind {
                self.typed.values.insert(flag.name, vec![on.to_string()]);
            } else if flag.required {
                missing.push(format!("'--{}'", flag.name));
            }
        }
        if !missing.is_empty() {
            return Err(Failure::usage(format!("required flag(s) {} not provided", missing.join(", "))));
        }
        let wanted = self.positions.get(self.typed.arguments.len());
        if let Some(argument) = wanted.filter(|argument| argument.required) {
            return Err(Failure::usage(format!("required argument '{}' not provided", argument.name)));
        }
        Ok(Request::Run(run, self.typed))
    }
}

fn check(flag: &Flag, value: &str) -> Result<(), Failure> {
    match flag.kind {
        Kind::Int | Kind::Float if value.parse::<f64>().is_err() => {
            Err(Failure::usage(format!("strconv.ParseFloat: parsing {value:?}: invalid syntax")))
        }
        Kind::Duration if parse_duration(value).is_none() => {
            Err(Failure::usage(format!("time: invalid duration {value:?}")))
        }
        Kind::OneOf(words) if !words.contains(&value) => {
            Err(Failure::usage(format!("enum value must be one of {}, got '{value}'", words.join(","))))
        }
        _ => Ok(()),
    }
}

/// As Go's `strconv.ParseBool`.
fn parse_bool(text: &str) -> Result<bool, Failure> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(Failure::usage(format!("strconv.ParseBool: parsing {text:?}: invalid syntax"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: &Typed) -> Result<(), Failure> {
        Ok(())
    }

    const GLOBAL: &[Flag] = &[
        Flag::switch("help"),
        Flag::switch("version"),
        Flag::new("password", Kind::Text).letter('p').variable("PASSWORD"),
        Flag::new("log-level", Kind::OneOf(&["debug", "info"])),
        Flag::new("progress", Kind::Switch(true)).variable("PROGRESS"),
    ];
    const LIST: &[Flag] = &[
        Flag::switch("json"),
        Flag::switch("all").letter('a'),
        Flag::switch("incomplete").letter('i'),
        Flag::new("max-results", Kind::Int).letter('n'),
        Flag::new("tags", Kind::Texts),
        Flag::new("age", Kind::Duration),
    ];
    const SOURCE: &[Argument] = &[Argument { name: "source", required: false, many: false }];
    const IDS: &[Argument] = &[Argument { name: "ids", required: true, many: true }];
    const COMMANDS: &[Command] = &[
        Command::group(
            &["snapshot", "snap"],
            &[
                Command::new(&["list", "ls"], &[LIST], SOURCE, nothing),
                Command::new(&["verify"], &[], IDS, nothing),
                Command::foreign(&["create"]),
            ],
        ),
        Command::new(&["at"], &[&[Flag::new("path", Kind::Text).required()]], &[], nothing),
    ];

    fn request(line: &str) -> Result<Request, Failure> {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let variable = |name: &str| match name {
            "PASSWORD" => Some("from-env".to_owned()),
            "PROGRESS" => Some("F".to_owned()),
            _ => None,
        };
        parse(&arguments, GLOBAL, COMMANDS, variable)
    }

    fn typed(line: &str) -> Typed {
        match request(line) {
            Ok(Request::Run(_, typed)) => typed,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn flags_stand_anywhere() {
        for line in [
            "-p x snapshot list u@h:/p --json --max-results=3 --tags a:b --tags=c:d",
            "snap ls --json --tags a:b u@h:/p -n3 --tags c:d --password x",
            "--password=x snapshot list -n 3 --tags a:b --tags c:d --json -- u@h:/p",
        ] {
            let typed = typed(line);
            assert_eq!(typed.words, ["snapshot", "list"], "{line}");
            assert_eq!(typed.arguments, ["u@h:/p"]);
            assert_eq!((typed.text("password"), typed.int("max-results")), (Some("x"), Some(3)));
            assert_eq!(typed.texts("tags"), ["a:b", "c:d"]);
            assert!(typed.on("json") && !typed.on("all") && !typed.on("progress"));
        }
        let typed = typed("snap ls -ai --no-json --progress --max-results=2.9 --age 1m30s --tags=--x");
        assert!(typed.on("all") && typed.on("incomplete") && !typed.on("json") && typed.on("progress"));
        assert_eq!(typed.text("password"), Some("from-env"));
        assert_eq!(typed.int("max-results"), Some(2));
        assert_eq!(typed.nanos("age"), Some(90_000_000_000));
        assert_eq!(typed.texts("tags"), ["--x"]);
    }

    #[test]
    fn complaints_are_those_of_kopia() {
        for (line, complaint) in [
            ("snapshot list --bogus", "unknown long flag '--bogus'"),
            ("snapshot list --no-max-results", "unknown long flag '--no-max-results'"),
            ("snapshot list -z", "unknown short flag '-z'"),
            ("--json snapshot list", "unknown long flag '--json'"),
            ("bogus", "expected command but got \"bogus\""),
            ("snapshot", "must select a subcommand of 'snapshot'"),
            ("snapshot list a b", "unexpected b"),
            ("snapshot list --json=true", "unexpected true"),
            ("snapshot list --json --json", "flag 'json' cannot be repeated"),
            ("snapshot list -n", "expected argument for flag '-n'"),
            ("snapshot list --max-results --json", "expected argument for flag '--max-results'"),
            ("snapshot list -n x", "strconv.ParseFloat: parsing \"x\": invalid syntax"),
            ("snapshot list --log-level=warn", "enum value must be one of debug,info, got 'warn'"),
            ("snapshot list --age 3", "time: invalid duration \"3\""),
            ("snapshot verify", "required argument 'ids' not provided"),
            ("at", "required flag(s) '--path' not provided"),
        ] {
            match request(line) {
                Err(failure) => {
                    assert_eq!(failure.to_string(), format!("kopia: error: {complaint}, try --help"));
                }
                Ok(request) => panic!("{line}: {request:?}"),
            }
        }
    }

    #[test]
    fn foreign_commands_are_not_looked_into() {
        let Ok(Request::HandOver(words)) = request("-p x snap create --what --ever=1") else { panic!() };
        assert_eq!(words, ["snapshot", "create"]);
        assert!(request("--bogus snap create").is_err());
    }

    #[test]
    fn help_and_version_need_nothing_else() {
        for line in ["", "--help", "snapshot --help", "snapshot list --help x y"] {
            assert!(matches!(request(line), Ok(Request::Help)), "{line}");
        }
        assert!(matches!(request("--version"), Ok(Request::Version)));
        assert!(matches!(request("snapshot list --version"), Ok(Request::Version)));
    }
}
