//! Process metrics from `/proc`: memory, resident or swapped out, and open files.

use std::{
    fmt::{Display, Formatter, Result},
    fs,
};

use tests::Stack;

/// The allowed growth since warm-up. An allocator keeps the peak of each thread's arena, so memory grows in steps; a leak
/// grows with each of thousands of messages.
const GROWTH: f64 = 1.2;
/// The allowed step of a small process, in KiB.
const STEP: u64 = 4 * 1024;

/// Connections that may be open at one measurement and not at the previous: a maintenance run reads 24 queue shards at once.
const BUSY: usize = 32;

/// A process of the stack.
pub(super) struct Process {
    name: String,
    pid: u32,
    /// Whether its growth is checked; other processes are only shown.
    checked: bool,
}

/// The metrics of a process at one time.
#[derive(Clone, Copy)]
struct ProcessMetrics {
    memory_kib: u64,
    files: usize,
}

/// The metrics of processes after warm-up, in the middle, and at the end.
pub(super) struct Table(Vec<(Process, Vec<ProcessMetrics>)>);

/// The processes of a stack and their children.
pub(super) fn processes(stack: &Stack) -> Vec<Process> {
    let ours = stack.functions().into_iter().map(|name| (name.to_owned(), stack.function_pid(name)));
    let mut ours: Vec<Process> = ours.map(|(name, pid)| Process { name, pid, checked: true }).collect();
    ours.push(Process { name: "gateway".to_owned(), pid: stack.pid(), checked: true });
    let others = children(stack.pid()).into_iter().filter(|(_, pid)| !ours.iter().any(|process| process.pid == *pid));
    let others: Vec<Process> = others.map(|(name, pid)| Process { name, pid, checked: false }).collect();
    ours.into_iter().chain(others).collect()
}

/// The children of a process, with their names.
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
    fn measure(&self) -> ProcessMetrics {
        let runs = format!("{} runs as process {}", self.name, self.pid);
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).expect(&runs);
        let kib = |name: &str| field(&status, name).expect(&runs).parse::<u64>().expect("a number");
        let files = fs::read_dir(format!("/proc/{}/fd", self.pid)).expect(&runs).count();
        ProcessMetrics { memory_kib: kib("VmRSS:") + kib("VmSwap:"), files }
    }
}

impl Table {
    /// Measures for the first time.
    pub(super) fn start(processes: Vec<Process>) -> Self {
        Self(
            processes
                .into_iter()
                .map(|process| {
                    let metrics = process.measure();
                    (process, vec![metrics])
                })
                .collect(),
        )
    }

    /// Measures again.
    pub(super) fn measure(&mut self) {
        for (process, measured) in &mut self.0 {
            measured.push(process.measure());
        }
    }

    /// Panics if a checked process has grown.
    pub(super) fn assert_constant(&self) {
        for (Process { name, .. }, measured) in self.0.iter().filter(|(process, _)| process.checked) {
            let (warm, end) = (measured[0], measured[measured.len() - 1]);
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
        for (process, measured) in &self.0 {
            let name = if process.checked { process.name.clone() } else { format!("({})", process.name) };
            write!(f, "{name:<18}")?;
            for metrics in measured {
                write!(f, "{:>10}", metrics.memory_kib)?;
            }
            write!(f, "   ")?;
            for metrics in measured {
                write!(f, "{:>6} ", metrics.files)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
