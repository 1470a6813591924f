//! Following a log: the broker's side ([`hub`]), the follower's side ([`follower`]), and which changes a
//! follower asked for ([`topics`]).

pub mod follower;
pub mod hub;
pub mod topics;
