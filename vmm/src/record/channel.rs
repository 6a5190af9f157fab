//! The figures of a case's channels, in the order of the columns of its raw samples.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::statistics::summary::Summary;

/// Figures by the name of the channel, in the order in which the client writes the samples of a round trip.
pub type Channels = IndexMap<String, ChannelRecord>;

/// Figures of one channel in ticks of the time-stamp counter.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChannelRecord {
    /// Order statistics of all samples.
    #[serde(flatten)]
    pub summary: Summary,
    /// The samples during which the host let the guest run; absent where it does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undisturbed: Option<Undisturbed>,
    /// The median in ns, where the counter's frequency is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub median_ns: Option<f64>,
    /// The median relative to that of the case with everything in user spaces of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio_to_all_user: Option<f64>,
    /// The median relative to that of the same case with one guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio_to_lone_guest: Option<f64>,
}

impl ChannelRecord {
    /// The median of what the guest alone did, for comparisons of exact counts; `None` when every sample was disturbed.
    pub fn median_without_others(&self) -> Option<u64> {
        self.undisturbed.map_or(Some(self.summary.median), |undisturbed| undisturbed.median)
    }
}

/// What the undisturbed samples say. It never stands for all of them: what waits for others is disturbed more often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undisturbed {
    /// How many there are.
    pub count: u64,
    /// Their median; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub median: Option<u64>,
}

/// Channels as a list in JSON, for `#[serde(with)]`. The members of an object have no order that a reader can rely on.
pub(super) mod list {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{ChannelRecord, Channels};

    #[derive(Serialize, Deserialize)]
    struct Named {
        channel: String,
        #[serde(flatten)]
        record: ChannelRecord,
    }

    pub(crate) fn serialize<S: Serializer>(channels: &Channels, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(
            channels.iter().map(|(name, record)| Named { channel: name.clone(), record: *record }),
        )
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Channels, D::Error> {
        let list: Vec<Named> = Vec::deserialize(deserializer)?;
        Ok(list.into_iter().map(|named| (named.channel, named.record)).collect())
    }
}
