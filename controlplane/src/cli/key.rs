//! `suiftly key …`: keys and a keyring file, without a database.

use crate::cli::reply::lines;
use crate::cli::{Exit, Failure, Reply, key_text};
use crate::config::Config;
use crate::domain::keys::refused_version;
use crate::keyring;
use apikey::{CustomerId, DecodedKey, Derivation, Fingerprint, Group, Service, VerifiedKey, Version};
use clap::{Args, Subcommand};
use edgeformat::{Keyring, Reason};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What can be done with a key and a keyring.
#[derive(Subcommand, Debug)]
pub enum KeyCommand {
    /// Compute the key of given numbers; nothing is stored
    #[command(after_help = "Example:\n  suiftly key mint --customer 305419896 --service seal --derivation 1")]
    Mint(MintArguments),
    /// Take a key apart; nothing is proved
    #[command(after_help = "Example:\n  suiftly key inspect --key -  < file-with-the-key")]
    Inspect {
        /// The key, or - to read it from stdin, where no list of processes shows it
        #[arg(long, value_name = "TEXT")]
        key: String,
    },
    /// Say whether a key is authentic; exit code 4 where it is not
    #[command(after_help = "Example:\n  suiftly key verify --key -  < file-with-the-key")]
    Verify {
        /// The key, or - to read it from stdin, where no list of processes shows it
        #[arg(long, value_name = "TEXT")]
        key: String,
        /// The keyring file; without it $SUIFTLY_KEYRING
        #[arg(long, value_name = "FILE")]
        keyring: Option<PathBuf>,
    },
}

/// The numbers of a key.
#[derive(Args, Debug)]
pub struct MintArguments {
    /// The customer's id
    #[arg(long, value_name = "N")]
    customer: CustomerId,
    /// seal, grpc or graphql
    #[arg(long, value_name = "NAME")]
    service: Service,
    /// Which of the customer's keys in the group it is, 1 to 1023
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1023))]
    derivation: u32,
    /// The master key group, 0 to 31; without it the keyring's default
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=31))]
    group: Option<u8>,
    /// 1, or 0 where the group accepts it
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=1))]
    key_version: u8,
    /// The keyring file; without it $SUIFTLY_KEYRING
    #[arg(long, value_name = "FILE")]
    keyring: Option<PathBuf>,
}

/// Runs one of them.
///
/// # Errors
/// [`Failure`].
pub fn run(command: &KeyCommand, config: &Config) -> Result<Reply, Failure> {
    match command {
        KeyCommand::Mint(arguments) => mint(arguments, config),
        KeyCommand::Inspect { key } => {
            let fields = Fields::of(&key_text::decode(key)?);
            let text = lines(&fields.rows());
            Reply::new(&fields, text)
        }
        KeyCommand::Verify { key, keyring } => verify(key, keyring.as_deref(), config),
    }
}

/// What stands in a key, proved or not. The text of the key is not among it.
#[derive(Serialize)]
pub struct Fields {
    fingerprint: String,
    service: &'static str,
    group: u8,
    derivation: u32,
    version: u8,
    imported: bool,
    customer_id: u32,
}

impl Fields {
    /// The fields of a key.
    pub fn of(key: &DecodedKey) -> Self {
        Self::from_parts(key.fingerprint(), key.service(), key.version())
    }

    fn from_parts(fingerprint: Fingerprint, service: Service, version: Version) -> Self {
        Self {
            fingerprint: fingerprint.to_string(),
            service: service.name(),
            group: fingerprint.group().get(),
            derivation: fingerprint.derivation_bits(),
            version: version.number(),
            imported: fingerprint.imported(),
            customer_id: fingerprint.customer_bits(),
        }
    }

    /// The same for people.
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        let imported = if self.imported { ", imported" } else { "" };
        vec![
            ("fingerprint", self.fingerprint.clone()),
            ("customer", self.customer_id.to_string()),
            ("service", self.service.to_owned()),
            (
                "derivation",
                format!("{} in group {}, version {}{imported}", self.derivation, self.group, self.version),
            ),
        ]
    }
}

/// Whether an edge with this keyring would take the key for authentic: the same steps in the same order.
///
/// # Errors
/// The reason that the edge would give.
pub fn authenticate(keyring: &Keyring, key: &DecodedKey) -> Result<VerifiedKey, Reason> {
    if !keyring::accepts(keyring, key.version(), key.group()) {
        return Err(Reason::UnsupportedVersion);
    }
    let mac = keyring::mac_of(keyring, key.group()).ok_or(Reason::UnknownGroup)?;
    Ok(key.authenticate(&mac)?)
}

#[derive(Serialize)]
struct Minted<'a> {
    api_key: &'a str,
    #[serde(flatten)]
    fields: Fields,
}

fn mint(arguments: &MintArguments, config: &Config) -> Result<Reply, Failure> {
    let keyring = load(arguments.keyring.as_deref(), config)?;
    let out_of_range = |what: &str| Failure::new(Exit::Usage, format!("{what} is out of its range"));
    let group = match arguments.group {
        None => keyring.default_group,
        Some(group) => Group::new(group).ok_or_else(|| out_of_range("--group"))?,
    };
    let version = Version::from_number(arguments.key_version).ok_or_else(|| out_of_range("--key-version"))?;
    let derivation = Derivation::new(arguments.derivation).ok_or_else(|| out_of_range("--derivation"))?;
    let mac = keyring::mac_of(&keyring, group).ok_or_else(|| {
        Failure::new(Exit::NotFound, format!("the keyring has no group {group}; add it under [groups]"))
    })?;
    if !keyring::accepts(&keyring, version, group) {
        return Err(refused_version(group).into());
    }
    let text = apikey::issue(version, arguments.service, group, derivation, arguments.customer, &mac);
    let fingerprint = Fingerprint::of(version, group, derivation, arguments.customer);
    let fields = Fields::from_parts(fingerprint, arguments.service, version);
    let mut rows = vec![("key", text.as_str().to_owned())];
    rows.extend(fields.rows());
    let shown = lines(&rows);
    Reply::new(&Minted { api_key: text.as_str(), fields }, shown)
}

#[derive(Serialize)]
struct Verified {
    authentic: bool,
    #[serde(flatten)]
    fields: Fields,
}

fn verify(argument: &str, keyring: Option<&Path>, config: &Config) -> Result<Reply, Failure> {
    let keyring = load(keyring, config)?;
    let decoded = key_text::decode_or(argument, Exit::Refused)?;
    authenticate(&keyring, &decoded).map_err(|reason| {
        let what =
            format!("the key {} is not authentic: {} ({reason})", decoded.fingerprint(), reason.title());
        Failure::new(Exit::Refused, what)
    })?;
    let fields = Fields::of(&decoded);
    let mut rows = fields.rows();
    rows.push(("authentic", "yes".to_owned()));
    let text = lines(&rows);
    Reply::new(&Verified { authentic: true, fields }, text)
}

fn load(named: Option<&Path>, config: &Config) -> Result<Keyring, Failure> {
    Ok(keyring::load(named.unwrap_or(&config.keyring.file))?)
}
