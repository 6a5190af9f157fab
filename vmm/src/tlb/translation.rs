//! One cached translation: what it is found by and what it is lost by.

use crate::tlb::stream::{Access, PageSize};

/// The address space and the way in which an access is translated now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Context {
    /// Tag of new entries: the PCID, or 0 without.
    pub(crate) tag: u16,
    /// Address of the loaded page table. The hardware does not look at it: it tells a lost translation from another one
    /// of the same page number.
    pub(crate) root: u64,
}

/// What a TLB entry holds, without the physical address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Translation {
    /// Number of the piece, counted in pieces.
    pub(crate) number: u64,
    /// What the array holds: the page itself or a piece of it where the array has no entries of its size.
    pub(crate) piece: PageSize,
    /// Size of the page as mapped.
    pub(crate) page: PageSize,
    /// Valid in every address space.
    pub(crate) global: bool,
    /// Where it is valid and from.
    pub(crate) context: Context,
}

/// A translation regardless of tags: the same page of the same address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    number: u64,
    piece: PageSize,
    /// `None`: global.
    root: Option<u64>,
}

impl Translation {
    /// What `access` needs of an array whose entries for such pages are of the size `piece`.
    pub(crate) fn needed(access: &Access, piece: PageSize, global: bool, context: Context) -> Translation {
        let number = piece.page_number(access.address);
        Translation { number, piece, page: access.page_size, global, context }
    }

    /// This entry serves an access that needs `needed`.
    pub(crate) fn serves(&self, needed: &Translation) -> bool {
        let is_same_page = self.number == needed.number && self.piece == needed.piece;
        is_same_page && (self.global || self.context.tag == needed.context.tag)
    }

    /// The mapped page, of which this may be a piece, holds `address`.
    pub(crate) fn covers(&self, address: u64) -> bool {
        let page_number = self.number >> (self.page.shift() - self.piece.shift());
        self.page.page_number(address) == page_number
    }

    /// What it is, whoever asks.
    pub(crate) fn identity(&self) -> Identity {
        let root = (!self.global).then_some(self.context.root);
        Identity { number: self.number, piece: self.piece, root }
    }
}
