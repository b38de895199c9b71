//! The `rokopia` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    rokopia::keep_memory_private();
    rokopia::front::main()
}
