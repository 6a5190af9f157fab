//! Trust groups as an experiment file sets them.

use abi::plan::trust;
use serde::Deserialize;
use toml::Spanned;

use super::error::ConfigError;
use super::file::{CaseEntry, ExperimentFile};
use crate::case::groups::Groups;
use crate::case::key::Key;
use crate::case::{Parameters, keys};

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
pub(super) fn read(file: &ExperimentFile, entry: &CaseEntry) -> Result<Groups, ConfigError> {
    let Some(groups) = &entry.keys.groups else { return Ok(Groups::default()) };
    let workload = *entry.workload.get_ref();
    let one = |key: &'static Key, group: &Option<Spanned<i64>>| {
        let Some(group) = group else { return Ok(None) };
        if !workload.has(key) {
            let key = key.name;
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
        client: one(&keys::CLIENT, &groups.client)?,
        server: one(&keys::SERVER, &groups.server)?,
        relay: one(&keys::RELAY, &groups.relay)?,
        other_client: one(&keys::OTHER_CLIENT, &groups.other_client)?,
    })
}

/// Refuses a program in the kernel that is not in group 1: the talk's rule, which the kernel enforces, too.
pub(super) fn check(file: &ExperimentFile, entry: &CaseEntry, case: &Parameters) -> Result<(), ConfigError> {
    let Some(groups) = &entry.keys.groups else { return Ok(()) };
    let programs = [
        ("client", Some(case.client), &groups.client),
        ("server", case.server, &groups.server),
        ("relay", case.relay, &groups.relay),
        ("other_client", case.other_client, &groups.other_client),
    ];
    for (name, placement, group) in programs {
        if let (Some(placement), Some(group)) = (placement, group)
            && placement.is_in_kernel()
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
    use crate::system::placement::Placement;

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
        use crate::system::participant::usual_group as usual;
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
