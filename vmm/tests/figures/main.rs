//! Every figure of the README, of the claims, and of the comparison with small spaces, is that of a committed run, of the path-length
//! reference, or of the code. A figure that nothing stands for fails, too.

mod claims;
mod document;
mod readme;
mod small_spaces;
mod sources;
