//! `suiftly usage dump FILE`.

use crate::cli::reply::lines;
use crate::cli::usage::Lines;
use crate::cli::{Exit, Failure, Reply};
use crate::clock::rfc3339_ms;
use crate::ledger_view::Whose;
use apikey::{CustomerId, Service};
use clap::Args;
use edgeformat::ledger::{Counter, Counters, HeaderError, SlotReading};
use ledger::{LedgerReader, OpenError, Unusable};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use std::cell::Cell;
use std::io;
use std::path::{Path, PathBuf};

/// Which file, and what of it.
#[derive(Args, Debug)]
pub struct DumpArguments {
    /// The ledger; that of a running edge is `ledger` in its state folder, and may be read at any time
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only this customer
    #[arg(long, value_name = "N")]
    customer: Option<CustomerId>,
    /// Only this service: seal, grpc or graphql
    #[arg(long, value_name = "SERVICE")]
    service: Option<Service>,
    /// Read a file whose header is damaged; nothing vouches for what it says then
    #[arg(long)]
    despite_damage: bool,
}

/// Prints it, slot after slot as they stand in the file, so that a million of them need no memory.
///
/// # Errors
/// The file is missing, damaged, of another version, or no ledger.
pub fn run(arguments: &DumpArguments, json: bool) -> Result<Reply, Failure> {
    let (reader, damage) = open(&arguments.file, arguments.despite_damage)?;
    let whose = Whose { customer: arguments.customer, service: arguments.service };
    let dump = Dump { file: &arguments.file, reader: &reader, damage, whose, sum: Cell::default() };
    if json { Lines::stdout().write_json(&dump) } else { dump.print(Lines::stdout()) }
}

/// The file, and what is wrong with its header.
fn open(file: &Path, despite_damage: bool) -> Result<(LedgerReader, Option<String>), Failure> {
    let failed = |error: &dyn std::fmt::Display, todo: &str| {
        Failure::new(Exit::Other, format!("{error}{}{todo}", if todo.is_empty() { "" } else { "; " }))
    };
    // To open a pipe waits for its other end; a device or a folder cannot be mapped.
    if std::fs::metadata(file).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(failed(&format_args!("{}: it is no regular file", file.display()), ""));
    }
    match LedgerReader::open(file) {
        Ok(reader) => Ok((reader, None)),
        Err(OpenError { reason: Unusable::Header(reason), .. }) if despite_damage => {
            let reader = LedgerReader::open_damaged(file).map_err(|error| failed(&error, ""))?;
            Ok((reader, Some(reason.to_string())))
        }
        Err(error) => {
            let todo = match &error.reason {
                Unusable::Header(HeaderError::OtherVersion(_)) => "read it with the suiftly that made it",
                Unusable::Header(_) => "--despite-damage prints what may be read, and nothing vouches for it",
                Unusable::Io(error) if error.kind() == io::ErrorKind::NotFound => {
                    "the agent of an edge makes `ledger` in its SUIFTLY_STATE"
                }
                Unusable::Io(_) => "",
            };
            Err(failed(&error, todo))
        }
    }
}

/// A ledger that is written while it is read.
struct Dump<'a> {
    file: &'a Path,
    reader: &'a LedgerReader,
    damage: Option<String>,
    whose: Whose,
    /// Of the slots that were written; it stands after them, since they may change between two readings.
    sum: Cell<Counters>,
}

impl Dump<'_> {
    fn slots(&self) -> impl Iterator<Item = (u32, SlotReading)> {
        self.reader.slots().filter(|(_, reading)| self.whose.includes(reading.key)).inspect(|(_, reading)| {
            self.sum.set(self.sum.get().plus(&reading.counters));
        })
    }

    fn print<W: io::Write>(&self, mut out: Lines<W>) -> Result<Reply, Failure> {
        self.head().lines().for_each(|line| out.write(line));
        out.write("");
        out.write(&row("customer", "service", ["guaranteed", "burst", "rejected", "refused", "unserved"]));
        let mut slots = 0_u64;
        for (_, reading) in self.slots() {
            let SlotReading { key, counters } = reading;
            out.write(&figures(&key.customer.to_string(), key.service.name(), &counters));
            slots += 1;
            if out.is_over() {
                break;
            }
        }
        out.write(&figures("sum", &slots.to_string(), &self.sum.get()));
        out.end()
    }

    fn head(&self) -> String {
        let (slots, taken) = self.reader.fill();
        let percent = (taken as u128 * 100).checked_div(slots as u128).unwrap_or(0);
        let mut rows = vec![("file", self.file.display().to_string())];
        match (self.reader.header(), &self.damage) {
            (Some(header), _) => rows.extend([
                ("ledger", format!("{}, generation {}", header.id, header.generation)),
                ("created", created(header.created_at_ms)),
            ]),
            (None, damage) => {
                let damage = damage.as_deref().unwrap_or("its header cannot be read");
                rows.extend([
                    ("DAMAGED", damage.to_owned()),
                    (
                        "",
                        "NOTHING VOUCHES for what follows: numbers may be of another time, or of nobody"
                            .to_owned(),
                    ),
                ]);
            }
        }
        rows.push(("slots", format!("{slots}, {taken} taken ({percent} %)")));
        let damaged = self.reader.damaged_slots();
        if damaged > 0 {
            rows.push(("damaged slots", format!("{damaged}: their key names no customer; left out below")));
        }
        let unplaced = self.reader.unplaced();
        let occurred = Counter::ALL.into_iter().filter(|counter| unplaced.get(*counter) > 0);
        let occurred: Vec<_> =
            occurred.map(|counter| format!("{} {}", counter.word(), unplaced.get(counter))).collect();
        let for_nobody = if occurred.is_empty() { "nothing".to_owned() } else { occurred.join(", ") };
        rows.push(("for nobody", for_nobody));
        lines(&rows)
    }
}

fn created(unix_ms: u64) -> String {
    i64::try_from(unix_ms).map_or_else(|_| format!("{unix_ms} ms"), rfc3339_ms)
}

fn figures(customer: &str, service: &str, counters: &Counters) -> String {
    let [guaranteed, burst] = [counters.billed_guaranteed(), counters.billed_burst()].map(|n| n.to_string());
    let [rejected, refused, unserved] =
        [counters.rejected(), counters.refused(), counters.unserved()].map(|n| n.to_string());
    row(customer, service, [&guaranteed, &burst, &rejected, &refused, &unserved])
}

/// 98 columns, as long as no count has more than 15 digits.
fn row(customer: &str, service: &str, [g, b, j, r, u]: [&str; 5]) -> String {
    format!("{customer:>10}  {service:7} {g:>15} {b:>15} {j:>15} {r:>15} {u:>15}")
}

impl Serialize for Dump<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (slots, taken) = self.reader.fill();
        let header = self.reader.header();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("file", &self.file.display().to_string())?;
        map.serialize_entry("damage", &self.damage)?;
        map.serialize_entry("ledger", &header.map(|header| header.id.to_string()))?;
        map.serialize_entry("generation", &header.map(|header| header.generation))?;
        map.serialize_entry("created_at", &header.map(|header| created(header.created_at_ms)))?;
        map.serialize_entry("boot", &header.map(|header| format!("{:016x}", header.boot)))?;
        map.serialize_entry("slots_total", &slots)?;
        map.serialize_entry("slots_taken", &taken)?;
        map.serialize_entry("slots_damaged", &self.reader.damaged_slots())?;
        map.serialize_entry("unplaced", &ByWord(self.reader.unplaced()))?;
        map.serialize_entry("slots", &Slots(self))?;
        // After the slots, which have added to it.
        map.serialize_entry("sum", &Figures(self.sum.get()))?;
        map.end()
    }
}

struct Slots<'a>(&'a Dump<'a>);

impl Serialize for Slots<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Slot {
            slot: u32,
            customer_id: u32,
            service: &'static str,
            #[serde(flatten)]
            figures: Figures,
        }
        let mut list = serializer.serialize_seq(None)?;
        for (slot, SlotReading { key, counters }) in self.0.slots() {
            let (customer_id, service) = (key.customer.get(), key.service.name());
            list.serialize_element(&Slot { slot, customer_id, service, figures: Figures(counters) })?;
        }
        list.end()
    }
}

/// The figures, then the counters that they are made of.
struct Figures(Counters);

impl Serialize for Figures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("guaranteed", &self.0.billed_guaranteed())?;
        map.serialize_entry("burst", &self.0.billed_burst())?;
        map.serialize_entry("rejected", &self.0.rejected())?;
        map.serialize_entry("refused", &self.0.refused())?;
        map.serialize_entry("unserved", &self.0.unserved())?;
        map.serialize_entry("counters", &ByWord(self.0))?;
        map.end()
    }
}

/// All 16 counters by their words.
struct ByWord(Counters);

impl Serialize for ByWord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(Counter::ALL.map(|counter| (counter.word(), self.0.get(counter))))
    }
}
