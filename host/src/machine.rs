//! What this machine has: memory, file systems, drivers. Everything is read from files; nothing is loaded.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// Folders where the loader looks for the CUDA driver, beside those of `LD_LIBRARY_PATH`.
const DRIVER_FOLDERS: [&str; 12] = [
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/lib/x86_64-linux-gnu",
    "/usr/lib64",
    "/lib64",
    "/usr/lib",
    "/usr/lib64/nvidia",
    "/usr/local/nvidia/lib64",
    "/usr/local/nvidia/lib",
    "/usr/local/cuda/compat",
    "/usr/lib/wsl/lib",
    "/run/opengl-driver/lib",
];

/// The library that comes with the CUDA driver.
const DRIVER_LIBRARY: &str = "libcuda.so.1";

/// Numbers of file systems as `statfs` gives them (linux/magic.h and the sources of those not in it), their names,
/// and whether their files lie on another machine.
const FILE_SYSTEMS: [(u32, &str, bool); 25] = [
    (0x0000_ef53, "ext", false),
    (0x5846_5342, "xfs", false),
    (0x9123_683e, "btrfs", false),
    (0x2fc1_2fc1, "zfs", false),
    (0xf2f5_2010, "f2fs", false),
    (0x0102_1994, "tmpfs", false),
    (0x8584_58f6, "ramfs", false),
    (0x794c_7630, "overlay", false),
    (0x7371_7368, "squashfs", false),
    (0x0000_4d44, "vfat", false),
    (0x2011_bab0, "exfat", false),
    (0x0000_6969, "nfs", true),
    (0x0bd0_0bd0, "lustre", true),
    (0x4750_4653, "gpfs", true),
    (0xff53_4d42, "cifs", true),
    (0xfe53_4d42, "smb", true),
    (0x6573_5546, "fuse", true),
    (0x00c3_6400, "ceph", true),
    (0x1983_0326, "beegfs", true),
    (0x5346_414f, "afs", true),
    (0x6b41_4653, "kafs", true),
    (0x0000_517b, "smb", true),
    (0xaad7_aaea, "panfs", true),
    (0x0102_1997, "9p", true),
    (0x7461_636f, "ocfs2", true),
];

/// A file system, as far as its number tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSystem {
    /// Its name, or its number in hex where the name is not known.
    pub name: String,
    /// Whether its files lie on another machine, as far as is known; FUSE file systems count as such.
    pub remote: bool,
    /// Bytes that may still be written.
    pub free_bytes: u64,
}

/// The file system of `path`; `None` where there is no such path.
pub fn file_system(path: &Path) -> Option<FileSystem> {
    let found = rustix::fs::statfs(path).ok()?;
    // The kernel's number has 32 bits; its C type differs between processors and may sign-extend them.
    let number = (i128::from(found.f_type) & 0xffff_ffff) as u32;
    let known = FILE_SYSTEMS.iter().find(|(magic, _, _)| *magic == number);
    let (name, remote) = match known {
        Some((_, name, remote)) => ((*name).to_owned(), *remote),
        None => (format!("{number:#x}"), false),
    };
    let block = u64::try_from(found.f_bsize).unwrap_or(0);
    Some(FileSystem { name, remote, free_bytes: found.f_bavail.saturating_mul(block) })
}

/// What sets the memory that this process may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimit {
    /// Bytes admitted in all.
    pub bytes: u64,
    /// What says so.
    pub by: &'static str,
}

/// The tightest known limit on the memory of this process: the machine's, the control group's or the shell's.
pub fn memory_limit() -> Option<MemoryLimit> {
    let machine = meminfo("MemTotal").map(|bytes| MemoryLimit { bytes, by: "memory of the machine" });
    let group = group_limit().map(|bytes| MemoryLimit { bytes, by: "limit of the control group" });
    let shell = rustix::process::getrlimit(rustix::process::Resource::As)
        .current
        .map(|bytes| MemoryLimit { bytes, by: "ulimit -v" });
    [machine, group, shell].into_iter().flatten().min_by_key(|limit| limit.bytes)
}

/// Bytes that the machine could still give away.
pub fn memory_available() -> Option<u64> {
    meminfo("MemAvailable")
}

/// The largest amount of memory that this process has held so far, in bytes.
pub fn peak_memory() -> Option<u64> {
    table_kib(&fs::read_to_string("/proc/self/status").ok()?, "VmHWM")
}

/// Lets [`peak_memory`] begin anew, where the system allows it; where it does not, it tells that of the whole process.
pub fn forget_peak_memory() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

fn meminfo(key: &str) -> Option<u64> {
    table_kib(&fs::read_to_string("/proc/meminfo").ok()?, key)
}

/// The value of `key` in a table of `key: value kB` lines, in bytes.
fn table_kib(table: &str, key: &str) -> Option<u64> {
    let value = table.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    let kib: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The limit of the control group of this process, of either version; `None` where there is none.
fn group_limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let read = |path: PathBuf| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let mut limits = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, group) = (parts.next()?, parts.next()?.trim_start_matches('/'));
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            "memory" => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        // Inside a container the group's own folder is the root.
        let folder = Path::new(root).join(group);
        let above = folder.ancestors().take_while(|folder| folder.starts_with(root));
        limits.extend(above.filter_map(|folder| read(folder.join(file))));
    }
    limits.into_iter().min()
}

/// Processors that this process may use, and those that the machine has.
pub fn cores() -> (usize, usize) {
    let usable = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let listed = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let machine = listed.lines().filter(|line| line.starts_with("processor")).count();
    (usable, machine.max(usable))
}

/// The name of the processor.
pub fn processor() -> Option<String> {
    let listed = fs::read_to_string("/proc/cpuinfo").ok()?;
    let name = listed.lines().find_map(|line| line.strip_prefix("model name"))?;
    Some(name.trim_start_matches([' ', '\t', ':']).to_owned())
}

/// Where the CUDA driver lies, if it is where the loader would look. It is not loaded.
pub fn cuda_driver() -> Option<PathBuf> {
    let named = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let named: Vec<PathBuf> = std::env::split_paths(&named).collect();
    let usual = DRIVER_FOLDERS.iter().map(PathBuf::from);
    named.into_iter().chain(usual).map(|folder| folder.join(DRIVER_LIBRARY)).find(|library| library.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_read_in_bytes() {
        let table = "VmPeak:\t    100 kB\nVmHWM:\t      12 kB\nVmHWMx:\t 3 kB\n";
        assert_eq!(table_kib(table, "VmHWM"), Some(12 * 1024));
        assert_eq!(table_kib(table, "VmRSS"), None);
        assert_eq!(table_kib("VmHWM: many kB\n", "VmHWM"), None);
    }

    #[test]
    fn this_machine_has_memory_and_files() {
        let peak = peak_memory().unwrap();
        let limit = memory_limit().unwrap();
        assert!(peak > 100_000 && peak < limit.bytes, "{peak} of {limit:?}");
        assert_eq!(file_system(Path::new("/proc/self")).map(|found| found.name), Some("0x9fa0".to_owned()));
        assert_eq!(file_system(Path::new("/no/such/path")), None);
        let (usable, machine) = cores();
        assert!(usable >= 1 && machine >= usable);
    }
}
