//! The command line, and exit codes; nothing else.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use spandrel::app::{AppError, Bound, End, Stop};
use spandrel::cli::{self, Cli, Command, RunArgs};
use spandrel::config::{Config, Environment, env};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

fn main() -> ExitCode {
    let environment = env::from_process();
    let code = match Cli::parse().command {
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
    match start(config) {
        Ok(End::Drained) => cli::EXIT_DONE,
        Ok(End::Forced) => cli::EXIT_FAILED,
        Err(error) => complain(&error, cli::EXIT_FAILED),
    }
}

fn start(config: Config) -> Result<End, AppError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let bound = Bound::bind(config)?;
        let (tell, stop) = mpsc::channel(2);
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                if tell.send(Stop::Gracefully).await.is_err() {
                    return;
                }
            }
        });
        bound.run(stop).await
    })
}

fn complain(error: &impl std::fmt::Display, code: u8) -> u8 {
    // Without a standard error there is nobody to complain to.
    writeln!(io::stderr(), "spandrel: {error}").ok();
    code
}
