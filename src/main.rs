//! The command line, and exit codes; nothing else.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use spandrel::app::{Bound, End, Stop};
use spandrel::cli::{self, Cli, Command, RunArgs};
use spandrel::config::{Config, Environment, env};
use spandrel::telemetry;
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
        Command::Run(args) => run(&args, &environment),
    };
    ExitCode::from(code)
}

fn run(args: &RunArgs, environment: &Environment) -> u8 {
    let config = match cli::load(args, environment) {
        Ok(config) => config,
        Err(error) => return complain(&error, cli::EXIT_USAGE),
    };
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&error, cli::EXIT_FAILED),
    };
    runtime.block_on(serve(config)).unwrap_or_else(|error| complain(&error, cli::EXIT_FAILED))
}

async fn serve(config: Config) -> Result<u8, Box<dyn std::error::Error>> {
    let (logs, deadline) = (config.telemetry.clone(), config.flush_timeout);
    let (otlp, resource) =
        config.export.as_ref().map(|e| (e.otlp.clone(), e.resource.clone())).unwrap_or_default();
    let warnings = config.warnings.clone();
    // Before anybody is told that we listen, a signal must find its handler.
    let signals = Signals::install()?;
    let bound = Bound::bind(config)?;
    let telemetry = telemetry::init(&logs, &otlp, &resource, bound.registry(), &Handle::current())?;
    for warning in warnings {
        tracing::warn!(warning, "setting without effect");
    }
    let (tell, stop) = mpsc::channel(2);
    let orders = tokio::spawn(signals.pass_on(tell));
    let end = bound.run(stop).await;
    orders.abort();
    telemetry.shutdown(deadline).await;
    // Cutting off what outlasts its time is how stopping was asked for.
    let (End::Drained | End::Forced) = end?;
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

    async fn pass_on(mut self, tell: mpsc::Sender<Stop>) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
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
