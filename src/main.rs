//! The command line, and exit codes; nothing else.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use spandrel::app::{Bound, End, Stop};
use spandrel::cli::{self, Cli, Command, DemoArgs, RunArgs, ViewArgs};
use spandrel::config::{Config, Environment, env};
use spandrel::demo;
use spandrel::explore::{self, Request, Screen};
use spandrel::telemetry;
use spandrel::view::{self, View};
use tokio::runtime::{Builder, Handle};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

fn main() -> ExitCode {
    let environment = env::from_process();
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => {
            // Without a terminal there is nobody to tell; the exit code stands.
            error.print().ok();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(cli::EXIT_USAGE));
        }
    };
    let code = match command {
        Command::Check(args) => {
            cli::check(&args, &environment, &mut io::stdout().lock(), &mut io::stderr().lock())
        }
        Command::Iptables(args) => {
            cli::iptables(&args, &environment, &mut io::stdout().lock(), &mut io::stderr().lock())
        }
        Command::Run(args) => run(&args, &environment),
        Command::View(args) => show(&args),
        Command::Demo(args) => demo(&args),
        Command::Trace(command) => on_runtime(ask(command.into_request())),
        Command::Graph(args) => on_runtime(ask(args.into_request())),
    };
    ExitCode::from(code)
}

fn run(args: &RunArgs, environment: &Environment) -> u8 {
    let config = match cli::load(args, environment) {
        Ok(config) => config,
        Err(error) => return complain(&error, cli::EXIT_USAGE),
    };
    on_runtime(serve(config))
}

fn demo(args: &DemoArgs) -> u8 {
    match demo::Config::of(args) {
        Ok(config) => on_runtime(play(config)),
        Err(error) => complain(&error, cli::EXIT_USAGE),
    }
}

fn on_runtime(work: impl Future<Output = Result<u8, Box<dyn std::error::Error>>>) -> u8 {
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&error, cli::EXIT_FAILED),
    };
    runtime.block_on(work).unwrap_or_else(|error| complain(&error, cli::EXIT_FAILED))
}

fn show(args: &ViewArgs) -> u8 {
    let config = view::Config {
        page: Some(args.page),
        grpc: args.grpc,
        http: args.http,
        memory: args.memory,
    };
    match View::bind(config) {
        Ok(view) => on_runtime(show_until_told(view)),
        Err(error) => complain(&error, cli::EXIT_FAILED),
    }
}

async fn show_until_told(view: View) -> Result<u8, Box<dyn std::error::Error>> {
    let signals = Signals::install()?;
    let view::Addresses { page, grpc, http } = view.addresses();
    let mut out = io::stdout();
    if let Some(page) = page {
        writeln!(out, "the page:   http://{page}/")?;
    }
    writeln!(out, "OTLP/HTTP:  http://{http}\nOTLP/gRPC:  http://{grpc}")?;
    view.run(signals.first()).await?;
    Ok(cli::EXIT_DONE)
}

async fn ask(request: Request) -> Result<u8, Box<dyn std::error::Error>> {
    let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    match explore::run(&request, Screen::of_output(!is_plain), &mut io::stdout()).await {
        Err(error) if error.is_usage() => Ok(complain(&error, cli::EXIT_USAGE)),
        asked => Ok(asked.map(|()| cli::EXIT_DONE)?),
    }
}

async fn serve(config: Config) -> Result<u8, Box<dyn std::error::Error>> {
    let (logs, deadline) = (config.telemetry.clone(), config.flush_timeout);
    let (otlp, resource) = config
        .export
        .as_ref()
        .and_then(|e| Some((e.otlp()?.clone(), e.resource.clone())))
        .unwrap_or_default();
    let warnings = config.warnings.clone();
    // Before anybody is told that we listen, a signal must find its handler.
    let signals = Signals::install()?;
    let bound = Bound::bind(config)?;
    let (registry, own) = (bound.registry(), bound.own_sockets());
    let telemetry = telemetry::init(&logs, &otlp, &resource, registry, &Handle::current(), own)?;
    for warning in warnings {
        tracing::warn!(warning, "setting without effect");
    }
    let (tell, stop) = mpsc::channel(2);
    let orders = tokio::spawn(signals.pass_on(tell));
    let end = Box::pin(bound.run(stop)).await;
    orders.abort();
    telemetry.shutdown(deadline).await;
    // Cutting off what outlasts its time is how stopping was asked for.
    let (End::Drained | End::Forced) = end?;
    Ok(cli::EXIT_DONE)
}

async fn play(config: demo::Config) -> Result<u8, Box<dyn std::error::Error>> {
    let signals = Signals::install()?;
    let (tell, stop) = mpsc::channel(2);
    let orders = tokio::spawn(signals.pass_on(tell));
    let out = io::stdout();
    let is_terminal = out.is_terminal();
    let played = demo::run(config, stop, out, is_terminal).await;
    orders.abort();
    played?;
    Ok(cli::EXIT_DONE)
}

/// SIGTERM and SIGINT, which both ask for an orderly end; asked twice, it means now.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn install() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the first of them.
    async fn first(mut self) {
        self.next().await;
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    async fn pass_on(mut self, tell: mpsc::Sender<Stop>) {
        loop {
            self.next().await;
            if tell.send(Stop::Gracefully).await.is_err() {
                return;
            }
        }
    }
}

fn complain(error: &(impl Display + ?Sized), code: u8) -> u8 {
    // Without a standard error there is nobody to complain to.
    writeln!(io::stderr(), "spandrel: {error}").ok();
    code
}
