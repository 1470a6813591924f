//! What the hub's decisions become: rows in SQLite, frames on sockets, the alarm.

pub(crate) mod alarm;
pub(crate) mod rows;
pub(crate) mod sockets;
