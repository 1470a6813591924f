//! Where a PostgreSQL is: a URL, `PG*` variables, `.pgpass`; and connections to the first host that serves.

mod binding;
mod tls;

use std::env;
use std::future::poll_fn;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::config::{ChannelBinding, Host, SslMode, SslNegotiation, TargetSessionAttrs};
use tokio_postgres::{AsyncMessage, Client, Config};

use crate::exit::Failure;
use binding::AsOpened;
pub(crate) use binding::Opened;
use tls::{Tls, Verify};

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why no host could be connected to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// No connection was opened in time.
    #[error("no connection within {} s", CONNECT_TIMEOUT.as_secs())]
    TimedOut,
    /// The connection was refused or broke.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// TLS failed.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// PostgreSQL refused the connection.
    #[error("{}", crate::exit::innermost(.0))]
    Client(#[from] tokio_postgres::Error),
    /// The server is not of the kind that `target_session_attrs` asks for.
    #[error("the server is {0}, and target_session_attrs asks for another")]
    Attributes(&'static str),
}

/// The database, and how to connect to it.
pub(crate) struct Database {
    config: Config,
    tls: Tls,
}

impl Database {
    /// Reads where the database is.
    ///
    /// # Errors
    /// If the URL or a variable is wrong.
    pub(crate) fn of(url: Option<&str>) -> Result<Self, Failure> {
        let mut text = url.unwrap_or_default().to_owned();
        let mode = taken(&mut text, "sslmode").or_else(|| variable("PGSSLMODE"));
        let root = taken(&mut text, "sslrootcert").or_else(|| variable("PGSSLROOTCERT")).map(PathBuf::from);
        let wrong = |why: String| Failure::Input(format!("--database: {why}"));
        let parsed = text.parse::<Config>();
        let mut config = parsed.map_err(|error| wrong(crate::exit::innermost(&error)))?;
        complete(&mut config)?;
        let (ssl_mode, verify) = match mode.as_deref() {
            Some("disable") => (SslMode::Disable, Verify::Nothing),
            None | Some("prefer" | "allow") => (SslMode::Prefer, Verify::Nothing),
            Some("require") => (SslMode::Require, Verify::Nothing),
            Some("verify-ca") => (SslMode::Require, Verify::Chain),
            Some("verify-full") => (SslMode::Require, Verify::ChainAndName),
            Some(other) => {
                let modes = "disable, allow, prefer, require, verify-ca or verify-full";
                return Err(wrong(format!("sslmode {other:?} is not known: write {modes}")));
            }
        };
        config.ssl_mode(ssl_mode);
        // As in libpq, a certificate to check against asks for a check.
        let verify = if root.is_some() && verify == Verify::Nothing { Verify::Chain } else { verify };
        let tls = Tls::new(verify, root.as_deref()).map_err(|error| wrong(error.to_string()))?;
        Ok(Self { config, tls })
    }

    /// Returns the database as a message names it.
    pub(crate) fn name(&self) -> String {
        let hosts: Vec<String> = self.hosts().map(|(host, port)| format!("{}:{port}", shown(host))).collect();
        format!("PostgreSQL at {}, database {}", hosts.join(" or "), self.dbname())
    }

    /// Asks for a server that takes writes, whatever the URL asks for.
    pub(crate) fn primary(mut self) -> Self {
        self.config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        self
    }

    /// Adds settings of each session to those of the URL.
    pub(crate) fn with_settings(mut self, settings: &str) -> Self {
        let given = self.config.get_options().map(|given| format!("{given} ")).unwrap_or_default();
        self.config.options(format!("{given}{settings}"));
        self
    }

    /// Connects to the first host that answers and is of the right kind, for SQL.
    pub(crate) async fn client(&self) -> Result<Client, ConnectError> {
        Ok(self.client_and_task().await?.0)
    }

    /// Connects for questions, and returns the task that the connection ends with.
    pub(crate) async fn client_and_task(&self) -> Result<(Client, JoinHandle<()>), ConnectError> {
        self.first(|host, port| self.client_of(host, port, Arc::default()).boxed()).await
    }

    /// Connects for questions, and wakes a waiter at every notification and at the end of the connection.
    pub(crate) async fn listening(&self, waiter: &Arc<Notify>) -> Result<Client, ConnectError> {
        let listening = |host, port| self.client_of(host, port, Arc::clone(waiter)).boxed();
        Ok(self.first(listening).await?.0)
    }

    /// Returns what the first host gives that can be connected to, or the error of the last.
    pub(crate) async fn first<'a, T, E: From<ConnectError>>(
        &'a self,
        connect: impl Fn(&'a Host, u16) -> BoxFuture<'a, Result<T, E>>,
    ) -> Result<T, E> {
        let mut last = ConnectError::TimedOut.into();
        for (host, port) in self.hosts() {
            match timeout(CONNECT_TIMEOUT, connect(host, port)).await {
                Ok(Ok(connected)) => return Ok(connected),
                Ok(Err(error)) => last = error,
                Err(_) => last = ConnectError::TimedOut.into(),
            }
        }
        Err(last)
    }

    /// Connects to a host for questions.
    pub(crate) async fn client_of(
        &self,
        host: &Host,
        port: u16,
        waiter: Arc<Notify>,
    ) -> Result<(Client, JoinHandle<()>), ConnectError> {
        let mut config = self.config.clone();
        let opened = self.open(host, port).await?;
        // The library begins its TLS at once, and is handed that which is there.
        config.ssl_mode(if opened.has_tls() { SslMode::Require } else { SslMode::Disable });
        config.ssl_negotiation(SslNegotiation::Direct);
        config.application_name(self.application());
        let given = config.get_options().unwrap_or_default();
        let settings =
            format!("{given} -c timezone=UTC -c datestyle=ISO -c bytea_output=hex -c extra_float_digits=1");
        config.options(settings);
        if let Some(password) = self.password_for(host, port) {
            config.password(password);
        }
        let (client, mut connection) = config.connect_raw(opened, AsOpened).await?;
        let task = tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                if matches!(message, AsyncMessage::Notification(_)) {
                    waiter.notify_one();
                }
            }
            waiter.notify_one();
        });
        let wanted = self.config.get_target_session_attrs();
        if wanted != TargetSessionAttrs::Any {
            let row = client.query_one("SELECT current_setting('transaction_read_only')", &[]).await?;
            let read_only = row.get::<_, &str>(0) == "on";
            if read_only && wanted == TargetSessionAttrs::ReadWrite {
                return Err(ConnectError::Attributes("read-only"));
            }
            if !read_only && wanted == TargetSessionAttrs::ReadOnly {
                return Err(ConnectError::Attributes("no standby"));
            }
        }
        Ok((client, task))
    }

    /// Opens a connection to a host, with TLS if the database is to have it.
    pub(crate) async fn open(&self, host: &Host, port: u16) -> Result<Opened, ConnectError> {
        match host {
            Host::Unix(folder) => {
                Ok(Opened::plain(UnixStream::connect(folder.join(format!(".s.PGSQL.{port}"))).await?))
            }
            Host::Tcp(name) => {
                let stream = TcpStream::connect((name.as_str(), port)).await?;
                stream.set_nodelay(true)?;
                Ok(self.tls.wrap(stream, name, self.config.get_ssl_mode()).await?)
            }
        }
    }

    /// Returns the name that the connections give themselves.
    pub(crate) fn application(&self) -> &str {
        self.config.get_application_name().unwrap_or("newsreel")
    }

    /// Says whether the proof of a password is bound to the server's certificate.
    pub(crate) fn channel_binding(&self) -> ChannelBinding {
        self.config.get_channel_binding()
    }

    /// Returns the role that every connection logs in as.
    pub(crate) fn user(&self) -> &str {
        self.config.get_user().unwrap_or_default()
    }

    /// Returns the name of the database.
    pub(crate) fn dbname(&self) -> &str {
        self.config.get_dbname().or(self.config.get_user()).unwrap_or_default()
    }

    fn hosts(&self) -> impl Iterator<Item = (&Host, u16)> {
        let ports = self.config.get_ports();
        self.config.get_hosts().iter().enumerate().map(move |(number, host)| {
            let port = ports.get(number).or(ports.first()).copied().unwrap_or(5432);
            (host, port)
        })
    }

    /// Returns the password of the URL, the environment or `.pgpass`.
    pub(crate) fn password_for(&self, host: &Host, port: u16) -> Option<Vec<u8>> {
        let given = self.config.get_password().map(<[u8]>::to_vec);
        given.or_else(|| {
            let file = variable("PGPASSFILE").map(PathBuf::from);
            let file = file.or_else(|| Some(env::home_dir()?.join(".pgpass")))?;
            let lines = std::fs::read_to_string(file).ok()?;
            let wanted = [shown(host), port.to_string(), self.dbname().to_owned(), self.user().to_owned()];
            password_in(&lines, &wanted).map(String::into_bytes)
        })
    }
}

/// Fills in what the URL leaves to the environment.
fn complete(config: &mut Config) -> Result<(), Failure> {
    let wrong = |name: &str, value: &str| Failure::Input(format!("{name}: {value:?} cannot be read"));
    if config.get_hosts().is_empty() {
        let hosts = variable("PGHOST").unwrap_or_else(|| "127.0.0.1".to_owned());
        for host in hosts.split(',') {
            config.host(host);
        }
    }
    if config.get_ports().is_empty()
        && let Some(ports) = variable("PGPORT")
    {
        for port in ports.split(',') {
            config.port(port.parse().map_err(|_| wrong("PGPORT", &ports))?);
        }
    }
    if config.get_user().is_none() {
        let user = variable("PGUSER").or_else(|| variable("USER")).unwrap_or_else(|| "postgres".to_owned());
        config.user(user);
    }
    if let (None, Some(database)) = (config.get_dbname(), variable("PGDATABASE")) {
        config.dbname(database);
    }
    if let (None, Some(password)) = (config.get_password(), variable("PGPASSWORD")) {
        config.password(password);
    }
    if let (None, Some(name)) = (config.get_application_name(), variable("PGAPPNAME")) {
        config.application_name(name);
    }
    if let Some(attributes) = variable("PGTARGETSESSIONATTRS") {
        config.target_session_attrs(match attributes.as_str() {
            "any" => TargetSessionAttrs::Any,
            "read-write" | "primary" => TargetSessionAttrs::ReadWrite,
            "read-only" | "standby" => TargetSessionAttrs::ReadOnly,
            _ => return Err(wrong("PGTARGETSESSIONATTRS", &attributes)),
        });
    }
    if let Some(mode) = variable("PGCHANNELBINDING") {
        config.channel_binding(match mode.as_str() {
            "disable" => ChannelBinding::Disable,
            "prefer" => ChannelBinding::Prefer,
            "require" => ChannelBinding::Require,
            _ => return Err(wrong("PGCHANNELBINDING", &mode)),
        });
    }
    Ok(())
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn shown(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(folder) => folder.display().to_string(),
    }
}

/// Takes `name=value` out of a URL's query or of a list of `name=value`.
fn taken(text: &mut String, name: &str) -> Option<String> {
    let divides = |c: char| c == '?' || c == '&' || c.is_whitespace();
    let mut from = 0;
    loop {
        let at = from + text.get(from..)?.find(&format!("{name}="))?;
        let is_first = text.get(..at)?.chars().next_back().is_none_or(divides);
        if !is_first {
            from = at + name.len();
            continue;
        }
        let value_at = at + name.len() + 1;
        let rest = text.get(value_at..)?;
        let end = rest.find(divides).map_or(text.len(), |length| value_at + length);
        let value = text.get(value_at..end)?.trim_matches('\'').to_owned();
        // The & behind it goes with it, so that what is left is a query again.
        let end = if text.get(end..)?.starts_with('&') { end + 1 } else { end };
        text.replace_range(at..end, "");
        return Some(value);
    }
}

/// Returns the password of the first line of a `.pgpass` that fits `host:port:database:user`.
fn password_in(lines: &str, wanted: &[String; 4]) -> Option<String> {
    lines.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut fields = vec![String::new()];
        let mut characters = line.chars();
        while let Some(next) = characters.next() {
            match next {
                '\\' => fields.last_mut()?.extend(characters.next()),
                ':' if fields.len() < 5 => fields.push(String::new()),
                other => fields.last_mut()?.push(other),
            }
        }
        let fits = |(field, wanted): (&String, &String)| field == "*" || field == wanted;
        (fields.len() == 5 && fields.iter().zip(wanted).all(fits)).then(|| fields.pop()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_library_does_not_know_is_taken_out_of_the_url() {
        let mut url = "postgres://h/d?sslmode=verify-full&application_name=x&sslrootcert=/a.pem".to_owned();
        assert_eq!(taken(&mut url, "sslmode").as_deref(), Some("verify-full"));
        assert_eq!(taken(&mut url, "sslrootcert").as_deref(), Some("/a.pem"));
        assert_eq!(taken(&mut url, "sslmode"), None);
        assert_eq!(url, "postgres://h/d?application_name=x&");
        let mut list = "host=h sslmode=require user=u".to_owned();
        assert_eq!(taken(&mut list, "sslmode").as_deref(), Some("require"));
        assert_eq!(list, "host=h  user=u");
    }

    #[test]
    fn a_password_comes_from_the_first_line_that_fits() {
        let lines = "# c\nother:*:*:*:no\nh:5432:a\\:b:u:p\\\\w:x\n*:*:*:*:any\n";
        let wanted = |database: &str| ["h", "5432", database, "u"].map(str::to_owned);
        assert_eq!(password_in(lines, &wanted("a:b")).as_deref(), Some("p\\w:x"));
        assert_eq!(password_in(lines, &wanted("d")).as_deref(), Some("any"));
        assert_eq!(password_in("h:1:d:u", &wanted("d")), None);
    }
}
