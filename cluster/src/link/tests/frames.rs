//! Whatever comes over a stream is a frame or is refused, before the secret is proven and after; and a frame
//! that is written is read again.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;
use prost::Message as _;

use super::strangers::{challenged, proof, raw, stranger};
use super::support::{bytes, node, soon};
use crate::link::wire::{
    Body, Call, Challenge, Failure, FailureKind, Frame, Hello, Leaving, Origin, Proof, Refused,
    Relay,
};
use crate::link::{Links as _, Refusal};

fn blob() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        vec(any::<u8>(), 0..40).prop_map(Bytes::from),
        Just(Bytes::from_static(&[7; 32])),
    ]
}

fn hello() -> impl Strategy<Value = Hello> {
    let names = ("[a-z]{0,300}", "b|[a-z]{0,3}");
    let numbers = (any::<i64>(), any::<i64>(), any::<u32>());
    let versions = (0_u32..3, 0_u32..3);
    (names, numbers, versions, blob()).prop_map(|((node, to_node), numbers, versions, nonce)| {
        let (incarnation, to_incarnation, shards) = numbers;
        let (newest, oldest) = versions;
        Hello {
            newest,
            oldest,
            node,
            incarnation,
            to_node,
            to_incarnation,
            shards,
            nonce,
        }
    })
}

fn body() -> impl Strategy<Value = Body> {
    let left = prop_oneof![0_u64..1000, Just(u64::MAX), any::<u64>()];
    let origin = (".{0,20}", any::<i64>());
    let origin = origin.prop_map(|(node, incarnation)| Origin { node, incarnation });
    let call = (left, blob(), option::of(origin)).prop_map(|(left_us, payload, origin)| {
        Body::Call(Call {
            left_us,
            payload,
            origin,
        })
    });
    let address = "|nonsense|127\\.0\\.0\\.1:(1|99999)|\\[::1";
    let target = (".{0,20}", any::<i64>(), address);
    // While it lasts the stream isn't closed.
    let relay = (0_u64..20_000, blob(), target).prop_map(|(left_us, payload, target)| {
        let (node, incarnation, address) = target;
        Body::Relay(Relay {
            left_us,
            payload,
            node,
            incarnation,
            address,
        })
    });
    let challenge = (any::<u32>(), any::<u32>(), blob());
    prop_oneof![
        hello().prop_map(Body::Hello),
        challenge.prop_map(|(newest, oldest, nonce)| {
            Body::Challenge(Challenge {
                newest,
                oldest,
                nonce,
            })
        }),
        blob().prop_map(|mac| Body::Proof(Proof { mac })),
        blob().prop_map(|mac| Body::Welcome(Proof { mac })),
        any::<u32>().prop_map(|code| Body::Refused(Refused { code })),
        call,
        blob().prop_map(Body::Answer),
        any::<i32>().prop_map(|kind| Body::Failure(Failure { kind })),
        blob().prop_map(Body::Message),
        relay,
        Just(Body::Leaving(Leaving {})),
    ]
}

fn frame() -> impl Strategy<Value = Frame> {
    (0_u64..4, option::of(body())).prop_map(|(id, body)| Frame { id, body })
}

proptest! {
    #[test]
    fn a_frame_comes_back(frame in frame()) {
        let read = Frame::decode(&*frame.encode_to_vec());
        prop_assert_eq!(read.expect("ours"), frame);
    }

    #[test]
    fn damaged_frames_are_read_or_refused(
        frame in frame(), cut in any::<Index>(), turned in vec((any::<Index>(), 0_u8..8), 0..4),
        put in vec(any::<u8>(), 0..6), any in vec(any::<u8>(), 0..60),
    ) {
        let mut written = frame.encode_to_vec();
        for (at, bit) in turned {
            if !written.is_empty() {
                let at = at.index(written.len());
                written[at] ^= 1 << bit;
            }
        }
        let at = cut.index(written.len() + 1);
        let struck = [&written[..at], &put, &written[at..]].concat();
        for bytes in [&written[..at], &struck, &any] {
            if let Ok(read) = Frame::decode(bytes) {
                let again = Frame::decode(&*read.encode_to_vec());
                prop_assert_eq!(again.expect("ours"), read);
            }
        }
    }

    #[test]
    fn any_number_is_a_refusal_and_a_failure(code in any::<u32>(), kind in any::<i32>()) {
        let refusal = Refusal::from_code(code);
        prop_assert!(refusal.code() == code || refusal == Refusal::Other);
        let failure = Failure { kind };
        prop_assert!(failure.kind() as i32 == kind || failure.kind() == FailureKind::Failed);
    }
}

proptest! {
    // Each opens a connection.
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 8 + 1, ..ProptestConfig::default() })]

    #[test]
    fn strange_frames_harm_nobody(
        before in vec(frame(), 0..4), after in vec(frame(), 0..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let b = node("b").await;
            let (out, mut frames) = raw(&b.peer.address).await;
            for frame in before {
                // The other end may have closed the stream.
                drop(out.send(frame).await);
            }
            drop(out);
            while let Ok(Some(frame)) = frames.message().await {
                assert!(!matches!(frame.body, Some(Body::Welcome(_))), "without the secret");
            }
            assert_eq!(b.script.served.load(Ordering::Relaxed), 0);

            let hello = stranger(&b.peer);
            let (out, mut frames) = raw(&b.peer.address).await;
            let challenge = challenged(&out, &mut frames, &hello).await;
            let proof = Frame::of(Body::Proof(proof(&hello, &challenge)));
            out.send(proof).await.expect("still open");
            for frame in after {
                drop(out.send(frame).await);
            }
            drop(out);
            while let Ok(Some(_)) = frames.message().await {}

            let a = node("a").await;
            a.links.call(&b.peer, bytes("x"), soon()).await.expect("served");
        });
    }
}

/// One frame of each kind, as the first version writes them.
fn known() -> Vec<(&'static str, Frame)> {
    let blob = |byte| Bytes::from(vec![byte; 3]);
    let hello = Hello {
        newest: 1,
        oldest: 1,
        node: "a".into(),
        incarnation: 7,
        to_node: "b".into(),
        to_incarnation: 8,
        shards: 128,
        nonce: blob(1),
    };
    let challenge = Challenge {
        newest: 1,
        oldest: 1,
        nonce: blob(2),
    };
    let call = |origin| {
        Body::Call(Call {
            left_us: 1_000_000,
            payload: blob(3),
            origin,
        })
    };
    let origin = Origin {
        node: "a".into(),
        incarnation: 7,
    };
    let relay = Relay {
        left_us: 1_000_000,
        payload: blob(4),
        node: "c".into(),
        incarnation: 9,
        address: "10.0.0.3:7080".into(),
    };
    let asked = |id, body| Frame {
        id,
        body: Some(body),
    };
    vec![
        ("hello", Frame::of(Body::Hello(hello))),
        ("challenge", Frame::of(Body::Challenge(challenge))),
        ("proof", Frame::of(Body::Proof(Proof { mac: blob(5) }))),
        ("welcome", Frame::of(Body::Welcome(Proof { mac: blob(6) }))),
        ("refused", Frame::of(Body::Refused(Refused { code: 3 }))),
        ("call", asked(1, call(None))),
        ("call-for-another", asked(2, call(Some(origin)))),
        ("answer", Frame::answer(1, blob(7))),
        ("failure", Frame::failure(2, FailureKind::TimedOut)),
        ("message", Frame::of(Body::Message(blob(8)))),
        ("relay", asked(3, Body::Relay(relay))),
        ("leaving", Frame::of(Body::Leaving(Leaving {}))),
    ]
}

#[test]
fn every_frame_keeps_its_form() {
    let lines = include_str!("../../../../tests/fixtures/forms/link_frames.hex");
    let written = known().into_iter().map(|(name, frame)| {
        let hex: Vec<String> = frame
            .encode_to_vec()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("{name} {}", hex.concat())
    });
    assert_eq!(
        written.collect::<Vec<_>>(),
        lines.lines().collect::<Vec<_>>()
    );
    for ((name, frame), line) in known().into_iter().zip(lines.lines()) {
        let hex = line.split_once(' ').expect("a name").1.as_bytes();
        let bytes: Vec<u8> = hex
            .chunks(2)
            .map(|pair| {
                u8::from_str_radix(std::str::from_utf8(pair).expect("hex"), 16).expect("hex")
            })
            .collect();
        assert_eq!(Frame::decode(&*bytes).expect(name), frame);
    }
}
