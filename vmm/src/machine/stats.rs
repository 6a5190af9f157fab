//! KVM's own statistics of a VM or a vCPU: binary statistics (api.rst, KVM_GET_STATS_FD).

#![expect(unsafe_code, reason = "a struct of the system's")]

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use kvm_bindings::{KVM_STATS_TYPE_CUMULATIVE, KVM_STATS_TYPE_INSTANT, KVM_STATS_TYPE_MASK, KVMIO};
use vmm_sys_util::errno::Error as Errno;
use vmm_sys_util::ioctl::ioctl;
use vmm_sys_util::ioctl_io_nr;

use crate::machine::request::uninterrupted;

ioctl_io_nr!(KVM_GET_STATS_FD, KVMIO, 0xce);

/// Bytes of kvm_stats_header.
const HEADER_SIZE: usize = 24;

/// Bytes of kvm_stats_desc before the name.
const DESCRIPTOR_SIZE: usize = 16;

/// More than any kernel has; a description beyond it is not believed.
const DESCRIPTORS_MAX: usize = 4096;

/// More than any kernel has; what is beyond is left out.
pub(crate) const STATISTICS_MAX: usize = 512;

/// Whether KVM can have a statistic of this name: letters, digits and `_`, as many as its descriptor has room for.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=48).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Which statistics there are and where: the same for all vCPUs of a VM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Description {
    /// Offset of the values in the file.
    data_offset: u64,
    /// Name and offset behind [`Description::data_offset`] of every cumulative value.
    cumulative: Vec<(String, usize)>,
    /// The same of the instantaneous values that tell how guest memory is mapped.
    pages: Vec<(String, usize)>,
    /// Bytes to read for all of them.
    data_size: usize,
}

/// The statistics file of one VM or vCPU.
#[derive(Debug)]
pub(crate) struct StatsFile {
    file: File,
}

impl StatsFile {
    /// Asks the KVM file descriptor of a VM or vCPU for its statistics. `None`: this KVM has none.
    pub(crate) fn open(fd: &impl AsRawFd) -> Option<StatsFile> {
        let request = || {
            // SAFETY: The request takes no argument and returns a new file descriptor or an error.
            let stats = unsafe { ioctl(fd, KVM_GET_STATS_FD()) };
            if stats < 0 { Err(Errno::last()) } else { Ok(stats) }
        };
        let stats = uninterrupted(request).ok()?;
        // SAFETY: KVM has just made this descriptor for us; nothing else owns it.
        Some(StatsFile { file: unsafe { File::from_raw_fd(stats) } })
    }

    /// Reads which statistics there are.
    pub(crate) fn describe(&self) -> Option<Description> {
        let mut header = [0; HEADER_SIZE];
        self.file.read_exact_at(&mut header, 0).ok()?;
        let (offset, size) = descriptors_extent(&header)?;
        let mut descriptors = vec![0; size];
        self.file.read_exact_at(&mut descriptors, offset).ok()?;
        parse(&header, &descriptors)
    }

    /// Adds the values now to `totals`, which are in the order of [`Description::names`].
    pub(crate) fn add_to(&self, description: &Description, totals: &mut [u64]) {
        let mut data = vec![0; description.data_size];
        if self.file.read_exact_at(&mut data, description.data_offset).is_ok() {
            description.add(&data, totals);
        }
    }
}

impl Description {
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.cumulative.iter().map(|(name, _)| name.as_str())
    }

    pub(crate) fn len(&self) -> usize {
        self.cumulative.len()
    }

    fn add(&self, data: &[u8], totals: &mut [u64]) {
        for ((_, offset), total) in self.cumulative.iter().zip(totals) {
            let value = data.get(*offset..).and_then(|rest| rest.first_chunk());
            *total = total.wrapping_add(value.map_or(0, |bytes| u64::from_le_bytes(*bytes)));
        }
    }
}

fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

/// Offset and size of the descriptors: header fields name_size, num_desc, desc_offset.
fn descriptors_extent(header: &[u8]) -> Option<(u64, usize)> {
    let (name_size, count) = (word(header, 4)? as usize, word(header, 8)? as usize);
    let sane = count <= DESCRIPTORS_MAX && (1..=256).contains(&name_size);
    sane.then_some((word(header, 16)?.into(), count * (DESCRIPTOR_SIZE + name_size)))
}

fn parse(header: &[u8], descriptors: &[u8]) -> Option<Description> {
    let name_size = word(header, 4)? as usize;
    let mut description = Description { data_offset: word(header, 20)?.into(), ..Description::default() };
    for descriptor in descriptors.chunks_exact(DESCRIPTOR_SIZE + name_size) {
        let flags = word(descriptor, 0)?;
        let values = u16::from_le_bytes(*descriptor.get(6..)?.first_chunk()?);
        let offset = word(descriptor, 8)? as usize;
        // Histograms, peaks and instantaneous values have no meaningful difference.
        if values != 1 || offset > 1 << 20 {
            continue;
        }
        let name = &descriptor[DESCRIPTOR_SIZE..];
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        let name = String::from_utf8_lossy(&name[..end]).into_owned();
        let kept = match flags & KVM_STATS_TYPE_MASK {
            KVM_STATS_TYPE_CUMULATIVE => &mut description.cumulative,
            KVM_STATS_TYPE_INSTANT if name.starts_with("pages_") => &mut description.pages,
            _ => continue,
        };
        if kept.len() < STATISTICS_MAX && is_name(&name) {
            kept.push((name, offset));
            description.data_size = description.data_size.max(offset + size_of::<u64>());
        }
    }
    Some(description)
}

/// All statistics files of a guest.
#[derive(Debug, Default)]
pub(crate) struct GuestStats {
    vm: Option<(StatsFile, Description)>,
    vcpus: Vec<VcpuStats>,
    vcpu_description: Description,
}

/// Those of one vCPU.
#[derive(Debug)]
struct VcpuStats {
    file: StatsFile,
    /// Its values when its part of the measurement ended, which stand for it from then on.
    at_end_of_part: OnceLock<Vec<u64>>,
}

impl VcpuStats {
    fn add_to(&self, description: &Description, totals: &mut [u64]) {
        match self.at_end_of_part.get() {
            Some(values) => {
                totals.iter_mut().zip(values).for_each(|(total, value)| *total = total.wrapping_add(*value));
            }
            None => self.file.add_to(description, totals),
        }
    }
}

/// Values at one moment, in the order of the descriptions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    vm: Vec<u64>,
    vcpus: Vec<u64>,
}

impl GuestStats {
    /// Opens the statistics of a VM and all its vCPUs; what this KVM does not have stays absent.
    pub(crate) fn open<'a, V: AsRawFd + 'a>(
        vm: &impl AsRawFd,
        vcpus: impl Iterator<Item = &'a V>,
    ) -> GuestStats {
        let vm = StatsFile::open(vm).and_then(|file| file.describe().map(|description| (file, description)));
        let files = vcpus.map_while(StatsFile::open);
        let vcpus: Vec<VcpuStats> =
            files.map(|file| VcpuStats { file, at_end_of_part: OnceLock::new() }).collect();
        let vcpu_description = vcpus.first().and_then(|vcpu| vcpu.file.describe()).unwrap_or_default();
        GuestStats { vm, vcpus, vcpu_description }
    }

    /// Sums over all vCPUs, and the VM's own.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        if let Some((file, description)) = &self.vm {
            snapshot.vm = vec![0; description.len()];
            file.add_to(description, &mut snapshot.vm);
        }
        snapshot.vcpus = vec![0; self.vcpu_description.len()];
        for vcpu in &self.vcpus {
            vcpu.add_to(&self.vcpu_description, &mut snapshot.vcpus);
        }
        snapshot
    }

    /// Keeps the values of one vCPU as they are now.
    pub(crate) fn end_part(&self, vcpu: usize) {
        if let Some(vcpu) = self.vcpus.get(vcpu) {
            vcpu.at_end_of_part.get_or_init(|| {
                let mut values = vec![0; self.vcpu_description.len()];
                vcpu.file.add_to(&self.vcpu_description, &mut values);
                values
            });
        }
    }

    /// One value now, summed over all vCPUs; 0 where KVM does not have it.
    pub(crate) fn vcpu_total(&self, name: &str) -> u64 {
        let index = self.vcpu_description.names().position(|other| other == name);
        index.and_then(|index| self.snapshot().vcpus.get(index).copied()).unwrap_or(0)
    }

    /// Pages of each size by which KVM maps guest memory now, where it tells.
    pub(crate) fn pages(&self) -> BTreeMap<String, u64> {
        let Some((file, description)) = &self.vm else { return BTreeMap::new() };
        let mut data = vec![0; description.data_size];
        if file.file.read_exact_at(&mut data, description.data_offset).is_err() {
            return BTreeMap::new();
        }
        let value = |offset: usize| data.get(offset..).and_then(|rest| rest.first_chunk());
        let pages = description.pages.iter().filter_map(|(name, offset)| {
            Some((name.clone(), value(*offset).map(|bytes| u64::from_le_bytes(*bytes))?))
        });
        pages.collect()
    }

    /// What happened between two snapshots, by name.
    pub(crate) fn difference(&self, begin: &Snapshot, end: &Snapshot) -> BTreeMap<String, u64> {
        let vm_names = self.vm.iter().flat_map(|(_, description)| description.names());
        let vm = vm_names.zip(begin.vm.iter().zip(&end.vm));
        let vcpus = self.vcpu_description.names().zip(begin.vcpus.iter().zip(&end.vcpus));
        let mut differences = BTreeMap::new();
        for (name, (begin, end)) in vm.chain(vcpus) {
            *differences.entry(name.to_owned()).or_insert(0) += end.wrapping_sub(*begin);
        }
        differences
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(count: u32) -> Vec<u8> {
        [0, 8, count, 24, 24, 200].iter().flat_map(|word: &u32| word.to_le_bytes()).collect()
    }

    fn descriptor(kind: u32, offset: u32, name: &[u8; 8]) -> Vec<u8> {
        let mut bytes = kind.to_le_bytes().to_vec();
        bytes.extend([0, 0, 1, 0]);
        bytes.extend(offset.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(name);
        bytes
    }

    #[test]
    fn cumulative_values_are_found_by_name() {
        let descriptors = [
            descriptor(0, 0, b"exits\0\0\0"),
            descriptor(1, 8, b"blocking"),
            descriptor(1, 24, b"pages_2m"),
            descriptor(0, 32, b"\x1b[2J\0\0\0\0"),
            descriptor(KVM_STATS_TYPE_CUMULATIVE | 0x20, 16, b"halt_ns\0"),
        ]
        .concat();
        let description = parse(&header(5), &descriptors).unwrap();
        assert_eq!(description.names().collect::<Vec<_>>(), ["exits", "halt_ns"]);
        assert_eq!(description.pages, [("pages_2m".to_owned(), 24)]);
        assert_eq!((description.data_offset, description.data_size), (200, 32));
        let mut totals = vec![1, 1];
        let data: Vec<u8> = [5u64, 6, 7].iter().flat_map(|value| value.to_le_bytes()).collect();
        description.add(&data, &mut totals);
        assert_eq!(totals, [6, 8]);
    }

    #[test]
    fn differences_add_up_by_name() {
        let stats = GuestStats {
            vcpu_description: parse(&header(1), &descriptor(0, 0, b"exits\0\0\0")).unwrap(),
            ..GuestStats::default()
        };
        let at = |value| Snapshot { vm: vec![], vcpus: vec![value] };
        assert_eq!(stats.difference(&at(3), &at(10)), BTreeMap::from([("exits".to_owned(), 7)]));
        assert!(GuestStats::default().difference(&Snapshot::default(), &Snapshot::default()).is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(
            header in proptest::collection::vec(any::<u8>(), 0..40),
            descriptors in proptest::collection::vec(any::<u8>(), 0..400),
        ) {
            let _ = descriptors_extent(&header);
            if let Some(description) = parse(&header, &descriptors) {
                let mut totals = vec![0; description.len()];
                description.add(&descriptors, &mut totals);
            }
        }
    }
}
