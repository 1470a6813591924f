//! The Worker's side of the broker: the checks before a Durable Object is touched.

pub(crate) mod front_door;
