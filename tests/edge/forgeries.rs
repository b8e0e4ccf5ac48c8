//! Guessing leads nowhere, and whoever guesses harms nobody else.

use harness::keys::Random;
use harness::{Connection, Stack};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};

const FORGERIES: usize = 100_000;

#[test]
fn of_100_000_forgeries_none_is_accepted_and_good_keys_pass_meanwhile() {
    let stack = Stack::start();
    let customer = stack.customer(1, "seal", "enterprise");
    let (key, _) = stack.key(customer, "seal");
    let line = format!("X-API-Key: {key}");
    let seed = 20_261_121;
    println!("seed {seed}");
    let port = stack.edge.number();
    let guesser = Ipv4Addr::new(127, 0, 0, 2);
    let done = AtomicBool::new(false);

    std::thread::scope(|scope| {
        let good_from = |source: Ipv4Addr| {
            let (line, done) = (&line, &done);
            move || {
                let mut connection = Connection::open_from(source, port).unwrap();
                let mut requests = 0;
                while !done.load(Ordering::Relaxed) {
                    let answer = connection.get(&[line]).unwrap();
                    assert_eq!(
                        answer.status, 200,
                        "a good key from {source} suffers from its neighbour: {answer:?}"
                    );
                    requests += 1;
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
                requests
            }
        };
        let same = scope.spawn(good_from(guesser));
        let other = scope.spawn(good_from(Ipv4Addr::LOCALHOST));

        // Also when an assertion fails the good keys must stop, or the scope would wait for them for ever.
        let end = EndOnDrop(&done);
        let mut random = Random(seed);
        let mut connection = Connection::open_from(guesser, port).unwrap();
        let mut seen = std::collections::BTreeMap::<u16, usize>::new();
        for number in 0..FORGERIES {
            let forged = forgery(&key, &mut random, number);
            assert_ne!(forged, key);
            let answer = connection.get(&[&format!("Authorization: Bearer {forged}")]).unwrap();
            assert!(matches!(answer.status, 401 | 429), "{forged} got {answer:?}");
            *seen.entry(answer.status).or_default() += 1;
        }
        drop(end);
        let (same, other) = (same.join().unwrap(), other.join().unwrap());
        println!("{seen:?}; good keys meanwhile: {same} from the guesser's address, {other} from another");
        assert_eq!(seen.values().sum::<usize>(), FORGERIES);
        assert!(same > 20 && other > 20, "the good keys hardly had a turn: {same}, {other}");
    });
}

struct EndOnDrop<'a>(&'a AtomicBool);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Half are random canonical keys, half the good key with its tag guessed anew: the best that a guesser can do.
fn forgery(key: &str, random: &mut Random, number: usize) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let character = |random: &mut Random| ALPHABET[random.below(32) as usize] as char;
    // The last character of payload and tag has one bit of data: A or Q keeps the spelling canonical.
    let last = |random: &mut Random| if random.below(2) == 0 { 'A' } else { 'Q' };
    loop {
        let forged = if number.is_multiple_of(2) {
            let mut forged = key[..14].to_owned();
            (0..6).for_each(|_| forged.push(character(random)));
            forged.push(last(random));
            (0..3).for_each(|_| forged.push(character(random)));
            forged.push(last(random));
            forged
        } else {
            let mut forged = String::from("S");
            (0..19).for_each(|_| forged.push(character(random)));
            forged.push(last(random));
            (0..3).for_each(|_| forged.push(character(random)));
            forged.push(last(random));
            forged
        };
        if forged != key {
            return forged;
        }
    }
}
