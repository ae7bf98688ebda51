//! The guides: how haat is used, run and moved to. They are the files of `server/guide` in the repository.
//!
//! | guide | for whoever |
//! |---|---|
//! | [`app`] | writes what viewers and suppliers see: browser, phone, Node |
//! | [`backend`] | signs tokens, calls the HTTP API, reads the ledger, takes webhooks |
//! | [`operate`] | runs gateways and their Redis |
//! | [`configuration`] | looks a setting up |
//! | [`metrics`] | looks a number up |
//! | [`migrate`] | has Node servers of Socket.IO, and wants to move |
//!
//! # Files
//!
//! Where a guide names a file, it is one of the repository: what a metric means is in `server/guide/metrics.md`, what to do
//! when there is an alert in `docker/observe/runbook`, containers are in `docker`, examples in `server/examples`, figures in
//! `bench/results`.

/// Modules that are pages. A page links to others by names that are given their targets here; in the repository, where the
/// pages are files, the definitions at their ends hold.
macro_rules! pages {
    ($($page:ident)+) => { $(
        #[doc = concat!(
            "[app]: crate::guide::app\n[app-recover]: crate::guide::app#recover\n[app-tokens]: crate::guide::app#tokens\n",
            "[app-clock]: crate::guide::app#the-clock\n[app-commands]: crate::guide::app#commands\n[app-errors]: crate::guide::app#errors\n",
            "[backend]: crate::guide::backend\n[ledger]: crate::guide::backend#check-a-wheel\n[webhooks]: crate::guide::backend#webhooks\n",
            "[operate]: crate::guide::operate\n[redis]: crate::guide::operate#redis\n[deploys]: crate::guide::operate#rolling-deploys\n",
            "[proxy]: crate::guide::operate#proxies\n",
            "[configuration]: crate::guide::configuration\n[migrate]: crate::guide::migrate\n",
            "[files]: crate::guide#files\n[docker]: crate::guide#files\n[haproxy]: crate::guide#files\n[runbook]: crate::guide#files\n",
            "[metrics]: crate::guide::metrics\n[consumer]: crate::guide#files\n\n",
            include_str!(concat!("../guide/", stringify!($page), ".md"))
        )]
        pub mod $page {}
    )+ };
}

pages! { app backend operate configuration metrics migrate }
