//! Permits: how many may wait, or stream, at once.

use std::cell::Cell;
use std::rc::Rc;

/// How many permits are taken.
#[derive(Default)]
pub(crate) struct Permits(Rc<Cell<u32>>);

impl Permits {
    /// Returns a permit, unless `most` are taken.
    pub(crate) fn take(&self, most: u32) -> Option<Permit> {
        let taken = self.taken();
        (taken < most).then(|| {
            self.0.set(taken + 1);
            Permit(Rc::clone(&self.0))
        })
    }

    /// Returns how many are taken.
    pub(crate) fn taken(&self) -> u32 {
        self.0.get()
    }
}

/// One of [`Permits`], given back when it is dropped.
pub(crate) struct Permit(Rc<Cell<u32>>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}
