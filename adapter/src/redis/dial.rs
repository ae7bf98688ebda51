//! Makes connections. It tries once and says why it failed; trying again is the caller's.

use std::{collections::HashMap, time::Duration};

use futures::future::join_all;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, PushInfo, TlsCertificates, Value,
    aio::MultiplexedConnection, cmd,
};

use tokio::time::sleep;

use super::{
    fault::{Fault, Remedy},
    settings::{self, Place, RedisSettings, Target, Times},
    slots::Address,
};

/// Commands that wait for the connection's task at one time; further ones wait for their turn, no longer than for an answer.
const PIPELINE: usize = 4096;
/// Bytes that are collected before they are written.
const WRITE_BYTES: usize = 64 << 10;
/// How long one Sentinel may take to name the master.
const SENTINEL_WAIT: Duration = Duration::from_millis(500);
/// How often the Sentinels are asked whether the master is still the one.
const SENTINEL_WATCH: Duration = Duration::from_secs(1);

/// Connects to wherever Redis is at that moment.
#[derive(Debug, Clone)]
pub(super) struct Dialer {
    place: Place,
    tls: Option<TlsCertificates>,
    times: Times,
}

impl Dialer {
    pub(super) fn new(target: &Target, settings: &RedisSettings) -> Self {
        if target.tls.is_some() {
            // Whoever was first has chosen, and any choice will do.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        Self { place: target.place.clone(), tls: target.tls.clone(), times: settings.times.clone() }
    }

    /// A connection to a master, and where that is, if Sentinels named it. `hear` gets what Redis sends of its own accord; it is
    /// called on the connection's task.
    pub(super) async fn dial(
        &self,
        hear: impl Fn(PushInfo) -> Result<(), ()> + Send + Sync + 'static,
    ) -> Result<(MultiplexedConnection, Option<Address>), Fault> {
        let (client, named) = match &self.place {
            Place::Server(client) => (client.clone(), None),
            Place::Sentinel { sentinels, master, server } => {
                let asked = sentinels.iter().map(async |sentinel| ask(&mut greet(sentinel).await?, master).await);
                let address = most(join_all(asked).await, 1)
                    .map_err(|why| Fault::new(Remedy::Reconnect, format!("no sentinel names {master:?}: {why}")))?;
                (self.client(server, &address)?, Some(address))
            }
            Place::Cluster { .. } => return Err(Fault::new(Remedy::None, "a cluster is no server")),
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.times.dial))
            .set_response_timeout(Some(self.times.command))
            .set_pipeline_buffer_size(PIPELINE)
            .set_write_backpressure_boundary(WRITE_BYTES)
            .set_push_sender(hear);
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        check_role(&mut connection).await?;
        Ok((connection, named))
    }

    /// Waits until most Sentinels name another master than this one. A master that was frozen does not know that it is none
    /// any more, and acknowledges what will be lost.
    pub(super) async fn until_replaced(&self, named: Option<Address>) {
        let (Place::Sentinel { sentinels, master, .. }, Some(named)) = (&self.place, named) else {
            return std::future::pending().await;
        };
        let mut connections: Vec<Option<MultiplexedConnection>> = vec![None; sentinels.len()];
        loop {
            sleep(SENTINEL_WATCH).await;
            let asked = sentinels.iter().zip(&mut connections).map(async |(sentinel, slot)| {
                let mut connection = match slot.take() {
                    Some(connection) => connection,
                    None => greet(sentinel).await?,
                };
                let answer = ask(&mut connection, master).await;
                *slot = answer.is_ok().then_some(connection);
                answer
            });
            let named_now = most(join_all(asked).await, sentinels.len() / 2 + 1);
            if named_now.is_ok_and(|named_now| named_now != named) {
                return;
            }
        }
    }

    fn client(&self, server: &ConnectionInfo, (host, port): &Address) -> Result<Client, Fault> {
        let (host, port) = (host.clone(), *port);
        let address = match &self.tls {
            None => ConnectionAddr::Tcp(host, port),
            Some(_) => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
        };
        let client = settings::client(server.clone().set_addr(address), self.tls.as_ref());
        client.map_err(|error| Fault::new(Remedy::Reconnect, error.to_string()))
    }

    /// Whether servers have to prove who they are, by their names.
    pub(super) fn speaks_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// One that connects to this server of a Cluster.
    pub(super) fn at(&self, address: &Address) -> Result<Self, Fault> {
        let Place::Cluster { server, .. } = &self.place else {
            return Err(Fault::new(Remedy::None, "there is no cluster"));
        };
        let place = Place::Server(self.client(server, address)?);
        Ok(Self { place, tls: self.tls.clone(), times: self.times.clone() })
    }

    /// What a server says of its Cluster.
    pub(super) async fn ask_about_cluster(&self, address: &Address) -> Result<String, Fault> {
        let Place::Cluster { server, .. } = &self.place else {
            return Err(Fault::new(Remedy::None, "there is no cluster"));
        };
        let client = self.client(server, address)?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.times.dial))
            .set_response_timeout(Some(self.times.command));
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        Ok(cmd("CLUSTER").arg("NODES").query_async(&mut connection).await?)
    }
}

async fn greet(sentinel: &Client) -> Result<MultiplexedConnection, Fault> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(SENTINEL_WAIT))
        .set_response_timeout(Some(SENTINEL_WAIT));
    Ok(sentinel.get_multiplexed_async_connection_with_config(&config).await?)
}

async fn ask(sentinel: &mut MultiplexedConnection, master: &str) -> Result<Address, Fault> {
    let mut command = cmd("SENTINEL");
    command.arg("get-master-addr-by-name").arg(master);
    let address: Option<Address> = command.query_async(sentinel).await?;
    address.ok_or_else(|| Fault::new(Remedy::Reconnect, "it knows no such master"))
}

/// What most Sentinels say, at least so many: one that was cut off names the master of before.
fn most(answers: Vec<Result<Address, Fault>>, least: usize) -> Result<Address, Fault> {
    let mut votes: HashMap<Address, usize> = HashMap::new();
    let mut why = Fault::new(Remedy::Reconnect, "they do not agree");
    for answer in answers {
        match answer {
            Ok(address) => *votes.entry(address).or_default() += 1,
            Err(fault) => why = fault,
        }
    }
    let chosen = votes.into_iter().filter(|(_, count)| *count >= least).max_by_key(|(_, count)| *count);
    chosen.map(|(address, _)| address).ok_or(why)
}

/// A replica takes no writes, and is no place to stay at. Who may not ask finds out by the first write.
pub(super) async fn check_role(connection: &mut MultiplexedConnection) -> Result<(), Fault> {
    match connection.send_packed_command(&cmd("ROLE")).await? {
        Value::Array(role) => match role.first() {
            Some(Value::BulkString(role)) if role != b"master" => {
                Err(Fault::new(Remedy::Reconnect, "the server is a replica"))
            }
            _ => Ok(()),
        },
        Value::ServerError(error) if error.code() == "NOPERM" => Ok(()),
        Value::ServerError(error) => Err(error.into()),
        _ => Ok(()),
    }
}
