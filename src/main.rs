//! The `rokopia` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    rokopia::kopia::main().unwrap_or_else(rokopia::cli::main)
}
