//! A cached value with its envelope, wherever its bytes are.

use std::cell::OnceCell;
use std::rc::Rc;

use js_sys::Uint8Array;
use newsreel_core::read::cache::{Envelope, Tier};
use newsreel_core::read::entry_codec;
use worker::web_sys::ReadableStream;

use super::{KV_VALUE_BYTES, SMALL_BYTES};
use crate::respond::ReadyValue;

/// How much of stored bytes is read to find the envelope. The tags of an envelope are at most as long as
/// a header may be.
pub(crate) const HEAD_BYTES: u32 = 256 << 10;

/// A value with its envelope.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) envelope: Rc<Envelope>,
    pub(crate) body: Body,
    /// The value as its responses need it, once it was answered from memory.
    pub(crate) ready: Rc<OnceCell<ReadyValue>>,
}

/// The bytes of a value, by where they are.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    /// In wasm's memory: at most 1 MiB.
    Bytes(Rc<[u8]>),
    /// In JavaScript's memory, which is given back: a copy in wasm would stay for as long as the isolate.
    Array(Uint8Array),
    /// In R2, and read from there as the response is sent.
    Stored(Rc<Stored>),
    /// The origin's own stream and its length, readable once: no R2 is bound, or the value
    /// must not be stored.
    Stream(ReadableStream, u64),
    /// Not at hand: this many bytes were given up, as too many for one answer.
    Omitted(u64),
}

/// The place of a value in R2.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) name: String,
    /// The entity tag of the object, so that no later object is read in its place.
    pub(crate) etag: String,
    /// The byte at which the value begins, after its envelope.
    pub(crate) offset: u64,
    /// The length of the value in bytes, without its envelope.
    pub(crate) length: u64,
}

impl Entry {
    /// Returns an entry that was not answered yet.
    pub(crate) fn new(envelope: Envelope, body: Body) -> Self {
        Self { envelope: Rc::new(envelope), body, ready: Rc::default() }
    }

    /// Reads stored bytes; `None` for bytes that another program, or another format, wrote there.
    pub(crate) fn from_array(array: &Uint8Array) -> Option<Self> {
        if array.length() <= SMALL_BYTES {
            return Self::from_bytes(&array.to_vec());
        }
        let head = array.subarray(0, HEAD_BYTES).to_vec();
        let (envelope, offset, _) = entry_codec::decode(&head)?;
        let value = array.subarray(u32::try_from(offset).ok()?, array.length());
        Some(Self::new(envelope, Body::Array(value)))
    }

    /// Reads stored bytes that are in wasm's memory.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (envelope, offset, _) = entry_codec::decode(bytes)?;
        Some(Self::new(envelope, Body::Bytes(bytes.get(offset..)?.into())))
    }

    /// Returns the bytes to store; `None` for a value whose bytes are not at hand.
    pub(crate) fn to_array(&self) -> Option<Uint8Array> {
        let head = entry_codec::head(&self.envelope, self.body.is_text());
        let head_length = u32::try_from(head.len()).ok()?;
        let whole = |length: u32| {
            let whole = Uint8Array::new_with_length(head_length + length);
            whole.subarray(0, head_length).copy_from(&head);
            whole
        };
        match &self.body {
            Body::Bytes(bytes) => {
                let array = whole(u32::try_from(bytes.len()).ok()?);
                array.subarray(head_length, array.length()).copy_from(bytes);
                Some(array)
            }
            Body::Array(value) => {
                let array = whole(value.length());
                array.set(value, head_length);
                Some(array)
            }
            Body::Stored(_) | Body::Stream(..) | Body::Omitted(_) => None,
        }
    }

    /// Gives up a value that is not small.
    pub(crate) fn omit_large(&mut self) {
        if !matches!(self.body, Body::Bytes(_)) {
            self.body = Body::Omitted(self.body.length());
        }
    }

    /// Says whether a tier takes the entry, by the size and place of its value.
    pub(crate) fn fits(&self, tier: Tier) -> bool {
        match tier {
            Tier::Memory => matches!(self.body, Body::Bytes(_)),
            Tier::Kv => {
                let small = self.body.length() <= u64::from(KV_VALUE_BYTES - HEAD_BYTES);
                small && matches!(self.body, Body::Bytes(_) | Body::Array(_))
            }
            Tier::R2 => matches!(self.body, Body::Bytes(_) | Body::Array(_)),
            Tier::Origin => false,
        }
    }
}

impl Body {
    /// Returns the body that holds these bytes.
    pub(crate) fn of(array: Uint8Array) -> Self {
        if array.length() <= SMALL_BYTES { Self::Bytes(array.to_vec().into()) } else { Self::Array(array) }
    }

    /// Returns how many bytes the value has.
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Array(array) => u64::from(array.length()),
            Self::Stored(stored) => stored.length,
            Self::Stream(_, length) | Self::Omitted(length) => *length,
        }
    }

    /// Returns the bytes, where they are at hand.
    pub(crate) fn bytes(&self) -> Option<Rc<[u8]>> {
        match self {
            Self::Bytes(bytes) => Some(Rc::clone(bytes)),
            Self::Array(array) => Some(array.to_vec().into()),
            Self::Stored(_) | Self::Stream(..) | Self::Omitted(_) => None,
        }
    }

    /// Says whether the bytes are UTF-8, so that KV can hand them out in bulk. A large value is not checked,
    /// and counts as no text.
    fn is_text(&self) -> bool {
        match self {
            Self::Bytes(bytes) => std::str::from_utf8(bytes).is_ok(),
            Self::Array(_) | Self::Stored(_) | Self::Stream(..) | Self::Omitted(_) => false,
        }
    }
}
