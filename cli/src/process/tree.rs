//! Process trees.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// How long a tree may take to exit after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// A process. Its start time distinguishes it from a later process with the same id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Process {
    id: i32,
    started: String,
}

/// A row of the process table.
#[derive(Debug)]
struct Row {
    process: Process,
    parent: i32,
    zombie: bool,
}

/// Stops process groups, given the ids of their leaders, and all descendants. Returns when none is left. Blocks for up
/// to [`GRACE`] and two seconds.
pub(super) fn stop(leaders: &[i32]) {
    if leaders.is_empty() {
        return;
    }
    let mut tree = HashSet::new();
    extend(&mut tree, leaders);
    signal(leaders, &HashSet::new(), Signal::TERM);
    let mut alive = wait(&mut tree, leaders, GRACE);
    if !alive.is_empty() {
        signal(leaders, &alive, Signal::KILL);
        alive = wait(&mut tree, leaders, Duration::from_secs(1));
        signal(leaders, &alive, Signal::KILL);
    }
}

/// Waits until all of `tree` has exited, and returns what has not. Descendants that start meanwhile join the tree.
fn wait(tree: &mut HashSet<Process>, leaders: &[i32], limit: Duration) -> HashSet<Process> {
    let end = Instant::now() + limit;
    loop {
        let alive = extend(tree, leaders);
        if alive.is_empty() || Instant::now() >= end {
            return alive;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Adds the leaders and all descendants to `tree`. Returns the processes that are alive.
fn extend(tree: &mut HashSet<Process>, leaders: &[i32]) -> HashSet<Process> {
    let rows = rows();
    let mut children: HashMap<i32, Vec<&Row>> = HashMap::new();
    for row in &rows {
        children.entry(row.parent).or_default().push(row);
    }
    let mut pending: Vec<&Row> =
        rows.iter().filter(|row| leaders.contains(&row.process.id) || tree.contains(&row.process)).collect();
    let mut seen = HashSet::new();
    let mut alive = HashSet::new();
    while let Some(row) = pending.pop() {
        if !seen.insert(row.process.id) {
            continue;
        }
        tree.insert(row.process.clone());
        if !row.zombie {
            alive.insert(row.process.clone());
        }
        pending.extend(children.get(&row.process.id).into_iter().flatten());
    }
    alive
}

/// Ignores failures: the process has exited.
fn signal(leaders: &[i32], processes: &HashSet<Process>, signal: Signal) {
    for group in leaders.iter().filter_map(|id| Pid::from_raw(*id)) {
        let _ = kill_process_group(group, signal);
    }
    for process in processes.iter().filter_map(|process| Pid::from_raw(process.id)) {
        let _ = kill_process(process, signal);
    }
}

/// The process table, from `/proc` or, where that is missing, from `ps`.
fn rows() -> Vec<Row> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return rows_of_ps() };
    let rows: Vec<Row> = entries
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit))
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok())
        .filter_map(|stat| row_of_stat(&stat))
        .collect();
    if rows.is_empty() { rows_of_ps() } else { rows }
}

/// Parses `id (name) state parent … started …`. The name may contain spaces and parentheses.
fn row_of_stat(stat: &str) -> Option<Row> {
    let (before, after) = stat.rsplit_once(')')?;
    let id = before.split_once(' ')?.0.parse().ok()?;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let started = (*fields.get(19)?).to_owned();
    Some(Row {
        process: Process { id, started },
        parent: fields.get(1)?.parse().ok()?,
        zombie: matches!(*fields.first()?, "Z" | "X"),
    })
}

fn rows_of_ps() -> Vec<Row> {
    let output = std::process::Command::new("ps").args(["-A", "-o", "pid=,ppid=,stat=,lstart="]).output();
    let Ok(output) = output else { return Vec::new() };
    String::from_utf8_lossy(&output.stdout).lines().filter_map(row_of_ps).collect()
}

fn row_of_ps(line: &str) -> Option<Row> {
    let mut fields = line.split_whitespace();
    let id = fields.next()?.parse().ok()?;
    let parent = fields.next()?.parse().ok()?;
    let zombie = fields.next()?.starts_with('Z');
    Some(Row { process: Process { id, started: fields.collect::<Vec<_>>().join(" ") }, parent, zombie })
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use super::*;

    #[test]
    fn proc_stat_line_with_parentheses_in_the_name_is_parsed() {
        let stat = "42 (a) b) S 7 42 42 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 9001 1 1";
        let row = row_of_stat(stat).expect("a row");
        assert_eq!((row.process.id, row.parent, row.zombie), (42, 7, false));
        assert_eq!(row.process.started, "9001");
    }

    #[test]
    fn ps_line_is_parsed() {
        let row = row_of_ps("  42     7 Z+   Mon Nov 23 04:13:56 2026").expect("a row");
        assert_eq!((row.process.id, row.parent, row.zombie), (42, 7, true));
        assert_eq!(row.process.started, "Mon Nov 23 04:13:56 2026");
    }

    #[test]
    fn grandchildren_that_ignore_sigterm_are_killed() {
        let script = "sh -c 'trap \"\" TERM; sleep 60 & wait; sleep 60' & wait";
        let mut child = Command::new("sh").args(["-c", script]).process_group(0).spawn().expect("sh starts");
        let leader = i32::try_from(child.id()).expect("an id");
        let mut tree = HashSet::new();
        let end = Instant::now() + Duration::from_secs(10);
        while tree.len() < 3 && Instant::now() < end {
            extend(&mut tree, &[leader]);
        }
        assert!(tree.len() >= 3, "{tree:?}");
        let reaper = std::thread::spawn(move || child.wait());

        signal(&[leader], &HashSet::new(), Signal::TERM);
        let alive = wait(&mut tree, &[leader], Duration::from_millis(200));
        signal(&[leader], &alive, Signal::KILL);
        assert!(wait(&mut tree, &[leader], Duration::from_secs(5)).is_empty());
        reaper.join().expect("joined").expect("reaped");
    }
}
