//! The `rokopia` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    rokopia::cli::main()
}
