//! What the program asks of the system that it is started on.

use std::fs;

use object::elf::{DT_NEEDED, FileHeader64, VER_FLG_WEAK};
use object::endian::Endianness;
use object::read::elf::{FileHeader, SectionTable};

use crate::tool::program;

/// The newest version of glibc that may be needed: that of Red Hat Enterprise Linux 9 and its kin, and of Amazon
/// Linux 2023; Debian 12 and Ubuntu 22.04 have newer ones. For older systems there is the conda package, which is
/// built against the glibc of its own compilers.
const GLIBC: Version = Version(2, 34);

/// Libraries that every one of these systems has; the loader of each kind of processor among them.
const LIBRARIES: [&str; 5] =
    ["libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32);

impl Version {
    /// Of `GLIBC_2.34`; later parts, as in `GLIBC_2.2.5`, mean nothing here.
    fn of(name: &str) -> Option<Self> {
        let mut parts = name.strip_prefix("GLIBC_")?.split('.').map(str::parse);
        Some(Self(parts.next()?.ok()?, parts.next()?.ok()?))
    }
}

/// What the dynamic loader must find.
#[derive(Debug)]
struct Needs {
    libraries: Vec<String>,
    /// Versions of symbols without which the program does not start, as `GLIBC_2.34`.
    versions: Vec<String>,
}

fn needs(file: &[u8]) -> Needs {
    let header = FileHeader64::<Endianness>::parse(file).unwrap();
    let endian = header.endian().unwrap();
    let sections = header.sections(endian, file).unwrap();
    let table = sections.dynamic_table(endian, file).unwrap();
    let needed = table.iter().filter(|entry| entry.tag == DT_NEEDED);
    let libraries = needed.map(|entry| text(table.string(entry).unwrap())).collect();
    Needs { libraries, versions: versions(endian, &sections, file) }
}

fn versions(
    endian: Endianness,
    sections: &SectionTable<'_, FileHeader64<Endianness>>,
    file: &[u8],
) -> Vec<String> {
    let (libraries, link) = sections.gnu_verneed(endian, file).unwrap().expect("versions of symbols");
    let strings = sections.strings(endian, file, link).unwrap();
    let symbols = libraries.flat_map(|library| library.unwrap().1).map(Result::unwrap);
    // Those that are weak are looked for and done without.
    let strong = symbols.filter(|symbol| symbol.vna_flags.get(endian) & VER_FLG_WEAK == 0);
    strong.map(|symbol| text(symbol.name(endian, strings).unwrap())).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn newest(versions: &[String]) -> Option<Version> {
    versions.iter().filter_map(|name| Version::of(name)).max()
}

#[test]
fn no_newer_glibc_is_needed_than_promised() {
    let found = needs(&fs::read(program()).unwrap());
    let newest = newest(&found.versions).expect("a program that is linked with glibc");
    println!("the program needs {newest:?} of glibc");
    assert!(
        newest <= GLIBC,
        "the program needs glibc {newest:?}, wanted at most {GLIBC:?}: something that is linked in calls a newer \
         function; where the system that builds it is itself newer, as Ubuntu 24.04, build on Debian 12 or Ubuntu \
         22.04 ({:?})",
        found.versions
    );
}

#[test]
fn no_library_is_needed_that_a_system_may_lack() {
    let found = needs(&fs::read(program()).unwrap()).libraries;
    assert!(found.iter().any(|name| name == "libc.so.6"), "{found:?}");
    let strange: Vec<&String> = found.iter().filter(|name| !LIBRARIES.contains(&name.as_str())).collect();
    assert!(
        strange.is_empty(),
        "the program needs {strange:?}; wanted are only {LIBRARIES:?}: link them statically"
    );
}

#[test]
fn versions_are_compared_as_numbers() {
    let names = ["GLIBC_2.2.5", "GCC_4.2.0", "GLIBC_2.34", "GLIBC_2.4", "GLIBC_PRIVATE"].map(str::to_owned);
    assert_eq!(newest(&names), Some(Version(2, 34)));
    assert!(Version(2, 4) < Version(2, 34) && Version(2, 35) > GLIBC && Version(3, 0) > GLIBC);
    assert_eq!(newest(&names[1..2]), None);
}
