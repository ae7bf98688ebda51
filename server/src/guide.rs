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
            "[app]: super::app\n[app-recover]: super::app#recover\n[app-tokens]: super::app#tokens\n",
            "[app-clock]: super::app#the-clock\n[app-commands]: super::app#commands\n[app-errors]: super::app#errors\n",
            "[backend]: super::backend\n[ledger]: super::backend#check-a-wheel\n[webhooks]: super::backend#webhooks\n",
            "[operate]: super::operate\n[redis]: super::operate#redis\n[deploys]: super::operate#rolling-deploys\n",
            "[proxy]: super::operate#proxies\n",
            "[configuration]: super::configuration\n[migrate]: super::migrate\n",
            "[files]: super#files\n[docker]: super#files\n[haproxy]: super#files\n[runbook]: super#files\n",
            "[metrics]: super::metrics\n[consumer]: super#files\n\n",
            include_str!(concat!("../guide/", stringify!($page), ".md"))
        )]
        pub mod $page {}
    )+ };
}

pages! { app backend operate configuration metrics migrate }
