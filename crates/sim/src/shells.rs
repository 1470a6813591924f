//! The shells of the system, as methods of the [`World`](crate::world::World): each part acts on its own
//! state, on the network and on the clock.

mod broker;
mod chaos;
mod ending;
mod follower;
mod network;
mod publishers;
mod reader;
mod replica;
