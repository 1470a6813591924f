//! The words on the wire: names, positions, changes, publishes, frames, pages, problems, routes.
//!
//! Everything that crosses a process boundary is parsed and written here and nowhere else. The texts of a
//! publisher are read strictly (an unknown field is an error), those of a broker leniently, so that a newer
//! broker may add fields. Knows nothing of sockets, storage or HTTP libraries.

pub mod accept;
pub mod address;
pub mod bom;
pub mod call;
pub mod cause;
pub mod change;
pub mod claim;
pub mod coding;
pub mod cursor;
pub mod dead_letters;
pub mod etag;
pub mod frame;
pub mod internal_headers;
pub(crate) mod json;
pub mod keys;
pub mod name;
pub mod ndjson;
pub mod page;
pub mod position;
pub mod problem;
pub mod publish;
pub mod query;
pub mod range;
pub mod route;
pub mod series;
pub mod sse;
pub mod verbatim;

pub use address::Address;
pub use call::{Call, Half};
pub use cause::{Cause, SourceEvent, Traceparent};
pub use change::{Change, Operation, Target};
pub use frame::{Fold, Frame, VersionRow};
pub use name::{Catalog, Key, NameError, Prefix, Tag};
pub use ndjson::PublishLine;
pub use page::{Page, Status};
pub use position::{Epoch, Hash, Position, UnixMillis, Version};
pub use problem::{Code, Problem};
pub use publish::{Expect, Publish, Receipt, Written};
pub use route::Route;
pub use verbatim::WrittenLine;
