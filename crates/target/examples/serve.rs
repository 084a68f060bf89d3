//! `oxsan target serve` by itself: a target to try other initiators against.
#![forbid(unsafe_code)]

use clap::Parser;
use target::cli::{ServeArgs, serve};

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    args: ServeArgs,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_env("OXSAN_LOG"))
        .with_writer(std::io::stderr)
        .init();
    Ok(serve(Program::parse().args).await?)
}
