//! Which natural servers answer which requests: `servers.toml`, or a file of the user's in the same form.

use std::collections::HashMap;

use indexmap::IndexMap;
use serde::Deserialize;

use super::descriptor::Descriptor;
use super::predict::SERVERS_MAX;

/// The mapping that inkbed has built in.
pub const DEFAULT: &str = include_str!("servers.toml");

/// The kind that stands for all that no route names.
const ANY: &str = "*";

/// A mapping that cannot be used; says what to change.
#[derive(Debug, thiserror::Error)]
pub enum MappingError {
    /// No TOML of this form.
    #[error("the servers' file cannot be understood: {0}")]
    Form(#[from] toml::de::Error),
    /// A newer form.
    #[error("the servers' file has version {0}, and this inkbed reads version 1. Write `version = 1`")]
    Version(u32),
    /// More servers than a placement can name.
    #[error(
        "the servers' file has {0} servers, and a placement holds {SERVERS_MAX}. Put servers that always move together into one"
    )]
    TooMany(usize),
    /// A route names no server.
    #[error(
        "a route names the server `{0}`, which has no table. Add [server.{0}], or take it out of the route"
    )]
    UnknownServer(String),
    /// Two routes name one kind.
    #[error("two routes name the kind `{0}`. Take it out of one of them, or give them different descriptors")]
    TwoRoutes(String),
    /// The rest, for some descriptors only.
    #[error(
        "a route for some descriptors has the kind `*`. Name the kinds: `*` is for those that no other route names"
    )]
    RestOfDescriptors,
    /// A way passes one server twice.
    #[error(
        "a route passes the server `{0}` twice. Name it once: a server that waits for help answers nobody"
    )]
    Twice(String),
    /// Some requests would land nowhere.
    #[error("no route is for kinds that no other names. Add one with kinds = [\"*\"]")]
    NoRest,
}

/// A server of the mapping.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Service work of one request, in instructions.
    pub work: u64,
    /// Pages that it touches for one request.
    pub pages: u64,
    /// Who must be trusted to trust it.
    pub group: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    server: IndexMap<String, Server>,
    route: Vec<Route>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Route {
    way: Vec<String>,
    kinds: Vec<String>,
    /// Only requests whose descriptor is one of these; all if it is not there.
    descriptors: Option<Vec<Descriptor>>,
}

/// Servers, and the way of each kind of request through them.
#[derive(Clone, Debug)]
pub struct Mapping {
    servers: IndexMap<String, Server>,
    ways: Vec<Vec<usize>>,
    /// By kind: for a descriptor, or for all others.
    way_of_kind: HashMap<String, HashMap<Option<Descriptor>, usize>>,
    rest: usize,
}

impl Mapping {
    /// The built-in mapping.
    pub fn built_in() -> Mapping {
        Mapping::parse(DEFAULT).expect("a test reads it")
    }

    /// Reads a mapping.
    pub fn parse(text: &str) -> Result<Mapping, MappingError> {
        let File { version, server: servers, route: routes } = toml::from_str(text)?;
        if version != 1 {
            return Err(MappingError::Version(version));
        }
        if servers.len() > SERVERS_MAX {
            return Err(MappingError::TooMany(servers.len()));
        }
        let mut ways = Vec::new();
        let mut way_of_kind = HashMap::<String, HashMap<Option<Descriptor>, usize>>::new();
        for (index, route) in routes.into_iter().enumerate() {
            let mut way = Vec::new();
            for name in route.way {
                let server = servers.get_index_of(&name);
                let server = server.ok_or_else(|| MappingError::UnknownServer(name.clone()))?;
                if way.contains(&server) {
                    return Err(MappingError::Twice(name));
                }
                way.push(server);
            }
            ways.push(way);
            let descriptors: Vec<Option<Descriptor>> =
                route.descriptors.map_or_else(|| vec![None], |some| some.into_iter().map(Some).collect());
            for kind in route.kinds {
                if kind == ANY && descriptors != [None] {
                    return Err(MappingError::RestOfDescriptors);
                }
                let of_kind = way_of_kind.entry(kind.clone()).or_default();
                if descriptors.iter().any(|descriptor| of_kind.insert(*descriptor, index).is_some()) {
                    return Err(MappingError::TwoRoutes(kind));
                }
            }
        }
        let rest = way_of_kind.remove(ANY).and_then(|ways| ways.get(&None).copied());
        let rest = rest.ok_or(MappingError::NoRest)?;
        Ok(Mapping { servers, ways, way_of_kind, rest })
    }

    /// The servers that a request of this kind, with this descriptor, passes, one after the other; none if it stays inside the program.
    pub fn way(&self, kind: &str, descriptor: Option<Descriptor>) -> &[usize] {
        &self.ways[self.route(kind, descriptor).unwrap_or(self.rest)]
    }

    /// Whether some route names the kind.
    pub fn names(&self, kind: &str, descriptor: Option<Descriptor>) -> bool {
        self.route(kind, descriptor).is_some()
    }

    fn route(&self, kind: &str, descriptor: Option<Descriptor>) -> Option<usize> {
        let of_kind = self.way_of_kind.get(kind)?;
        of_kind.get(&descriptor).or_else(|| of_kind.get(&None)).copied()
    }

    /// The servers with their names, in the order of the file.
    pub fn servers(&self) -> &IndexMap<String, Server> {
        &self.servers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use syscalls::Sysno;

    fn with(route: &str) -> Result<Mapping, MappingError> {
        let server = "[server.a]\nwork = 1\npages = 1\ngroup = \"g\"\n";
        Mapping::parse(&format!("version = 1\n{server}{route}"))
    }

    #[test]
    fn the_built_in_mapping_names_only_calls_that_are() {
        let mapping = Mapping::built_in();
        let known: Vec<&str> = Sysno::iter().map(|call| call.name()).collect();
        let unknown: Vec<_> =
            mapping.way_of_kind.keys().filter(|kind| !known.contains(&kind.as_str())).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        // Each server answers something.
        for index in 0..mapping.servers.len() {
            assert!(mapping.ways.iter().any(|way| way.contains(&index)), "{index}");
        }
    }

    proptest! {
        #[test]
        fn every_request_lands_on_exactly_one_way(
            kind in prop_oneof!["[a-z_0-9*]{0,20}", Just("read".to_owned()), Just("close".to_owned())],
            descriptor in prop::option::of(prop::sample::select(&DESCRIPTORS[..])),
        ) {
            let mapping = Mapping::built_in();
            let rest = &mapping.ways[mapping.rest];
            let way = mapping.way(&kind, descriptor);
            prop_assert!(way.iter().all(|server| *server < mapping.servers.len()));
            if !mapping.names(&kind, descriptor) {
                prop_assert_eq!(way, rest.as_slice());
            }
        }
    }

    const DESCRIPTORS: [Descriptor; 6] = [
        Descriptor::File,
        Descriptor::Directory,
        Descriptor::Pipe,
        Descriptor::Socket,
        Descriptor::Device,
        Descriptor::Event,
    ];

    #[test]
    fn a_descriptor_decides_where_a_read_goes() {
        let mapping = Mapping::built_in();
        let first = |kind: &str, descriptor: Option<Descriptor>| {
            let server = mapping.way(kind, descriptor)[0];
            mapping.servers().get_index(server).unwrap().0.as_str()
        };
        let servers = DESCRIPTORS.map(|descriptor| first("read", Some(descriptor)));
        assert_eq!(servers, ["file_system", "file_system", "pipe", "network", "device", "pipe"]);
        // A recording of version 1 has none.
        assert_eq!(first("read", None), "file_system");
        // What is said of one descriptor holds for no other kind, and the name is that of recordings.
        assert_eq!(first("openat", Some(Descriptor::Pipe)), "name");
        for descriptor in DESCRIPTORS {
            assert_eq!(serde_json::to_value(descriptor).unwrap(), descriptor.name());
        }
    }

    #[test]
    fn a_wrong_file_is_told_what_to_change() {
        let cases = [
            ("[[route]]\nway = [\"a\"]\nkinds = [\"read\"]\n", "Add one with kinds"),
            ("[[route]]\nway = [\"b\"]\nkinds = [\"*\"]\n", "Add [server.b]"),
            ("[[route]]\nway = [\"a\", \"a\"]\nkinds = [\"*\"]\n", "Name it once"),
            ("[[route]]\nway = [\"a\"]\nkinds = [\"*\", \"read\", \"read\"]\n", "Take it out of one"),
            ("[[route]]\nway = [\"a\"]\nkinds = [\"*\"]\nsize = 1\n", "unknown field"),
            ("[[route]]\nway = [\"a\"]\nkinds = [\"*\"]\ndescriptors = [\"pipe\"]\n", "Name the kinds"),
            ("[[route]]\nway = [\"a\"]\nkinds = [\"read\"]\ndescriptors = [\"pip\"]\n", "unknown variant"),
        ];
        for (text, expected) in cases {
            let error = with(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(with("[[route]]\nway = [\"a\"]\nkinds = [\"*\"]\n").is_ok());
        let servers = |count: usize| {
            let one = |index| format!("[server.s{index}]\nwork = 1\npages = 1\ngroup = \"g\"\n");
            let all: String = (0..count).map(one).collect();
            Mapping::parse(&format!("version = 1\n{all}[[route]]\nway = [\"s0\"]\nkinds = [\"*\"]\n"))
        };
        assert!(servers(SERVERS_MAX).is_ok());
        assert!(matches!(servers(SERVERS_MAX + 1), Err(MappingError::TooMany(65))));
        assert!(matches!(
            Mapping::parse("version = 2\nroute = []\n[server]\n"),
            Err(MappingError::Version(2))
        ));
    }
}
