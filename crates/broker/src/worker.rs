//! The Worker's side of the broker: the checks before a Durable Object is touched.

pub(crate) mod at_once;
pub(crate) mod front_door;
