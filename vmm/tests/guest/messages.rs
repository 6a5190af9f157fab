//! Messages: integrity at every size, rights, bad tags and buffers, sends, notifications.

use abi::call::status;
use abi::program::{self, scenario};
use abi::workload::touch;

use inkbed::machine::guest::{GuestRun, Outcome};

use crate::harness::{BOTH_PLACES, Place, boot, call, client, config, counted, finish, scenario, server};

#[test]
fn every_message_size_arrives_and_returns_intact_between_all_placements() {
    for client_place in BOTH_PLACES {
        for server_place in BOTH_PLACES {
            let scenario = scenario(client_place, scenario::ECHO_ALL_SIZES, 0);
            let Some(run) = finish(&[scenario, server(program::ECHO, server_place)]) else { return };
            assert_eq!(run.samples.len(), 513);
            let wrong: Vec<usize> = (0..513_usize).filter(|&words| run.samples[words] != 1).collect();
            assert_eq!(
                wrong, [0_usize; 0],
                "{client_place:?} to {server_place:?}: lengths with a wrong answer"
            );
        }
    }
}

#[test]
fn only_given_servers_can_be_reached() {
    for place in BOTH_PLACES {
        let scenario = scenario(place, scenario::RIGHTS, 0);
        let servers = [scenario, server(program::NULL, Place::User), server(program::NULL, Place::Kernel)];
        let Some(run) = finish(&servers) else { return };
        let (given, others) = run.samples.split_at(3);
        assert_eq!(given, [status::OK; 3]);
        assert_eq!(others, [status::NO_RIGHT; 15]);
    }
}

#[test]
fn bad_tags_and_buffers_are_refused() {
    for place in BOTH_PLACES {
        let scenario = scenario(place, scenario::BAD_MESSAGES, 0);
        let Some(run) = finish(&[scenario, server(program::NULL, Place::User)]) else { return };
        let (tags, rest) = run.samples.split_at(5);
        let bad = status::BAD_TAG;
        assert_eq!(tags, [bad, bad, bad, bad, status::NO_BUFFER], "{place:?}");
        let (addresses, rest) = rest.split_at(8);
        assert_eq!(addresses, [status::NO_BUFFER; 8], "{place:?}");
        assert_eq!(rest, [status::OK, status::NO_BUFFER, status::OK], "{place:?}");
    }
}

#[test]
fn system_calls_that_do_not_exist_are_refused() {
    let Some(run) = finish(&[scenario(Place::User, scenario::BAD_NUMBERS, 0).reaching(&[])]) else { return };
    // The kernel looks at 32 bits of the number; u64::MAX is u32::MAX to it.
    assert_eq!(run.samples, [status::NO_SUCH_CALL; 4]);
}

#[test]
fn a_server_keeps_its_state_in_every_placement() {
    for place in BOTH_PLACES {
        for number in [scenario::COUNT, scenario::SEND] {
            let scenario = scenario(Place::User, number, 0);
            let Some(run) = finish(&[scenario, server(program::COUNTER, place)]) else { return };
            assert_eq!(run.samples, [5050], "{place:?}");
        }
    }
}

#[test]
fn notifications_arrive_together() {
    for place in BOTH_PLACES {
        let Some(run) = finish(&[scenario(place, scenario::NOTIFY, 0).reaching(&[0])]) else { return };
        assert_eq!(run.samples, [status::OK, status::OK, 1, 0b101], "{place:?}");
    }
}

/// The directions of a call add up to less than the round trip.
#[test]
fn the_clock_server_splits_a_round_trip() {
    for place in BOTH_PLACES {
        let client = client(Place::User, abi::workload::directions::Arguments {}.encode(), 10);
        let Some(run) = finish(&[client, server(program::CLOCK, place)]) else { return };
        assert_eq!(run.channel_count, 3);
        assert_eq!(run.samples.len(), 30);
        for sample in run.samples.chunks(3) {
            let [whole, there, back] =
                [0, 1, 2].map(|channel| sample[channel] & !abi::report::SAMPLE_DISTURBED);
            assert!(there + back <= whole, "{there} + {back} <= {whole}");
            assert!(there > 0 && back > 0);
        }
    }
}

#[test]
fn both_sides_touch_their_working_sets() {
    let arguments = touch::Arguments { pages: 64, direct: 0, words: 0 }.encode();
    let client = client(Place::User, arguments, 5).with(|plan| plan.working_set_pages = 64);
    let touch = |pages, touched| {
        server(program::TOUCH, Place::Kernel).with(|plan| {
            plan.working_set_pages = pages;
            plan.arguments[program::touch::PAGES] = touched;
        })
    };
    let Some(run) = finish(&[client, touch(2048, 2048)]) else { return };
    assert_eq!(run.samples.len(), 5);
}

/// A call between touched pages carries words as any other call does, and the client checks the answer.
#[test]
fn words_travel_between_touched_pages() {
    let counts = |run: &GuestRun| {
        let counted = counted(run);
        (counted.ipc_fast, counted.ipc_slow, counted.context_switches, counted.page_table_loads)
    };
    for words in [1, 4, 5, 512] {
        for place in BOTH_PLACES {
            let arguments = touch::Arguments { pages: 16, direct: 0, words }.encode();
            let toucher = client(Place::User, arguments, 5).with(|plan| plan.working_set_pages = 16);
            let touch = |echo| {
                server(program::TOUCH, place).with(|plan| {
                    plan.working_set_pages = 16;
                    plan.arguments[program::touch::PAGES] = 16;
                    plan.arguments[program::touch::ECHO] = echo;
                })
            };
            let Some(run) = finish(&[toucher.clone(), touch(1)]) else { return };
            let caller = client(Place::User, call(words), 5);
            let Some(called) = finish(&[caller, server(program::ECHO, place)]) else { return };
            assert_eq!(counts(&run), counts(&called), "{words} words, {place:?}");
            let Some(unasked) = boot(&config(&[toucher, touch(0)])) else { return };
            // Whoever has no buffer gets no long message.
            let status = match words {
                0..=4 => abi::workload::status::WRONG_ANSWER,
                _ => abi::workload::status::CALL_FAILED,
            } as u32;
            assert_eq!(unasked.outcome, Outcome::Finished { status }, "{words} words, {place:?}");
        }
    }
}
