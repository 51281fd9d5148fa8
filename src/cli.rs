//! The command line: what can be typed, and the command that only checks.
//!
//! Values stay texts here. What they mean, and whether they are valid, is for `config` to say, so
//! that an error reads the same whether a value came from a flag, a variable or the file.

use std::fmt::Display;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::{Config, ConfigError, Environment, value};
use crate::explore::{self, Drawing, Question, Request};
use crate::redirect::{self, Backend, Prefix};

/// Exit code: done.
pub const EXIT_DONE: u8 = 0;
/// Exit code: failed at run time.
pub const EXIT_FAILED: u8 = 1;
/// Exit code: the command line or the configuration is wrong.
pub const EXIT_USAGE: u8 = 2;

/// spandrel stands beside a service and gives it distributed tracing, without a line of code in it.
#[derive(Clone, Debug, PartialEq, Eq, clap::Parser)]
#[command(name = "spandrel", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Clone, Debug, PartialEq, Eq, clap::Subcommand)]
pub enum Command {
    /// Proxy a service's traffic and send a span for each request.
    ///
    /// For one service no file is needed: `spandrel run --inbound 0.0.0.0:16006 --app 8080
    /// --service orders` listens on port 16006, forwards every request to the application on port
    /// 8080 of this machine, and sends the spans to a collector on this machine.
    ///
    /// Flags override the variables SPANDREL_*, which override those of OpenTelemetry (OTEL_*),
    /// which override the file.
    Run(RunArgs),
    /// Check the settings that `run` would use, and print them with where each comes from.
    ///
    /// Nothing is started. The exit code is 0 if `run` would accept the settings, or 2 with every
    /// problem on a line of its own: the file and line, the key, and what was expected.
    Check(RunArgs),
    /// The rules by which the system redirects the application's traffic to spandrel.
    ///
    /// They follow from the settings that `run` uses: inbound.mode and outbound.mode say what is
    /// redirected. docs/redirect.md explains each rule.
    Iptables(IptablesArgs),
    /// Receive spans over OTLP, keep the newest, and show them on a page.
    ///
    /// For a laptop or a test: it takes what spandrel and every OpenTelemetry SDK send to ports
    /// 4317 and 4318 of this machine, and keeps it in memory. Keep traces for production in an
    /// OpenTelemetry Collector, Jaeger or Tempo.
    View(ViewArgs),
    /// Look at traces from the terminal: those of `view`, or of Jaeger.
    #[command(subcommand)]
    Trace(TraceCommand),
    /// Print who calls whom, as Mermaid or DOT.
    Graph(GraphArgs),
    /// Start a shop of five services without tracing code, a sidecar beside each, and the page
    /// that shows what they do.
    ///
    /// Everything runs in this process, on loopback, until Ctrl-C or for `--duration`.
    Demo(DemoArgs),
}

/// The flags of `iptables`.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct IptablesArgs {
    /// What to do with them.
    #[arg(value_name = "WHAT")]
    pub what: IptablesAct,
    /// The file of settings, in YAML.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Use nft instead of iptables.
    #[arg(long, conflicts_with = "iptables")]
    pub nft: bool,
    /// What the programs of iptables are called, such as iptables-legacy.
    #[arg(long, value_name = "PREFIX", default_value = "iptables", value_parser = Prefix::parse)]
    pub iptables: Prefix,
}

/// What can be done with rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum IptablesAct {
    /// Print them; nothing is changed.
    Plan,
    /// Put them in place, whole or not at all; what is in place already is left as it is.
    Apply,
    /// Take away all of them, whatever put them there, and nothing else.
    Remove,
    /// Prove by connections of this machine with itself that they work.
    Verify,
}

/// What `trace` can do.
#[derive(Clone, Debug, PartialEq, Eq, clap::Subcommand)]
pub enum TraceCommand {
    /// List the newest traces.
    List(ListArgs),
    /// Draw one trace: its spans in time, the critical path, and the hop to look at.
    Show(ShowArgs),
    /// List the services that have traces.
    Services(SourceArgs),
}

/// The flags of `view`.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct ViewArgs {
    /// Where the page and its API are served.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:16030")]
    pub page: SocketAddr,
    /// Where OTLP over gRPC is received.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4317")]
    pub grpc: SocketAddr,
    /// Where OTLP over HTTP is received.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4318")]
    pub http: SocketAddr,
    /// The most memory that traces take up; the oldest make room.
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = memory)]
    pub memory: u64,
}

/// The memory that `view` may be given, in bytes.
fn memory(text: &str) -> Result<u64, String> {
    value::bytes_of(text, 1 << 20, 1 << 40)
}

/// Where traces are read from.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct SourceArgs {
    /// `spandrel view`, or the query port of Jaeger (`http://jaeger:16686`).
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:16030")]
    pub from: String,
    /// Print JSON, for machines.
    #[arg(long)]
    pub json: bool,
}

/// The shortest duration of the traces that are listed: up to a day.
fn least(text: &str) -> Result<Duration, String> {
    value::duration(text, 0, 24 * 60 * 60 * 1_000)
}

/// The number of traces that are looked at.
fn limit(text: &str) -> Result<usize, String> {
    let limit = text.parse().ok().filter(|limit| (1..=explore::MAX_LIMIT).contains(limit));
    limit.ok_or_else(|| format!("expected a whole number from 1 to {}", explore::MAX_LIMIT))
}

/// The flags of `trace list`.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct ListArgs {
    /// Where they are read from.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Only traces with a span of this service.
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    /// Only traces that took at least this long, such as `250ms`.
    #[arg(long, value_name = "TIME", value_parser = least)]
    pub min: Option<Duration>,
    /// Only traces with an error.
    #[arg(long)]
    pub errors: bool,
    /// How many traces.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = limit)]
    pub limit: usize,
}

/// The flags of `trace show`.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct ShowArgs {
    /// The trace's id of 32 hexadecimal digits.
    #[arg(value_name = "TRACE")]
    pub id: String,
    /// Where they are read from.
    #[command(flatten)]
    pub source: SourceArgs,
}

/// The flags of `graph`.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct GraphArgs {
    /// Where they are read from.
    #[command(flatten)]
    pub source: SourceArgs,
    /// The language of the drawing.
    #[arg(long, value_name = "FORMAT", default_value = "mermaid")]
    pub format: GraphFormat,
    /// How many traces are looked at, newest first.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = limit)]
    pub limit: usize,
}

/// The languages that a graph can be printed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum GraphFormat {
    /// For Markdown pages.
    Mermaid,
    /// For Graphviz.
    Dot,
}

/// The flags of `demo`.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct DemoArgs {
    /// End after this time, such as `20s`, with a short report; without it, Ctrl-C ends.
    #[arg(long, value_name = "TIME")]
    pub duration: Option<String>,
    /// Stop the load after this many requests, and keep the page until the end.
    #[arg(long, value_name = "N")]
    pub requests: Option<u64>,
    /// Serve no page.
    #[arg(long)]
    pub no_page: bool,
}

/// The flags of `run` and `check`.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct RunArgs {
    /// The file of settings, in YAML.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where spandrel listens for requests to the application [default: 0.0.0.0:16006].
    #[arg(long, value_name = "ADDR")]
    pub inbound: Option<String>,
    /// Where the application listens, such as 127.0.0.1:8080; a port alone means this machine.
    #[arg(long, value_name = "ADDR")]
    pub app: Option<String>,
    /// Where spandrel listens for the application's own calls; where rules do not redirect them,
    /// the application must use this address as its HTTP proxy [default: nowhere].
    #[arg(long, value_name = "ADDR")]
    pub outbound: Option<String>,
    /// The name of the application in traces.
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    /// The collector that spans are sent to over OTLP [default: port 4318 of this machine].
    #[arg(long, value_name = "URL")]
    pub otlp: Option<String>,
    /// Where health, metrics and the settings in effect are served [default: 127.0.0.1:16000].
    #[arg(long, value_name = "ADDR")]
    pub admin: Option<String>,
    /// How many threads carry traffic [default: 1].
    #[arg(long, value_name = "N")]
    pub workers: Option<String>,
}

/// The settings that the flags give, as pairs of key and text.
#[must_use]
pub fn flags(args: &RunArgs) -> Vec<(&'static str, &str)> {
    let all = [
        ("inbound.listen", &args.inbound),
        ("inbound.app", &args.app),
        ("outbound.listen", &args.outbound),
        ("service.name", &args.service),
        ("export.otlp.endpoint", &args.otlp),
        ("admin.listen", &args.admin),
        ("workers", &args.workers),
    ];
    all.into_iter().filter_map(|(key, text)| Some((key, text.as_deref()?))).collect()
}

impl SourceArgs {
    fn request(self, question: Question) -> Request {
        Request { from: self.from, json: self.json, question }
    }
}

impl TraceCommand {
    /// What is to be asked, and of whom.
    #[must_use]
    pub fn into_request(self) -> Request {
        match self {
            Self::List(ListArgs { source, service, min, errors, limit }) => {
                let filter = explore::Filter { service, min, errors, limit };
                source.request(Question::List(filter))
            }
            Self::Show(args) => args.source.request(Question::Show(args.id)),
            Self::Services(source) => source.request(Question::Services),
        }
    }
}

impl GraphArgs {
    /// What is to be asked, and of whom.
    #[must_use]
    pub fn into_request(self) -> Request {
        let drawing = match self.format {
            GraphFormat::Mermaid => Drawing::Mermaid,
            GraphFormat::Dot => Drawing::Dot,
        };
        self.source.request(Question::Graph { drawing, limit: self.limit })
    }
}

/// The configuration that the flags, their file and the environment amount to.
///
/// # Errors
/// With everything that is wrong.
pub fn load(args: &RunArgs, environment: &Environment) -> Result<Config, ConfigError> {
    Config::load(args.config.as_deref(), environment, &flags(args))
}

/// The command `check`: prints the settings in effect to `out`, or what is wrong to `err`.
/// Returns the exit code.
pub fn check(
    args: &RunArgs,
    environment: &Environment,
    out: &mut impl Write,
    err: &mut impl Write,
) -> u8 {
    let (code, written) = match load(args, environment) {
        Ok(config) => (EXIT_DONE, print(&config, out, err)),
        Err(error) => (EXIT_USAGE, writeln!(err, "{error}")),
    };
    if written.is_err() { code.max(EXIT_FAILED) } else { code }
}

fn print(config: &Config, out: &mut impl Write, err: &mut impl Write) -> io::Result<()> {
    for warning in &config.warnings {
        writeln!(err, "warning: {warning}")?;
    }
    write!(out, "{}", config.effective)
}

/// The command `iptables`: writes the plan, or what was done or proved, to `out`, or what is wrong
/// to `err`. Returns the exit code.
pub fn iptables(
    args: &IptablesArgs,
    environment: &Environment,
    out: &mut impl Write,
    err: &mut impl Write,
) -> u8 {
    let is_removal = args.what == IptablesAct::Remove;
    let load = |flags: &[_]| Config::load(args.config.as_deref(), environment, flags);
    // What once was redirected can be taken away also where nothing is proxied any more.
    let loaded = load(&[]).or_else(|error| match is_removal {
        true => load(&[("inbound.app", "1")]).map_err(|_| error),
        false => Err(error),
    });
    let config = match loaded {
        Ok(config) => config.redirect,
        Err(error) => return complain(err, &error, EXIT_USAGE),
    };
    if config.is_empty() && !is_removal {
        let text = "nothing is redirected: set inbound.mode to redirect or tproxy, or outbound.mode \
                    to redirect";
        return complain(err, &text, EXIT_USAGE);
    }
    let backend = match args.nft {
        true => Backend::Nft,
        false => Backend::Iptables(args.iptables.clone()),
    };
    let line = |done: &str| format!("{done}\n");
    let done = match args.what {
        IptablesAct::Plan => Ok(redirect::plan(&config, &backend)),
        IptablesAct::Apply => redirect::apply(&config, &backend).map(line),
        IptablesAct::Remove => redirect::remove(&config, &args.iptables).map(line),
        IptablesAct::Verify => {
            redirect::verify(&config, &backend).map(|lines| lines.iter().map(|l| line(l)).collect())
        }
    };
    match done.map(|text| write!(out, "{text}")) {
        Ok(Ok(())) => EXIT_DONE,
        Ok(Err(_)) => EXIT_FAILED,
        Err(fault) => complain(err, &fault, EXIT_FAILED),
    }
}

fn complain(err: &mut impl Write, text: &impl Display, code: u8) -> u8 {
    // Without a standard error there is nobody to complain to.
    writeln!(err, "spandrel: {text}").ok();
    code
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;
    use crate::config::settings::SETTINGS;

    fn parsed(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    fn checked(line: &str) -> (u8, String, String) {
        let Command::Check(args) = parsed(line).unwrap().command else {
            unreachable!("the line is a check")
        };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = check(&args, &Environment::new(), &mut out, &mut err);
        (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_gives_its_setting() {
        let line = "spandrel run -c a.yaml --inbound 1 --app 2 --outbound 3 --service 4 --otlp 5 \
                    --admin 6 --workers 7";
        let Command::Run(args) = parsed(line).unwrap().command else {
            unreachable!("the line is a run")
        };
        assert_eq!(args.config, Some(PathBuf::from("a.yaml")));
        let given = flags(&args);
        for setting in SETTINGS.iter().filter(|setting| setting.flag.is_some()) {
            let text = given.iter().find(|(key, _)| *key == setting.key).map(|(_, text)| text);
            let flag = setting.flag.unwrap();
            assert!(line.contains(&format!("{flag} {}", text.unwrap())), "{flag}");
        }
        assert_eq!(given.len(), SETTINGS.iter().filter(|s| s.flag.is_some()).count());
        assert_eq!(flags(&RunArgs::default()), []);
    }

    #[test]
    fn only_commands_and_flags_that_exist_are_taken() {
        for line in ["spandrel", "spandrel run --port 1", "spandrel run a.yaml"] {
            assert_eq!(parsed(line).unwrap_err().exit_code(), 2, "{line}");
        }
        assert_eq!(parsed("spandrel --version").unwrap_err().exit_code(), 0);
    }

    #[test]
    fn questions_about_traces_are_asked_as_typed() {
        let asked = |line: &str| match parsed(line).unwrap().command {
            Command::Trace(command) => command.into_request(),
            Command::Graph(args) => args.into_request(),
            _ => unreachable!("the line asks for traces"),
        };
        let all = asked("spandrel trace list --service a --min 250ms --errors --limit 7 --json");
        let (service, min) = (Some("a".to_owned()), Some(Duration::from_millis(250)));
        let filter = explore::Filter { service, min, errors: true, limit: 7 };
        assert_eq!((all.question, all.json), (Question::List(filter), true));
        let show = asked("spandrel trace show 0af7 --from http://jaeger:16686");
        assert_eq!(show.from, "http://jaeger:16686");
        assert_eq!((show.question, show.json), (Question::Show("0af7".to_owned()), false));
        assert_eq!(asked("spandrel trace services").question, Question::Services);
        let graph = Question::Graph { drawing: Drawing::Dot, limit: 1_000 };
        assert_eq!(asked("spandrel graph --format dot").question, graph);
        for wrong in ["--limit 0", "--limit 2001", "--limit x", "--min fast", "--min 2d"] {
            let error = parsed(&format!("spandrel trace list {wrong}")).unwrap_err();
            assert!(error.to_string().contains(": expected a "), "{error}");
        }
    }

    #[test]
    fn check_prints_the_settings_in_effect() {
        let (code, out, err) = checked("spandrel check --app 8080 --workers 2");
        assert_eq!((code, err.as_str()), (EXIT_DONE, ""));
        assert!(out.lines().any(|l| l.starts_with("workers: 2 ") && l.ends_with("# --workers")));
    }

    #[test]
    fn check_tells_what_is_wrong_and_prints_nothing() {
        let (code, out, err) = checked("spandrel check --app 8080 --workers many");
        assert_eq!((code, out.as_str()), (EXIT_USAGE, ""));
        assert_eq!(err, "--workers: expected a whole number from 1 to 64, found `many`\n");
    }

    #[test]
    fn check_warns_of_what_has_no_effect() {
        let args = RunArgs { app: Some("8080".to_owned()), ..RunArgs::default() };
        let variable = ("SPANDREL_SAMPLING_RATIO".to_owned(), "0.5".into());
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = check(&args, &Environment::from([variable]), &mut out, &mut err);
        assert_eq!(code, EXIT_DONE);
        assert!(err.starts_with(b"warning: sampling.ratio (SPANDREL_SAMPLING_RATIO) is not used"));
    }

    #[test]
    fn check_fails_when_its_output_cannot_be_written() {
        let args = RunArgs { app: Some("8080".to_owned()), ..RunArgs::default() };
        let mut closed: &mut [u8] = &mut [];
        let code = check(&args, &Environment::new(), &mut closed, &mut Vec::new());
        assert_eq!(code, EXIT_FAILED);
    }

    #[test]
    fn rules_are_planned_from_the_settings_and_by_the_program_that_is_named() {
        let planned = |line: &str, modes: &[&str]| {
            let Command::Iptables(args) = parsed(line).unwrap().command else {
                unreachable!("the line is about rules")
            };
            let set = |name: &&str| ((*name).to_owned(), "redirect".into());
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let code = iptables(&args, &modes.iter().map(set).collect(), &mut out, &mut err);
            (code, String::from_utf8([out, err].concat()).unwrap())
        };
        let modes = ["SPANDREL_OUTBOUND_MODE"];
        let (code, text) = planned("spandrel iptables plan --iptables iptables-legacy", &modes);
        assert_eq!((code, text.matches("COMMIT").count()), (EXIT_DONE, 2));
        assert!(text.contains("# ipv6: ip6tables-legacy-restore --noflush"), "{text}");
        let (code, text) = planned("spandrel iptables plan --nft", &modes);
        assert_eq!((code, text.matches("table inet spandrel {").count()), (EXIT_DONE, 1));
        let (code, text) = planned("spandrel iptables plan", &[]);
        assert_eq!(code, EXIT_USAGE);
        assert!(text.starts_with("spandrel: nothing to proxy"), "{text}");
        for wrong in ["", " flush", " plan --nft --iptables iptables", " plan --iptables sh"] {
            assert_eq!(parsed(&format!("spandrel iptables{wrong}")).unwrap_err().exit_code(), 2);
        }
    }
}
