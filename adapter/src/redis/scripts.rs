//! The atomic steps of the store and of the market, as scripts in `scripts/`. They are loaded on every new connection, and sent whole where
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

/// A script of several files, one behind the other.
macro_rules! script {
    ($($file:literal),+) => { Script::new(concat!($(include_str!(concat!("scripts/", $file, ".lua"))),+)) };
}

/// All scripts.
macro_rules! scripts {
    ($($name:ident: $($file:literal)+;)+) => {
        /// All scripts.
        #[derive(Debug)]
        pub(super) struct Scripts {
            $(pub(super) $name: Script,)+
        }

        impl Scripts {
            pub(super) fn new() -> Self {
                Self { $($name: script!($($file),+),)+ }
            }

            /// The commands that load them.
            pub(super) fn load(&self) -> redis::Pipeline {
                let mut commands = redis::pipe();
                for script in [$(&self.$name),+] {
                    commands.cmd("SCRIPT").arg("LOAD").arg(script.source);
                }
                commands
            }
        }
    };
}

scripts! {
    append: "clock" "checks" "lost" "log" "append";
    snapshot: "clock" "newest" "snapshot";
    read: "read";
    history: "newest" "history";
    sync: "sync";
    settle: "clock" "lost" "names" "settle";
    gateways: "gateways";
    claim: "clock" "checks" "lost" "names" "sale" "claim";
    confirm: "names" "sale" "confirm";
    tend: "names" "sale" "tend";
    grants: "names" "sale" "grants";
    spin: "clock" "checks" "lost" "log" "names" "sale" "spin";
    vote: "checks" "names" "sale" "vote";
    note: "names" "sale" "note";
    notes: "names" "sale" "notes";
    reader: "names" "sale" "reader";
}
