//! Damaged messages of guests' processes.

use proptest::prelude::*;

use crate::damage::{config, damaged, hits};
use crate::lens::LensReadings;
use crate::reduce::tests::guest_run;
use crate::run::fleet::message::{Frames, Notice, Order, encode, receive};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn damaged_messages_are_survived(hits in hits(6_000)) {
        let run = Box::new(guest_run(vec![1, 2], 2));
        let ended = Notice::Ended { began_ns: Some(1), run, lenses: LensReadings::default() };
        let mut intact = encode(&ended, 16).unwrap();
        intact.extend([0; 16]);
        let bytes = damaged(&intact, &hits);
        let mut frames = Frames::new(1 << 10);
        frames.push(&bytes);
        while let Ok(Some((_, samples))) = frames.next() {
            prop_assert!(samples.len() <= 1 << 10);
        }
        if let Some((first, mut rest)) = bytes.split_first() {
            let _ = receive::<Order>(&mut rest, *first);
        }
    }
}
