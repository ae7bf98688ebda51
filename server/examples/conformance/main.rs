//! A gateway with the settings and handlers that the official Engine.IO v4 and Socket.IO v5 protocol suites expect, on
//! port 3000 (or the one given): `cargo run --example conformance`. Recovery is off, so that the CONNECT answer holds
//! `sid` alone. Says where it listens; port 0 lets the system choose.

mod echo;

use std::{io::Write, process::ExitCode};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(3000);
    match echo::start(&echo::plan(port)) {
        Ok(gateway) => {
            let _ = writeln!(std::io::stdout(), "http://{}", gateway.address());
            let _ = tokio::signal::ctrl_c().await;
            gateway.stop().await;
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!(%error, "no gateway");
            ExitCode::FAILURE
        }
    }
}
