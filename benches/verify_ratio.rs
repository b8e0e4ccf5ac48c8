//! How much more than its floor a whole check costs: alternating rounds in one run, so that whatever else the machine
//! does hits all alike. Prints a Markdown table; `REPORT.md` has one.
//!
//! The bar is 2.5: the minimum of `authorize` (1,000,000 revoked keys loaded) over the minimum of `two_compressions`.

#![allow(clippy::print_stdout, reason = "its output is what it is for")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up stops where it stands")]

use benches::{Field, KEYS, REVOKED, SECRET, edge, fields, good_fingerprints, group, two_compressions};
use dataplane::authorize::authorize;
use dataplane::credentials::key_text;
use dataplane::edge::Edge;
use edgeformat::PolicyKey;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::hint::black_box;
use std::time::Instant;

/// Each contestant goes through a part of the keys in a round, about as long as the system leaves a thread alone, and
/// through all keys in turn over the rounds.
const ROUNDS: usize = 400;
const KEYS_A_ROUND: usize = 2_000;
const BAR: f64 = 2.5;

/// Goes through the keys of one round.
type Work<'a> = Box<dyn Fn(usize) + 'a>;

struct Contestant<'a> {
    name: String,
    work: Work<'a>,
    ns: Vec<f64>,
}

impl<'a> Contestant<'a> {
    fn new(name: impl Into<String>, work: impl Fn(usize) + 'a) -> Self {
        Self { name: name.into(), work: Box::new(work), ns: Vec::new() }
    }

    fn run(&mut self, round: usize) {
        let start = Instant::now();
        (self.work)(round);
        self.ns.push(start.elapsed().as_secs_f64() * 1e9 / KEYS_A_ROUND as f64);
    }

    fn minimum(&self) -> f64 {
        self.ns.iter().copied().fold(f64::INFINITY, f64::min)
    }

    fn median(&self) -> f64 {
        let mut sorted = self.ns.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

/// Calls `work` for each item of a round, out of the optimiser's sight.
fn for_all<'a, T, R>(items: &'a [T], work: impl Fn(&T) -> R + 'a) -> impl Fn(usize) + 'a {
    move |round| {
        let first = round % (KEYS / KEYS_A_ROUND) * KEYS_A_ROUND;
        for item in items.iter().skip(first).take(KEYS_A_ROUND) {
            black_box(work(black_box(item)));
        }
    }
}

fn whole<'a>(edge: &'a Edge, fields: &'a [Field]) -> impl Fn(usize) + 'a {
    for_all(fields, |field| authorize(edge, field).packed())
}

fn hmac_crate(prepared: &Hmac<Sha256>) -> [u8; 32] {
    let mut hmac = prepared.clone();
    hmac.update(black_box(b"S12345678"));
    hmac.finalize().into_bytes().into()
}

fn main() {
    // `cargo test` runs benches too, to see that they work; only `cargo bench` passes this.
    let rounds = if std::env::args().any(|word| word == "--bench") { ROUNDS } else { 2 };
    let (fields, fingerprints) = (fields(), good_fingerprints());
    let one_key = vec![*fields.first().unwrap(); KEYS];
    let prepared = Hmac::<Sha256>::new_from_slice(&SECRET).unwrap();
    let blocks = vec![[7_u8; 64]; KEYS];
    let [none, few, many] = REVOKED.map(edge);

    let decoded: Vec<_> =
        fields.iter().map(|field| apikey::decode(key_text(field).unwrap()).unwrap()).collect();
    let verified: Vec<_> = decoded
        .iter()
        .map(|key| key.authenticate(many.keyring.mac_of(key.version(), group()).unwrap()).unwrap())
        .collect();
    let tables = many.tables.read().unwrap();
    let slots: Vec<_> = verified
        .iter()
        .map(|key| {
            let whose = PolicyKey { customer: key.customer(), service: key.service() };
            (whose, tables.policies.get(key.customer(), key.service()).unwrap().slot())
        })
        .collect();
    let decisions: Vec<_> = fields.iter().map(|field| authorize(&many, field)).collect();

    let mut contestants = [
        Contestant::new("`two_compressions`, the floor", for_all(&blocks, two_compressions)),
        Contestant::new("**`authorize`, 1,000,000 revoked, 20,000 keys in turn**", whole(&many, &fields)),
        Contestant::new("`authorize`, 1,000,000 revoked, one key again and again", whole(&many, &one_key)),
        Contestant::new("`authorize`, 10,000 revoked, 20,000 keys in turn", whole(&few, &fields)),
        Contestant::new("`authorize`, nothing revoked, 20,000 keys in turn", whole(&none, &fields)),
        Contestant::new(
            "reference: the `hmac` crate, prepared and cloned",
            for_all(&blocks, |_| hmac_crate(&prepared)),
        ),
        Contestant::new(
            "part: credential → text",
            for_all(&fields, |field| key_text(field).map(<[u8]>::len)),
        ),
        Contestant::new(
            "part: `apikey::decode`",
            for_all(&fields, |field| apikey::decode(field.split_at(7).1).is_ok()),
        ),
        Contestant::new(
            "part: keyring and MAC",
            for_all(&decoded, |key| {
                let mac = many.keyring.mac_of(key.version(), key.group()).unwrap();
                key.authenticate(mac).is_ok()
            }),
        ),
        Contestant::new("part: tables' read lock", for_all(&fields, |_| many.tables.read().is_some())),
        Contestant::new(
            "part: filter and set, 1,000,000 revoked",
            for_all(&fingerprints, |key| tables.revocations.refusal(*key, &many.clock)),
        ),
        Contestant::new(
            "part: policy look-up, 100,000 policies",
            for_all(&verified, |key| tables.policies.get(key.customer(), key.service()).is_some()),
        ),
        Contestant::new(
            "part: counting",
            for_all(&slots, |(whose, slot)| many.usage.count_admitted(*whose, slot)),
        ),
        Contestant::new("part: decision → integer", for_all(&decisions, |decision| decision.packed())),
    ];

    for round in 0..rounds {
        contestants.iter_mut().for_each(|contestant| contestant.run(round));
    }
    print(rounds, &contestants);
}

fn print(rounds: usize, contestants: &[Contestant<'_>]) {
    let floor = contestants.first().map_or(f64::NAN, Contestant::minimum);
    println!("{rounds} alternating rounds of {KEYS_A_ROUND} keys each, ns a key\n");
    println!("| what | minimum | median | minimum / floor |\n|---|---:|---:|---:|");
    for contestant in contestants {
        let minimum = contestant.minimum();
        println!(
            "| {} | {minimum:.1} | {:.1} | {:.2} |",
            contestant.name,
            contestant.median(),
            minimum / floor
        );
    }
    let ratio = contestants.get(1).map_or(f64::NAN, Contestant::minimum) / floor;
    let verdict = if ratio <= BAR { "within" } else { "**above**" };
    println!("\nRatio of minima: {ratio:.2}, {verdict} the bar of {BAR}.");
}
