//! Trust groups of the programs of a case: the talk's four, and where each may be placed.

use serde::{Deserialize, Serialize};

/// Trust groups as they are set for a case, 1 to 4, see [`abi::plan::trust`]; `None` where the placement decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Groups {
    /// That of the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<u32>,
    /// That of the server, or of all servers where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<u32>,
    /// That of the relay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<u32>,
    /// That of the other client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_client: Option<u32>,
}

impl Groups {
    /// Whether the placement decides for all.
    pub fn is_default(&self) -> bool {
        *self == Groups::default()
    }
}
