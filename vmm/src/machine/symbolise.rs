//! Addresses as symbols of an ELF file.

use object::{Object, ObjectSymbol, SymbolKind};

use crate::machine::guest::Elf;

/// A function or label.
#[derive(Clone, Debug)]
struct Symbol {
    address: u64,
    /// 0 when the file does not say: then it reaches up to the next one.
    size: u64,
    name: String,
}

/// The functions of one ELF file, sorted by address.
#[derive(Clone, Debug, Default)]
pub(crate) struct Symbols {
    sorted: Vec<Symbol>,
}

impl Symbols {
    /// Reads the symbol table. A file without one, or none that can be read, gives no symbols.
    pub(crate) fn new(elf: &Elf) -> Symbols {
        let Ok(file) = object::File::parse(&elf.bytes[..]) else { return Symbols::default() };
        let mut sorted: Vec<Symbol> = file
            .symbols()
            .filter(|symbol| {
                matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Label | SymbolKind::Unknown)
            })
            .filter(|symbol| symbol.is_definition() || symbol.address() != 0)
            .filter_map(|symbol| {
                let name = symbol.name().ok().filter(|name| !name.is_empty())?;
                let name = format!("{:#}", rustc_demangle::demangle(name));
                Some(Symbol { address: symbol.address(), size: symbol.size(), name })
            })
            .collect();
        // Of several at one address, the one with a size comes last, where it is found.
        sorted.sort_by_key(|symbol| (symbol.address, symbol.size));
        Symbols { sorted }
    }

    /// Value of the symbol with this name.
    pub(crate) fn value(&self, name: &str) -> Option<u64> {
        self.sorted.iter().find(|symbol| symbol.name == name).map(|symbol| symbol.address)
    }

    /// Name of the symbol in which the address lies, and the offset in it.
    pub(crate) fn find(&self, address: u64) -> Option<(&str, u64)> {
        let after = self.sorted.partition_point(|symbol| symbol.address <= address);
        let symbol = self.sorted[..after].last()?;
        let offset = address - symbol.address;
        let is_inside = offset < symbol.size || (symbol.size == 0 && after < self.sorted.len());
        is_inside.then_some((&symbol.name[..], offset))
    }

    /// `name+0x1c`, when the address lies in a symbol.
    pub(crate) fn locate(&self, address: u64) -> Option<String> {
        self.find(address).map(|(name, offset)| format!("{name}+{offset:#x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbols(list: &[(u64, u64, &str)]) -> Symbols {
        let symbol = |(address, size, name): &(u64, u64, &str)| Symbol {
            address: *address,
            size: *size,
            name: (*name).to_owned(),
        };
        Symbols { sorted: list.iter().map(symbol).collect() }
    }

    #[test]
    fn an_address_belongs_to_the_symbol_below_it() {
        let symbols = symbols(&[(0x10, 0, "start"), (0x20, 0x10, "main"), (0x40, 0x10, "end")]);
        assert_eq!(symbols.locate(0x0f), None);
        assert_eq!(symbols.locate(0x1f).unwrap(), "start+0xf");
        assert_eq!(symbols.locate(0x2f).unwrap(), "main+0xf");
        assert_eq!(symbols.locate(0x30), None, "between two symbols with sizes");
        assert_eq!(symbols.locate(0x50), None);
    }

    #[inline(never)]
    fn landmark(value: u64) -> u64 {
        std::hint::black_box(value) + 1
    }

    #[test]
    fn this_test_finds_its_landmark() {
        assert_eq!(landmark(1), 2);
        let path = std::env::current_exe().unwrap();
        let elf = Elf { name: "test".to_owned(), bytes: std::fs::read(path).unwrap().into() };
        let symbols = Symbols::new(&elf);
        let own =
            symbols.sorted.iter().find(|symbol| symbol.name.ends_with("symbolise::tests::landmark")).unwrap();
        assert!(symbols.locate(own.address + 1).unwrap().ends_with("symbolise::tests::landmark+0x1"));
    }

    #[test]
    fn garbage_has_no_symbols() {
        let elf = Elf { name: "garbage".to_owned(), bytes: vec![0x7f; 100].into() };
        assert_eq!(Symbols::new(&elf).locate(0), None);
    }
}
