//! How much memory something takes at once: bytes from a stranger may not become many times as much memory.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The allocator of every program that links this crate. Counts the bytes of each thread.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: hands everything on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        // SAFETY: the caller's word holds for the system's allocator too.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        give(layout.size());
        // SAFETY: the system's allocator gave `at` for this layout.
        unsafe { System.dealloc(at, layout) }
    }

    // Not `realloc`: by default it takes the new before it gives the old, which is the worst there may be.
}

fn take(bytes: usize) {
    let held = HELD.get().saturating_add(bytes);
    HELD.set(held);
    MOST.set(MOST.get().max(held));
}

/// Another thread may have taken it.
fn give(bytes: usize) {
    HELD.set(HELD.get().saturating_sub(bytes));
}

/// Does something, and returns the most memory this thread held meanwhile beyond what it held before.
pub fn most_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    MOST.set(before);
    let done = work();
    (done, MOST.get().saturating_sub(before))
}

/// Asserts that reading so many bytes from a stranger took no more than `times` as much, and 1 MiB.
///
/// # Panics
/// When it took more.
#[track_caller]
pub fn assert_bounded<T>(bytes: usize, times: usize, work: impl FnOnce() -> T) -> T {
    let (done, most) = most_of(work);
    assert!(most <= times * bytes + (1 << 20), "{bytes} bytes took {most} of memory");
    done
}
