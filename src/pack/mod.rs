//! Inside a pack blob: footer, local index, recovery.
