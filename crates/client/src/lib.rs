//! The WASM half of the npm package `newsreel`: it decides; the TypeScript around it (`packages/newsreel`) obeys.
//!
//! Sockets, timers, handlers and values stay JavaScript's. Only text crosses: a frame goes in, a short list
//! of effects comes out, and the rows of a frame never cross one by one.
//!
//! In reading order:
//! - [`session`]: following, around `newsreel_core::follow::follower`;
//! - [`timing`]: its times, as a caller may set them;
//! - [`cache`]: a cache that hears of a session, around `newsreel_core::read::cache`;
//! - [`mod@panic`]: the message of a panic, for the error that the caller gets.

#[cfg(feature = "cache")]
pub mod cache;
pub mod panic;
pub mod session;
pub mod timing;
