//! The offer of a shard and its answer, as bytes on the link, and the taker's side of a hand-over. Leaves
//! the owner's side to [`super::moves`].

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::shared::Shared;
use crate::membership::{Incarnation, NodeId};
use crate::names;
use crate::shard::{Epoch, ShardId};

/// The first byte of every message here. Bytes after the known fields are ignored, so that a later
/// version can add fields.
const VERSION: u8 = 1;
const TAKEN: u8 = 1;
const REFUSED: u8 = 0;

/// "Take `shard`, which I own under `epoch`."
pub(super) fn encode(shard: ShardId, epoch: Epoch) -> Bytes {
    let mut message = BytesMut::with_capacity(11);
    message.put_u8(VERSION);
    message.put_u16(shard.0);
    message.put_i64(epoch.0);
    message.freeze()
}

fn decode(mut message: &[u8]) -> Option<(ShardId, Epoch)> {
    if message.len() < 11 || message.get_u8() < VERSION {
        return None;
    }
    Some((ShardId(message.get_u16()), Epoch(message.get_i64())))
}

fn encode_answer(taken: Option<Epoch>) -> Bytes {
    let mut message = BytesMut::with_capacity(10);
    message.put_u8(VERSION);
    message.put_u8(if taken.is_some() { TAKEN } else { REFUSED });
    message.put_i64(taken.map_or(0, |epoch| epoch.0));
    message.freeze()
}

/// The new epoch, if the offer was taken.
pub(super) fn decode_answer(mut message: &[u8]) -> Option<Epoch> {
    if message.len() < 10 || message.get_u8() < VERSION || message.get_u8() != TAKEN {
        return None;
    }
    Some(Epoch(message.get_i64()))
}

/// Marks a shard that is being taken over: by the authority's word it may be ours before it is adopted
/// here. The mark is also removed if the answer is dropped half-way; a later claim then finds the shard
/// that was left behind.
struct Taking<'a> {
    shared: &'a Shared,
    shard: ShardId,
}

impl<'a> Taking<'a> {
    fn begin(coordinator: &'a Shared, shard: ShardId) -> Self {
        *coordinator.taking.lock().entry(shard).or_default() += 1;
        Self {
            shared: coordinator,
            shard,
        }
    }
}

impl Drop for Taking<'_> {
    fn drop(&mut self) {
        let mut taking = self.shared.taking.lock();
        if let Some(count) = taking.get_mut(&self.shard) {
            *count -= 1;
            if *count == 0 {
                taking.remove(&self.shard);
            }
        }
    }
}

/// Whether `from` is draining by the view that is known here.
fn is_draining(shared: &Shared, from: &(NodeId, Incarnation)) -> bool {
    let view = shared.parts.directory.view();
    let node = view.node(&from.0, from.1);
    node.is_some_and(|node| node.draining)
}

/// Takes over the offered shard from `from` and adopts it.
pub(super) async fn answer(
    shared: &Arc<Shared>,
    from: &(NodeId, Incarnation),
    request: &[u8],
) -> Bytes {
    let Some(offered) = decode(request) else {
        tracing::warn!(from = from.0.0, "an offer that can't be read");
        return encode_answer(None);
    };
    let parts = &shared.parts;
    if shared.stop.is_cancelled() || shared.draining.load(Ordering::Relaxed) {
        return encode_answer(None);
    }
    if !shared.offers.lock().allows(offered.0) && !is_draining(shared, from) {
        tracing::warn!(shard = %offered.0, from = from.0.0, "offered too often: refused");
        return encode_answer(None);
    }
    let _taking = Taking::begin(shared, offered.0);
    let taken = parts
        .membership
        .take_over(
            &parts.node,
            parts.incarnation,
            (&from.0, from.1),
            &[offered],
        )
        .await;
    match taken {
        Ok(claimed) if !claimed.is_empty() => {
            metrics::counter!(names::SHARD_CLAIMS).increment(1);
            shared.offers.lock().count(offered.0);
            shared.learn_mine(&claimed);
            parts.shards.adopt(&claimed, true).await;
            encode_answer(Some(claimed[0].epoch))
        }
        Ok(_) => encode_answer(None),
        Err(error) => {
            tracing::warn!(shard = %offered.0, %error, "offered shard not taken");
            // The take-over may have succeeded. Then the next view shows it, and the shard is claimed
            // again.
            parts.directory.ask_refresh();
            encode_answer(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_and_answers_come_back_as_they_went() {
        let offer = (ShardId(127), Epoch(i64::MAX));
        assert_eq!(decode(&encode(offer.0, offer.1)), Some(offer));
        assert_eq!(
            decode_answer(&encode_answer(Some(Epoch(7)))),
            Some(Epoch(7))
        );
        assert_eq!(decode_answer(&encode_answer(None)), None);
    }

    #[test]
    fn a_later_version_may_say_more_and_rubbish_says_nothing() {
        let mut later = encode(ShardId(1), Epoch(2)).to_vec();
        later[0] = 2;
        later.extend_from_slice(b"more");
        assert_eq!(decode(&later), Some((ShardId(1), Epoch(2))));
        assert_eq!(decode(b"\x01\x00"), None);
        assert_eq!(decode(b""), None);
        assert_eq!(decode_answer(b"rubbish"), None);
    }
}
