// A wallet for tests: reads lines `{"scheme": …, "message": …}` and answers `{"address": …, "signature": …}` to each, with the
// official library. Without `message` it answers the address alone. The keys are made from fixed seeds.
import { Ed25519Keypair } from '@mysten/sui/keypairs/ed25519';
import { Secp256k1Keypair } from '@mysten/sui/keypairs/secp256k1';
import { Secp256r1Keypair } from '@mysten/sui/keypairs/secp256r1';
import { MultiSigPublicKey } from '@mysten/sui/multisig';
import { createInterface } from 'node:readline';

const seed = (byte) => new Uint8Array(32).fill(byte);
const ed25519 = Ed25519Keypair.fromSecretKey(seed(1));
const secp256k1 = Secp256k1Keypair.fromSecretKey(seed(2));
const secp256r1 = Secp256r1Keypair.fromSecretKey(seed(3));
const multisig = MultiSigPublicKey.fromPublicKeys({
  threshold: 2,
  publicKeys: [ed25519, secp256k1, secp256r1].map((pair) => ({ publicKey: pair.getPublicKey(), weight: 1 })),
});

const one = (pair) => ({
  address: pair.toSuiAddress(),
  sign: async (bytes) => (await pair.signPersonalMessage(bytes)).signature,
});
const many = (...pairs) => ({
  address: multisig.toSuiAddress(),
  sign: async (bytes) => {
    const signatures = await Promise.all(pairs.map(async (pair) => (await pair.signPersonalMessage(bytes)).signature));
    return multisig.combinePartialSignatures(signatures);
  },
});

const wallets = {
  ed25519: one(ed25519),
  secp256k1: one(secp256k1),
  secp256r1: one(secp256r1),
  'multisig 2 of 3': many(ed25519, secp256r1),
  'multisig 1 of 3': many(secp256k1),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { scheme, message } = JSON.parse(line);
  const { address, sign } = wallets[scheme];
  const signature = message === undefined ? undefined : await sign(new TextEncoder().encode(message));
  console.log(JSON.stringify({ address, signature }));
}
