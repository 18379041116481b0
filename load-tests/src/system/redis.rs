//! What the benchmarks ask of Redis: how many keys there are, its version, and
//! to forget the keys of a run. Three inline commands don't call for a client.

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// Deletes in slices of the keyspace, so that no reply takes long.
const FORGET: &str = "local at='0' local n=0 repeat \
    local page=redis.call('SCAN',at,'MATCH',ARGV[1],'COUNT',1000) at=page[1] \
    if #page[2]>0 then n=n+redis.call('UNLINK',unpack(page[2])) end until at=='0' return n";

/// A Redis server.
pub struct Redis {
    address: String,
    database: String,
}

impl Redis {
    /// Reads `redis://host:port[/db]`. Credentials aren't understood here.
    pub fn parse(url: &str) -> Result<Self> {
        let rest = url
            .strip_prefix("redis://")
            .context("the Redis URL must begin with redis://")?;
        ensure!(
            !rest.contains('@'),
            "the benchmarks look into Redis without credentials only"
        );
        let (address, database) = rest.split_once('/').unwrap_or((rest, ""));
        let address = if address.contains(':') {
            address.to_owned()
        } else {
            format!("{address}:6379")
        };
        let database = if database.is_empty() { "0" } else { database };
        Ok(Self {
            address,
            database: database.to_owned(),
        })
    }

    /// Keys in the database.
    pub async fn keys(&self) -> Result<u64> {
        Ok(self.ask(&["DBSIZE"]).await?.parse()?)
    }

    /// Deletes the keys that begin with `prefix` and gives their number.
    pub async fn forget(&self, prefix: &str) -> Result<u64> {
        Ok(self
            .ask(&["EVAL", FORGET, "0", &format!("{prefix}*")])
            .await?
            .parse()?)
    }

    /// Limits the server's memory (0: not at all) and gives the limit that it had.
    pub async fn limit_memory(&self, bytes: u64) -> Result<u64> {
        let info = self.ask(&["INFO", "memory"]).await?;
        let limit = info
            .lines()
            .find_map(|line| line.strip_prefix("maxmemory:"));
        let limit = limit.context("INFO names no limit of memory")?.parse()?;
        self.ask(&["CONFIG", "SET", "maxmemory", &bytes.to_string()])
            .await?;
        Ok(limit)
    }

    /// The server's version.
    pub async fn version(&self) -> Result<String> {
        let info = self.ask(&["INFO", "server"]).await?;
        let version = info
            .lines()
            .find_map(|line| line.strip_prefix("redis_version:"));
        version.map(str::to_owned).context("INFO names no version")
    }

    async fn ask(&self, command: &[&str]) -> Result<String> {
        let stream = TcpStream::connect(&self.address).await;
        let mut stream = BufReader::new(
            stream.with_context(|| format!("connect to Redis at {}", self.address))?,
        );
        exchange(&mut stream, &["SELECT", &self.database]).await?;
        exchange(&mut stream, command).await
    }
}

/// One command and its reply: a status, an integer or a bulk string.
async fn exchange(stream: &mut BufReader<TcpStream>, command: &[&str]) -> Result<String> {
    let mut bytes = format!("*{}\r\n", command.len());
    for part in command {
        let length = part.len();
        bytes.extend(["$", &length.to_string(), "\r\n", part, "\r\n"]);
    }
    stream.write_all(bytes.as_bytes()).await?;
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let line = line.trim_end();
    match line
        .split_at_checked(1)
        .context("Redis closed the connection")?
    {
        ("+" | ":", rest) => Ok(rest.to_owned()),
        ("$", length) => {
            let mut body = vec![0; length.parse::<usize>().context("length of a bulk string")? + 2];
            stream.read_exact(&mut body).await?;
            Ok(String::from_utf8(body)?.trim_end().to_owned())
        }
        _ => bail!("Redis answered {line}"),
    }
}
