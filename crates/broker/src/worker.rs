//! The Worker's side of the broker: what is checked before a Durable Object is touched.

pub(crate) mod front_door;
