//! The atomic steps of the store, as scripts in `scripts/`. They are loaded on every new connection, and sent whole where
//! Redis has forgotten them. Nothing of a script depends on what a user said: texts are arguments.

use redis::{Cmd, cmd};

/// A script, by what Redis calls it.
#[derive(Debug)]
pub(super) struct Script {
    script: redis::Script,
    source: &'static str,
}

impl Script {
    fn new(source: &'static str) -> Self {
        Self { script: redis::Script::new(source), source }
    }

    /// The command that runs it; `whole` sends it along. Keys and arguments are to be added.
    pub(super) fn command(&self, keys: usize, whole: bool) -> Cmd {
        let mut command = if whole { cmd("EVAL") } else { cmd("EVALSHA") };
        command.arg(if whole { self.source } else { self.script.get_hash() }).arg(keys);
        command
    }
}

/// All scripts.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) append: Script,
    pub(super) snapshot: Script,
    pub(super) read: Script,
    pub(super) history: Script,
    pub(super) sync: Script,
    pub(super) settle: Script,
    pub(super) gateways: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            append: Script::new(include_str!("scripts/append.lua")),
            snapshot: Script::new(concat!(include_str!("scripts/newest.lua"), include_str!("scripts/snapshot.lua"))),
            read: Script::new(include_str!("scripts/read.lua")),
            history: Script::new(concat!(include_str!("scripts/newest.lua"), include_str!("scripts/history.lua"))),
            sync: Script::new(include_str!("scripts/sync.lua")),
            settle: Script::new(include_str!("scripts/settle.lua")),
            gateways: Script::new(include_str!("scripts/gateways.lua")),
        }
    }

    /// The commands that load them.
    pub(super) fn load(&self) -> redis::Pipeline {
        let mut commands = redis::pipe();
        let Self { append, snapshot, read, history, sync, settle, gateways } = self;
        for script in [append, snapshot, read, history, sync, settle, gateways] {
            commands.cmd("SCRIPT").arg("LOAD").arg(script.source);
        }
        commands
    }
}
