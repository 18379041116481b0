//! The Lua scripts that Redis runs, and how to call them. They are loaded on every connection, and again if
//! the server has forgotten them.

use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, RedisResult};

/// A script and its SHA-1, by which it is called.
#[derive(Debug)]
pub(super) struct Scripts {
    /// Sets each of KEYS to `ARGV[i]`, for `ARGV[#KEYS + i]` seconds, unless the stored entry ranks higher.
    pub(super) put: redis::Script,
    /// Keeps a courier's position: see [`PUT_POSITION`].
    pub(super) put_position: redis::Script,
    /// Draws tokens: see [`DRAW`].
    pub(super) draw: redis::Script,
}

/// How many bytes of a stored entry [`PUT`] compares.
pub(super) const RANK_BYTES: usize = 29;

/// The rank is the first 29 bytes of a stored entry: see `entry`. `GETRANGE` of a missing key is the
/// empty text, which is below every rank.
const PUT: &str = "
local call, sub = redis.call, string.sub
local n = #KEYS
for i = 1, n do
  local new = ARGV[i]
  if call('GETRANGE', KEYS[i], 0, 28) <= sub(new, 1, 29) then
    call('SETEX', KEYS[i], ARGV[n + i], new)
  end
end
return n";

/// KEYS: index of positions, index of when each was last heard of, the courier's own key. ARGV: member,
/// longitude, latitude, own value, whether the index can hold it, seconds to keep, when it was measured, in
/// ms. An own value ends in the time of its measurement; an older measurement changes nothing. A stored time
/// more than a minute ahead of the clock was accepted by an older version of this program, and is ignored.
/// Members of a sorted set don't expire by themselves, so each call also removes up to 16 couriers that were
/// silent for that long. That is more than a call adds, so the live couriers bound the index.
const PUT_POSITION: &str = "
local now = tonumber(redis.call('TIME')[1])
local keep = tonumber(ARGV[6])
local there = redis.call('GET', KEYS[3])
local measured = there and tonumber(string.match(there, '%-?%d+$'))
if measured and measured > tonumber(ARGV[7]) and measured <= (now + 60) * 1000 then
  return 0
end
if ARGV[5] == '1' then
  redis.call('GEOADD', KEYS[1], ARGV[2], ARGV[3], ARGV[1])
else
  redis.call('ZREM', KEYS[1], ARGV[1])
end
redis.call('ZADD', KEYS[2], now, ARGV[1])
redis.call('SET', KEYS[3], ARGV[4], 'EX', keep)
local silent = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - keep, 'LIMIT', 0, 16)
if #silent > 0 then
  redis.call('ZREM', KEYS[1], unpack(silent))
  redis.call('ZREM', KEYS[2], unpack(silent))
end
redis.call('EXPIRE', KEYS[1], keep)
redis.call('EXPIRE', KEYS[2], keep)
return 1";

/// KEYS: the bucket. ARGV: microseconds from one token to the next, how many a full bucket holds, how many are
/// wanted. Answers how many are granted, and microseconds until the bucket is full. The key holds the time at which
/// it is full, and goes then. The clock is Redis' own; what a clock that went back, or a larger limit, has left
/// counts as an empty bucket.
const DRAW: &str = "
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, wanted = tonumber(ARGV[1]), tonumber(ARGV[3])
local room = interval * ARGV[2]
local used = math.min(math.max(tonumber(redis.call('GET', KEYS[1]) or 0) - now, 0), room)
local granted = math.min(math.floor((room - used) / interval), wanted)
if granted > 0 then
  used = used + granted * interval
  redis.call('SET', KEYS[1], string.format('%.0f', now + used), 'PX', math.ceil(used / 1000))
end
return {granted, used}";

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            put: redis::Script::new(PUT),
            put_position: redis::Script::new(PUT_POSITION),
            draw: redis::Script::new(DRAW),
        }
    }

    /// Loads the scripts into the server.
    pub(super) async fn load(&self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        for script in [&self.put, &self.put_position, &self.draw] {
            let _: String = script.prepare_invoke().load_async(connection).await?;
        }
        Ok(())
    }

    /// Runs `call` (an `EVALSHA`). If the server has forgotten the scripts (a flush, a restart behind a
    /// proxy), loads them and runs it once more.
    pub(super) async fn call(
        &self,
        connection: &mut MultiplexedConnection,
        call: &Cmd,
    ) -> RedisResult<()> {
        self.query(connection, call).await
    }

    /// As [`Self::call`], for an answer.
    pub(super) async fn query<T: FromRedisValue>(
        &self,
        connection: &mut MultiplexedConnection,
        call: &Cmd,
    ) -> RedisResult<T> {
        match call.query_async(connection).await {
            Err(error) if error.code() == Some("NOSCRIPT") => {
                self.load(connection).await?;
                call.query_async(connection).await
            }
            outcome => outcome,
        }
    }
}
