//! Trust groups of the programs of a case: the talk's four, and where each may be placed.

use abi::plan::trust;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::case::Parameters;
use crate::experiment::error::ConfigError;
use crate::experiment::file::{CaseEntry, ExperimentFile};
use crate::system::placement::Placement;
use crate::workload::Workload;

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

/// The group of a program that none was chosen for: whoever runs in the kernel is critical and trusted; the others are
/// trusted, but need not be critical.
pub fn usual(placement: Placement) -> u32 {
    match placement {
        Placement::Kernel => trust::CRITICAL_TRUSTED,
        Placement::User | Placement::Small | Placement::Large => trust::NONCRITICAL_TRUSTED,
    }
}

/// `groups = { … }` as it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupsEntry {
    /// See [`Groups::client`], also for the others.
    pub client: Option<Spanned<i64>>,
    /// The server.
    pub server: Option<Spanned<i64>>,
    /// The relay.
    pub relay: Option<Spanned<i64>>,
    /// The other client.
    pub other_client: Option<Spanned<i64>>,
}

/// The groups of an entry; refuses numbers that are no group, and programs that the workload does not have.
pub(crate) fn read(file: &ExperimentFile, entry: &CaseEntry) -> Result<Groups, ConfigError> {
    let Some(groups) = &entry.groups else { return Ok(Groups::default()) };
    let workload = *entry.workload.get_ref();
    let one = |key: &str, meaningful: bool, group: &Option<Spanned<i64>>| {
        let Some(group) = group else { return Ok(None) };
        if !meaningful {
            let message = format!("the workload `{workload}` has no `{key}`");
            let fix = format!("remove `{key}` from `groups`, or choose another workload");
            return Err(file.error_at(group.span(), message, fix));
        }
        match u32::try_from(*group.get_ref()) {
            Ok(number @ 1..=4) => Ok(Some(number)),
            _ => {
                let message = format!("there is no trust group {}", group.get_ref());
                let fix = "choose 1 (critical, trusted), 2 (critical, untrusted), 3 (non-critical, trusted) or 4 \
                           (neither)";
                Err(file.error_at(group.span(), message, fix))
            }
        }
    };
    Ok(Groups {
        client: one("client", true, &groups.client)?,
        server: one("server", workload.has_server(), &groups.server)?,
        relay: one("relay", workload == Workload::Relay, &groups.relay)?,
        other_client: one("other_client", workload == Workload::Alternate, &groups.other_client)?,
    })
}

/// Refuses a program in the kernel that is not in group 1: the talk's rule, which the kernel enforces, too.
pub(crate) fn check(file: &ExperimentFile, entry: &CaseEntry, case: &Parameters) -> Result<(), ConfigError> {
    let Some(groups) = &entry.groups else { return Ok(()) };
    let programs = [
        ("client", Some(case.client), &groups.client),
        ("server", case.server, &groups.server),
        ("relay", case.relay, &groups.relay),
        ("other_client", case.other_client, &groups.other_client),
    ];
    for (name, placement, group) in programs {
        if let (Some(Placement::Kernel), Some(group)) = (placement, group)
            && *group.get_ref() != i64::from(trust::CRITICAL_TRUSTED)
        {
            let number = group.get_ref();
            let message = format!("the {name} is in trust group {number}, so it may not run in the kernel");
            let fix = format!(
                "only group 1 (critical and trusted) may: set `{name} = 1` in `groups`, or `{name} = \"user\"`"
            );
            return Err(file.error_at(group.span(), message, fix));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::experiment::check::Limits;
    use crate::experiment::expand::expand;
    use crate::experiment::overrides::Overrides;

    fn expanded(case: &str) -> Result<Vec<Groups>, ConfigError> {
        let text = format!("# Why?\nname = \"x\"\nquestion = \"Why?\"\n[[case]]\n{case}\n");
        let file = ExperimentFile::parse(Path::new("x.toml"), text)?;
        let experiment = expand(&file, &Overrides::default(), &Limits::any_host())?;
        Ok(experiment.cases.iter().map(|case| case.parameters.groups).collect())
    }

    #[test]
    fn a_group_that_is_set_holds_and_the_others_follow_the_placement() {
        let case = "workload = \"call\"\nclient = \"user\"\nserver = \"user\"\npcid = \"off\"\n";
        let groups = expanded(&format!("{case}groups = {{ server = 2 }}")).unwrap();
        assert_eq!(groups, [Groups { server: Some(2), ..Groups::default() }]);
        assert_eq!(expanded(case).unwrap(), [Groups::default()]);
        assert_eq!((usual(Placement::Kernel), usual(Placement::User)), (1, 3));
    }

    #[test]
    fn only_group_1_may_be_placed_in_the_kernel() {
        for group in 2..=4 {
            for (client, server, name) in [("kernel", "user", "client"), ("user", "kernel", "server")] {
                let case = format!(
                    "workload = \"call\"\nclient = \"{client}\"\nserver = [\"user\", \"{server}\"]\n\
                     groups = {{ {name} = {group} }}"
                );
                let error = expanded(&case).unwrap_err();
                assert!(error.message.contains(&format!("trust group {group}")), "{}", error.message);
                assert!(error.fix.contains("group 1"), "{}", error.fix);
                assert_eq!(error.place.unwrap().line, 8);
            }
        }
    }

    #[test]
    fn what_is_no_group_or_nobodys_is_refused() {
        let case = "workload = \"call\"\nclient = \"user\"\nserver = \"user\"\n";
        assert!(
            expanded(&format!("{case}groups = {{ server = 5 }}")).unwrap_err().message.contains("group 5")
        );
        assert!(
            expanded(&format!("{case}groups = {{ relay = 1 }}")).unwrap_err().message.contains("no `relay`")
        );
        let error = expanded(&format!("{case}groups = {{ sever = 1 }}")).unwrap_err();
        assert!(error.fix.contains("did you mean `server`?"), "{}", error.fix);
    }
}
