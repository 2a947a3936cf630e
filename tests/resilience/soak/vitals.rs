//! What processes take up: memory, resident or swapped out, and open files, as `/proc` tells.

use std::{
    fmt::{Display, Formatter, Result},
    fs,
};

use tests::Stack;

/// What a process may have grown by since it was warm. An allocator keeps what a busy moment needed, in an arena for each
/// thread, so memory goes up in steps and not back; what leaks goes up with every message, of which there are thousands.
const GROWTH: f64 = 1.2;
/// The same for small processes, of which a step is a large part: in KiB.
const STEP: u64 = 4 * 1024;

/// Connections that are busy at the moment of a look, and were not at the one before.
const BUSY: usize = 16;

/// A process of the stack.
pub(super) struct Process {
    name: String,
    pid: u32,
    /// Whether it is ours; the others are only shown.
    judged: bool,
}

/// What a process takes up at a time.
#[derive(Clone, Copy)]
struct Vitals {
    memory_kib: u64,
    files: usize,
}

/// What processes take up: warm, in the middle, at the end.
pub(super) struct Table(Vec<(Process, Vec<Vitals>)>);

/// The processes of a stack: ours, and those that they started.
pub(super) fn processes(stack: &Stack) -> Vec<Process> {
    let ours = stack.functions().into_iter().map(|name| (name.to_owned(), stack.function_pid(name)));
    let mut ours: Vec<Process> = ours.map(|(name, pid)| Process { name, pid, judged: true }).collect();
    ours.push(Process { name: "gateway".to_owned(), pid: stack.pid(), judged: true });
    let others = children(stack.pid()).into_iter().filter(|(_, pid)| !ours.iter().any(|process| process.pid == *pid));
    let others: Vec<Process> = others.map(|(name, pid)| Process { name, pid, judged: false }).collect();
    ours.into_iter().chain(others).collect()
}

/// The children of a process, with the names that the system knows them by.
fn children(parent: u32) -> Vec<(String, u32)> {
    let entries = fs::read_dir("/proc").expect("a system with /proc");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        (field(&status, "PPid:")?.parse() == Ok(parent))
            .then(|| (field(&status, "Name:").unwrap_or("?").to_owned(), pid))
    })
    .collect()
}

fn field<'s>(status: &'s str, name: &str) -> Option<&'s str> {
    status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()
}

impl Process {
    fn look(&self) -> Vitals {
        let lives = format!("{} lives, as process {}", self.name, self.pid);
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).expect(&lives);
        let kib = |name: &str| field(&status, name).expect(&lives).parse::<u64>().expect("a number");
        let files = fs::read_dir(format!("/proc/{}/fd", self.pid)).expect(&lives).count();
        Vitals { memory_kib: kib("VmRSS:") + kib("VmSwap:"), files }
    }
}

impl Table {
    /// Looks for the first time.
    pub(super) fn begin(processes: Vec<Process>) -> Self {
        Self(
            processes
                .into_iter()
                .map(|process| {
                    let vitals = process.look();
                    (process, vec![vitals])
                })
                .collect(),
        )
    }

    /// Looks again.
    pub(super) fn look(&mut self) {
        for (process, looks) in &mut self.0 {
            looks.push(process.look());
        }
    }

    /// Panics when one of our processes has grown.
    pub(super) fn judge(&self) {
        for (Process { name, .. }, looks) in self.0.iter().filter(|(process, _)| process.judged) {
            let (warm, end) = (looks[0], looks[looks.len() - 1]);
            let allowed = (warm.memory_kib as f64 * GROWTH) as u64 + STEP;
            assert!(end.memory_kib <= allowed, "{name} has {} KiB, more than {allowed}", end.memory_kib);
            assert!(end.files <= warm.files + BUSY, "{name} has {} files open, not {}", end.files, warm.files);
        }
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        writeln!(
            f,
            "{:<18}{:>10}{:>10}{:>10}   {:>6}{:>7}{:>6}",
            "process", "warm KiB", "middle", "end", "files", "middle", "end"
        )?;
        for (process, looks) in &self.0 {
            let name = if process.judged { process.name.clone() } else { format!("({})", process.name) };
            write!(f, "{name:<18}")?;
            for look in looks {
                write!(f, "{:>10}", look.memory_kib)?;
            }
            write!(f, "   ")?;
            for look in looks {
                write!(f, "{:>6} ", look.files)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
