//! The newsreel command.
fn main() {}
