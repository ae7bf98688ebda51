//! `haat`: parse, check, start, wait for a signal.

use std::{
    io::Write,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::{Args, Parser, Subcommand};
use haat_server::{
    api::health,
    auth::{self, Claims},
    config::{
        Config, ConfigErrors, KeySource, Layers, Secret,
        layers::{Loaded, defaults},
        reference,
    },
    live::fair,
    log,
    server::Server,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Live-commerce messaging that speaks Socket.IO.
#[derive(Parser)]
#[command(version, about, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Subcommand)]
enum Command {
    /// Runs a gateway (the default).
    Serve(Serve),
    /// Makes a token for development, signed with the configured secret.
    Token(Token),
    /// Checks the configuration, and shows what it means; secrets are masked.
    Check(Layering),
    /// Prints a haat.toml with all defaults.
    Defaults(Defaults),
    /// Draws every spin of a wheel again, from the ledger of its stream, with the seed that was shown when it closed.
    VerifyWheel(VerifyWheel),
    /// Asks the gateway on this host how it is; what the health check of a container runs.
    Health(Health),
}

#[derive(Args)]
struct Defaults {
    /// As the page of the operator's guide instead.
    #[arg(long)]
    markdown: bool,
}

#[derive(Args)]
struct VerifyWheel {
    /// The wheel's id.
    #[arg(long)]
    wheel: String,
    /// The ledger: answers of `GET /v1/streams/{id}/ledger` one behind the other, or a record a line. Left out, or -: from
    /// the standard input.
    ledger: Option<PathBuf>,
}

#[derive(Args)]
struct Health {
    /// Asks whether it takes connections, not only whether it is up.
    #[arg(long)]
    ready: bool,
    #[command(flatten)]
    layering: Layering,
}

#[derive(Args, Default)]
struct Layering {
    /// Configuration file; haat.toml in this folder, if it is there.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where clients connect.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Where metrics and health are served.
    #[arg(long, value_name = "ADDRESS:PORT")]
    private_listen: Option<String>,
    /// Redis of the fleet.
    #[arg(long, value_name = "URL")]
    redis_url: Option<String>,
    /// Folder of the built demo pages.
    #[arg(long, value_name = "FOLDER")]
    demo: Option<String>,
    /// Threads that hold connections.
    #[arg(long, value_name = "COUNT")]
    shards: Option<String>,
}

#[derive(Args, Default)]
struct Serve {
    /// Makes up a secret for this run, and prints links with tokens.
    #[arg(long)]
    dev: bool,
    #[command(flatten)]
    layering: Layering,
}

#[derive(Args)]
struct Token {
    /// User id.
    #[arg(long)]
    sub: String,
    /// Display name.
    #[arg(long)]
    name: Option<String>,
    /// viewer, supplier, moderator or service.
    #[arg(long, default_value = "viewer")]
    role: String,
    /// Streams that the role holds for, separated by commas; * for all.
    #[arg(long, value_delimiter = ',')]
    streams: Vec<String>,
    /// Seconds until it expires.
    #[arg(long, default_value_t = 86_400)]
    ttl: u64,
    #[command(flatten)]
    layering: Layering,
}

/// Why `haat` ends with an error; every line is shown.
enum Failure {
    Config(ConfigErrors),
    Other(String),
}

impl From<ConfigErrors> for Failure {
    fn from(mistakes: ConfigErrors) -> Self {
        Self::Config(mistakes)
    }
}

impl Failure {
    fn other(error: impl ToString) -> Self {
        Self::Other(error.to_string())
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(serve) => run(serve),
        Command::Token(token) => mint(token),
        Command::Check(layering) => check(&layering),
        Command::Defaults(Defaults { markdown }) => {
            say(&if markdown { reference::markdown() } else { defaults() });
            Ok(())
        }
        Command::VerifyWheel(arguments) => verify(&arguments),
        Command::Health(question) => examine(&question),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Config(mistakes)) => {
            for mistake in mistakes.0 {
                complain(&mistake.to_string());
            }
            ExitCode::from(2)
        }
        Err(Failure::Other(message)) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn say(text: &str) {
    // Nobody is left to tell if this fails.
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
}

fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "haat: {text}");
}

fn load(layering: &Layering, dev: bool) -> Result<Loaded, Failure> {
    let Layering { config, listen, private_listen, redis_url, demo, shards } = layering;
    let flags = [
        ("listen", listen),
        ("private_listen", private_listen),
        ("redis.url", redis_url),
        ("demo", demo),
        ("shards", shards),
    ];
    let flags = flags.into_iter().filter_map(|(path, value)| Some((path, value.clone()?)));
    let layers = Layers { file: config.clone(), flags: flags.collect(), dev, ..Layers::of_process() };
    Ok(layers.load()?)
}

fn check(layering: &Layering) -> Result<(), Failure> {
    say(&load(layering, false)?.describe());
    Ok(())
}

fn verify(arguments: &VerifyWheel) -> Result<(), Failure> {
    let ledger = match arguments.ledger.as_deref().filter(|path| path.as_os_str() != "-") {
        Some(path) => {
            std::fs::read_to_string(path).map_err(|error| Failure::Other(format!("{}: {error}", path.display())))?
        }
        None => std::io::read_to_string(std::io::stdin()).map_err(Failure::other)?,
    };
    let fair::Proof { openings, spins, wins } = fair::verify(&ledger, &arguments.wheel).map_err(Failure::other)?;
    let times = if openings == 1 { String::new() } else { format!(" of {openings} openings") };
    say(&format!("wheel {}: all {spins} spins{times} are as the seed says, {wins} of them won", arguments.wheel));
    Ok(())
}

fn examine(question: &Health) -> Result<(), Failure> {
    let listener = load(&question.layering, true)?.config.private_listen;
    let path = if question.ready { "/readyz" } else { "/healthz" };
    say(&health::ask(listener, path).map_err(|error| Failure::Other(format!("{listener}{path}: {error}")))?);
    Ok(())
}

fn mint(token: Token) -> Result<(), Failure> {
    let loaded = load(&token.layering, true)?;
    let Some(secret) = secret(&loaded.config) else {
        return Err(Failure::other("a token is signed with HAAT_AUTH_SECRET, which is not set"));
    };
    let claims =
        Claims { sub: token.sub, name: token.name, role: token.role, streams: token.streams, exp: expiry(token.ttl) };
    say(&auth::mint(secret.as_bytes(), &claims).map_err(Failure::other)?);
    Ok(())
}

fn secret(config: &Config) -> Option<String> {
    config.auth.keys.iter().find_map(|key| match key {
        KeySource::Secret(secret) => Some(secret.expose().clone()),
        KeySource::PublicKey { .. } | KeySource::Jwks(_) => None,
    })
}

fn expiry(ttl: u64) -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs()) + ttl
}

fn run(serve: Serve) -> Result<(), Failure> {
    let mut config = load(&serve.layering, serve.dev)?.config;
    if config.auth.keys.is_empty() {
        config.auth.keys.push(KeySource::Secret(Secret::new(development_secret()?)));
    }
    let secret = secret(&config);
    let _log = log::begin(&config);
    // A viewer is a file. What the system allows at most is the operator's business.
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(files) => tracing::debug!(files, "open files allowed"),
        Err(error) => tracing::warn!(%error, "the limit of open files stays as it is"),
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("bus")
        .enable_all()
        .build()
        .map_err(Failure::other)?;
    runtime.block_on(async {
        let (drain, pages) = (config.drain, config.demo.is_some());
        // From here on a signal is answered with a drain, however early it comes.
        let mut signals = Signals::new().map_err(Failure::other)?;
        let server = Server::start(config).await.map_err(Failure::other)?;
        if let Some(secret) = secret.filter(|_| serve.dev) {
            say(&links(&server, &secret)?);
            if !pages {
                say("These pages are not served: name their folder with --demo, or take the tokens out of the links.");
            }
        }
        signals.wait().await;
        // A second signal does not wait for anybody.
        tokio::spawn(async move {
            signals.wait().await;
            std::process::exit(130);
        });
        tracing::info!(seconds = drain.as_secs_f64(), "draining");
        server.drain(drain).await;
        tracing::info!("gateway has stopped");
        Ok(())
    })
}

/// The signals that ask a gateway to end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on they do not end the process by themselves.
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn development_secret() -> Result<String, Failure> {
    let random = || haat_protocol::Id::random().map_err(Failure::other);
    Ok(format!("{}{}", random()?, random()?))
}

/// What to open in a browser.
fn links(server: &Server, secret: &str) -> Result<String, Failure> {
    let port = server.address().port();
    let link = |page: &str, sub: &str, name: &str, role: &str| {
        let streams = if role == "supplier" { vec!["main".to_owned()] } else { Vec::new() };
        let exp = expiry(Duration::from_secs(86_400).as_secs());
        let claims = Claims { sub: sub.to_owned(), name: Some(name.to_owned()), role: role.to_owned(), streams, exp };
        let token = auth::mint(secret.as_bytes(), &claims).map_err(Failure::other)?;
        Ok::<_, Failure>(format!("http://localhost:{port}/{page}#token={token}&stream=main"))
    };
    Ok(format!(
        "\nhaat is running. Open these in a browser:\n\n\
         supplier  {}\n\nAsha      {}\n\nRavi      {}\n\nguest     http://localhost:{port}/#stream=main\n",
        link("console.html", "supplier-1", "Meera", "supplier")?,
        link("", "asha", "Asha", "viewer")?,
        link("", "ravi", "Ravi", "viewer")?,
    ))
}
