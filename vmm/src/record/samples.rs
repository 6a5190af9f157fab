//! Raw samples as NumPy arrays: one file per guest, `u64`, one row per round trip, one column per channel. Where a guest makes more
//! than [`ROWS_MAX`] round trips, the file has each k-th of them.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::Path;

use npyz::{NpyFile, WriterBuilder};

use crate::statistics::distribution::EXACT_SAMPLES_MAX;

/// Most rows of a file.
pub const ROWS_MAX: u64 = EXACT_SAMPLES_MAX as u64;

/// A file of raw samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SamplesFile {
    /// Where it is, relative to the results folder.
    pub path: String,
    /// It has each so many-th round trip.
    pub every: u64,
}

/// Each so many-th round trip is kept of a guest that is asked for this many. It follows from what was asked for, so nothing
/// that was measured has a say. `left`: what the guest claims, which may be more.
pub fn every(asked: u64, left: u64) -> u64 {
    asked.max(left).div_ceil(ROWS_MAX).max(1)
}

/// File name of the raw samples of one launch, relative to the results folder; of its `guest`, where there are several.
pub fn file_name(case: &str, launch: usize, launches: u32, guest: Option<u32>) -> String {
    let plain: String = case.chars().map(|c| if c == '/' { '.' } else { c }).collect();
    let launch = if launches == 1 { String::new() } else { format!(".launch-{}", launch + 1) };
    let guest = guest.map_or(String::new(), |guest| format!(".guest-{guest}"));
    format!("samples/{plain}{launch}{guest}.npy")
}

/// Writes each `every`-th row of `channels` samples, the first one included, and no part of a row; bit 63
/// ([`abi::report::SAMPLE_DISTURBED`]) stays as the guest set it.
pub fn write_npy(file: &mut dyn Write, samples: &[u64], channels: usize, every: u64) -> io::Result<()> {
    let rows = samples.chunks_exact(channels).step_by(usize::try_from(every).unwrap_or(usize::MAX));
    let options = npyz::WriteOptions::new().default_dtype().shape(&[rows.len() as u64, channels as u64]);
    let mut writer = options.writer(file).begin_nd()?;
    writer.extend(rows.flatten().copied())?;
    writer.finish()
}

/// Reads such a file: samples, row by row, and the number of columns. A file that promises more than it holds is an error
/// before there is memory for it.
pub fn read_npy(path: &Path) -> io::Result<(Vec<u64>, usize)> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let array = NpyFile::new(BufReader::new(file))?;
    let [rows, channels] = *array.shape() else {
        return Err(io::Error::other("not an array of two dimensions"));
    };
    if rows.checked_mul(channels).and_then(|count| count.checked_mul(8)).is_none_or(|bytes| bytes > size) {
        return Err(io::Error::other(format!("{rows} rows of {channels} samples in {size} bytes")));
    }
    Ok((array.into_vec()?, channels as usize))
}

/// A file of all samples.
#[cfg(test)]
pub(crate) fn whole(path: &str) -> SamplesFile {
    SamplesFile { path: path.to_owned(), every: 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_with_its_shape() {
        let samples = [1, 2, abi::report::SAMPLE_DISTURBED | 3, 4, 5, 6, 7];
        let mut file = Vec::new();
        write_npy(&mut file, &samples, 3, 1).unwrap();
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(path.path(), &file).unwrap();
        assert_eq!(read_npy(path.path()).unwrap(), (samples[..6].to_vec(), 3));
        let lies = String::from_utf8_lossy(&file[..80]).replace("(2, 3", "(9, 9");
        assert!(lies.contains("(9, 9"), "{lies}");
        std::fs::write(path.path(), [lies.into_bytes(), file[80..].to_vec()].concat()).unwrap();
        assert!(read_npy(path.path()).is_err());
        std::fs::write(path.path(), "no array").unwrap();
        assert!(read_npy(path.path()).is_err());
    }

    #[test]
    fn of_many_round_trips_each_so_many_th_is_kept() {
        assert_eq!([every(300, 300), every(20_000, 1), every(20_001, 0), every(3, 1_000_000)], [1, 1, 2, 50]);
        for asked in [1u64, 19_999, 20_001, 65_537, 7_000_003] {
            assert!(asked.div_ceil(every(asked, asked)) <= ROWS_MAX, "{asked}");
        }
        let path = tempfile::NamedTempFile::new().unwrap();
        let samples: Vec<u64> = (0..14).collect();
        write_npy(&mut path.as_file(), &samples, 2, 3).unwrap();
        assert_eq!(read_npy(path.path()).unwrap(), (vec![0, 1, 6, 7, 12, 13], 2));
    }

    #[test]
    fn no_sample_is_an_empty_array() {
        let mut file = Vec::new();
        write_npy(&mut file, &[], 1, 1).unwrap();
        assert_eq!(npyz::NpyFile::new(file.as_slice()).unwrap().shape(), [0, 1]);
    }

    #[test]
    fn file_names_have_no_folders_of_their_own() {
        assert_eq!(
            file_name("call/user-user/words=4/pcid=off", 0, 1, None),
            "samples/call.user-user.words=4.pcid=off.npy"
        );
        assert_eq!(file_name("call/a/b", 1, 3, None), "samples/call.a.b.launch-2.npy");
        assert_eq!(file_name("call/a/b", 0, 1, Some(7)), "samples/call.a.b.guest-7.npy");
    }
}
