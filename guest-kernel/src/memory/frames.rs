//! Physical memory: frames for page tables and servers, and kernel objects that live for ever.
//!
//! The VMM hands over memory that is all zero, so frames need no clearing before their first use. Frames that are given
//! back are cleared and go to a list, which the next ones come from; objects stay.

use core::cell::Cell;
use core::mem::MaybeUninit;

use abi::address::PAGE_SIZE;
use abi::boot::PhysicalRange;

use super::{PageRange, physical_pointer};

/// Bytes of a cache line.
const CACHE_LINE_SIZE: u64 = 64;

/// Memory is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

/// What is valid when all of it is zero.
///
/// # Safety
/// All zero must be a valid value.
pub unsafe trait AllZero {}

// SAFETY: it is a number.
unsafe impl AllZero for Cell<u16> {}

// SAFETY: zero is no reference.
unsafe impl<T> AllZero for Cell<Option<&'static T>> {}

// SAFETY: it is two numbers.
unsafe impl AllZero for Cell<PageRange> {}

/// Hands out memory from the ranges of the boot record: frames from the top down, kernel objects from the bottom up.
pub struct Memory {
    ranges: [Range; 2],
    /// Physical address of the frame that was given back last, whose first word is that of the one before; [`NO_FRAME`] at
    /// the end.
    given_back: Cell<u64>,
    frames_in_use: Cell<u64>,
}

/// End of the list of frames.
const NO_FRAME: u64 = u64::MAX;

struct Range {
    bottom: Cell<u64>,
    top: Cell<u64>,
}

impl Memory {
    /// Hands out `free`, which must be page aligned, zero, and nobody else's.
    pub fn new(free: [PhysicalRange; 2]) -> Memory {
        Memory {
            ranges: free.map(|range| Range {
                bottom: Cell::new(range.start),
                top: Cell::new(range.start.saturating_add(range.size)),
            }),
            given_back: Cell::new(NO_FRAME),
            frames_in_use: Cell::new(0),
        }
    }

    /// The same, kept in the memory that it hands out.
    pub fn make(free: [PhysicalRange; 2]) -> Result<&'static Memory, OutOfMemory> {
        let memory = Memory::new(free);
        let address = memory.bytes(size_of::<Memory>() as u64, align_of::<Memory>() as u64)?;
        let place = physical_pointer(address).cast::<Memory>();
        // SAFETY: `bytes` gave memory of this size and alignment that is mapped for ever and nobody else's.
        unsafe {
            place.write(memory);
            Ok(&*place)
        }
    }

    /// Frames handed out and not given back.
    pub fn frames_in_use(&self) -> u64 {
        self.frames_in_use.get()
    }

    /// Gives back a frame that nothing refers to any more.
    pub fn release(&self, frame: u64) {
        let words = physical_pointer(frame).cast::<u64>();
        // SAFETY: a frame that `frame` handed out, mapped for ever, aligned, and nobody else's any more.
        unsafe {
            words.write_bytes(0, (PAGE_SIZE / 8) as usize);
            words.write(self.given_back.replace(frame));
        }
        self.frames_in_use.set(self.frames_in_use.get() - 1);
    }

    fn take_given_back(&self) -> Option<u64> {
        let frame = self.given_back.get();
        if frame == NO_FRAME {
            return None;
        }
        let next = physical_pointer(frame).cast::<u64>();
        // SAFETY: a frame in the list is nobody else's; its first word is the next one's address, the others are zero.
        self.given_back.set(unsafe { next.replace(0) });
        Some(frame)
    }

    /// `count` frames in a row that are never given back; the physical address of the first one.
    pub fn frames(&self, count: u64) -> Result<u64, OutOfMemory> {
        let size = count.checked_mul(PAGE_SIZE).ok_or(OutOfMemory)?;
        for range in &self.ranges {
            if range.top.get() - range.bottom.get() >= size {
                let start = (range.top.get() - size) & !(PAGE_SIZE - 1);
                if start >= range.bottom.get() {
                    range.top.set(start);
                    return Ok(start);
                }
            }
        }
        Err(OutOfMemory)
    }

    /// One frame, all zero; its physical address.
    pub fn frame(&self) -> Result<u64, OutOfMemory> {
        let frame = self.take_given_back().map_or_else(|| self.frames(1), Ok)?;
        self.frames_in_use.set(self.frames_in_use.get() + 1);
        Ok(frame)
    }

    /// Up to `count` frames in a row, all zero: the physical address of the first one, and how many they are, at least one.
    pub fn frames_in_a_row(&self, count: u64) -> Result<(u64, u64), OutOfMemory> {
        let all = if self.given_back.get() == NO_FRAME { self.frames(count) } else { Err(OutOfMemory) };
        let Ok(first) = all else { return self.frame().map(|frame| (frame, 1)) };
        self.frames_in_use.set(self.frames_in_use.get() + count);
        Ok((first, count))
    }

    /// `count` objects in a row that live for ever, each made by `make` from its index.
    pub fn objects<T>(
        &self,
        count: usize,
        mut make: impl FnMut(usize) -> Result<T, OutOfMemory>,
    ) -> Result<&'static [T], OutOfMemory> {
        let size = (count as u64).checked_mul(size_of::<T>() as u64).ok_or(OutOfMemory)?;
        let address = self.bytes(size, alignment::<T>(size))?;
        // SAFETY: `bytes` gave memory of this size and alignment that is mapped for ever and nobody else's.
        let slots = unsafe {
            core::slice::from_raw_parts_mut(physical_pointer(address).cast::<MaybeUninit<T>>(), count)
        };
        for (index, slot) in slots.iter_mut().enumerate() {
            slot.write(make(index)?);
        }
        // SAFETY: the loop has initialized every element.
        Ok(unsafe { slots.assume_init_ref() })
    }

    /// One object that lives for ever.
    pub fn object<T>(&self, value: T) -> Result<&'static T, OutOfMemory> {
        let mut value = Some(value);
        let objects = self.objects(1, |_| value.take().ok_or(OutOfMemory))?;
        objects.first().ok_or(OutOfMemory)
    }

    /// `count` objects in a row that live for ever, all zero. They cost nothing until they are used: free memory is zero.
    pub fn zeroed<T: AllZero>(&self, count: usize) -> Result<&'static [T], OutOfMemory> {
        let size = (count as u64).checked_mul(size_of::<T>() as u64).ok_or(OutOfMemory)?;
        let address = self.bytes(size, alignment::<T>(size))?;
        // SAFETY: `bytes` gave zeroed memory of this size and alignment that is mapped for ever and nobody else's, and zero is a
        // value.
        Ok(unsafe { core::slice::from_raw_parts(physical_pointer(address).cast(), count) })
    }

    /// `size` zero bytes with an alignment of at most a page.
    pub fn bytes(&self, size: u64, alignment: u64) -> Result<u64, OutOfMemory> {
        for range in &self.ranges {
            let start = range.bottom.get().next_multiple_of(alignment);
            let end = start.checked_add(size).ok_or(OutOfMemory)?;
            if end <= range.top.get() {
                range.bottom.set(end);
                return Ok(start);
            }
        }
        Err(OutOfMemory)
    }
}

/// Alignment of objects with so many bytes: the cache lines that a path touches must not depend on what happened to be made before.
/// Whatever is larger than a quarter of a line begins with one, and nothing smaller lies on two.
fn alignment<T>(size: u64) -> u64 {
    const SMALL: u64 = CACHE_LINE_SIZE / 4;
    let least = if size > SMALL { CACHE_LINE_SIZE } else { SMALL };
    least.max(align_of::<T>() as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// What is handed out lies in the free ranges, is aligned, and never overlaps.
        #[test]
        fn pieces_never_overlap(
            sizes in [0_u64..40, 0..40],
            requests in proptest::collection::vec((any::<bool>(), 1_u64..9000), 0..60),
        ) {
            let free = [
                PhysicalRange { start: 0x10_0000, size: sizes[0] * PAGE_SIZE },
                PhysicalRange { start: 0x80_0000, size: sizes[1] * PAGE_SIZE },
            ];
            let memory = Memory::new(free);
            let mut pieces: Vec<(u64, u64)> = Vec::new();
            for (frames, amount) in requests {
                let (piece, size) = if frames {
                    let count = amount % 5 + 1;
                    (memory.frames(count), count * PAGE_SIZE)
                } else {
                    (memory.bytes(amount, 64), amount)
                };
                let Ok(start) = piece else { continue };
                prop_assert_eq!(start % if frames { PAGE_SIZE } else { 64 }, 0);
                prop_assert!(free.iter().any(|range| start >= range.start && start + size <= range.start + range.size));
                for &(other, other_size) in &pieces {
                    prop_assert!(start + size <= other || other + other_size <= start);
                }
                pieces.push((start, size));
            }
        }
    }
}
