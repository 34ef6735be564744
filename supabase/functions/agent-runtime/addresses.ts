// Which addresses a request may be sent to (`foundation/outbound/addresses.py`): public ones only.
//
// Pure. Sources: the IANA special-purpose address registries; RFC 6052 (NAT64); the metadata pages of the clouds.

type Range = readonly [first: bigint, bits: number];

const BITS_V4 = 32;
const BITS_V6 = 128;

const CLOSED_V4 = [
  "0.0.0.0/8", // this network
  "10.0.0.0/8", // private
  "100.64.0.0/10", // carrier-grade NAT, and the metadata service of one cloud
  "127.0.0.0/8", // this machine
  "168.63.129.16/32", // host service of one cloud
  "169.254.0.0/16", // link-local, and the metadata service of most clouds
  "172.16.0.0/12", // private
  "192.0.0.0/24", // protocol assignments
  "192.0.2.0/24", // documentation
  "192.31.196.0/24", // AS112
  "192.52.193.0/24", // AMT
  "192.88.99.0/24", // 6to4 relays
  "192.168.0.0/16", // private
  "192.175.48.0/24", // AS112
  "198.18.0.0/15", // benchmarking
  "198.51.100.0/24", // documentation
  "203.0.113.0/24", // documentation
  "224.0.0.0/4", // multicast
  "240.0.0.0/4", // reserved, broadcast
].map((text) => range(text, BITS_V4));
const UNICAST_V6 = range("2000::/3", BITS_V6);
const CLOSED_V6 = [
  "2001::/23", // protocol assignments; Teredo and ORCHID among them
  "2001:db8::/32", // documentation
  "2002::/16", // 6to4: carries any IPv4 address
  "2620:4f:8000::/48", // AS112
  "3fff::/20", // documentation
].map((text) => range(text, BITS_V6));
// Prefixes whose last 32 bits are the IPv4 address that is really meant.
const CARRIERS_OF_V4 = ["::ffff:0:0/96", "64:ff9b::/96"].map((text) => range(text, BITS_V6));

/** Whether `address`, a literal, may be connected to; what cannot be read may not. */
export function isPublic(address: string): boolean {
  const v4 = readV4(address);
  if (v4 !== null) return isPublicV4(v4);
  const v6 = readV6(address);
  if (v6 === null) return false;
  if (CARRIERS_OF_V4.some((each) => isIn(v6, each, BITS_V6))) return isPublicV4(v6 & 0xffff_ffffn);
  return isIn(v6, UNICAST_V6, BITS_V6) && !CLOSED_V6.some((each) => isIn(v6, each, BITS_V6));
}

function isPublicV4(value: bigint): boolean {
  return !CLOSED_V4.some((each) => isIn(value, each, BITS_V4));
}

function isIn(value: bigint, [first, bits]: Range, width: number): boolean {
  const shift = BigInt(width - bits);
  return value >> shift === first >> shift;
}

function range(text: string, width: number): Range {
  const [address = "", bits = ""] = text.split("/");
  const first = width === BITS_V4 ? readV4(address) : readV6(address);
  return [first ?? 0n, Number(bits)];
}

function readV4(text: string): bigint | null {
  const parts = text.split(".");
  if (
    parts.length !== 4 || !parts.every((each) => /^(0|[1-9][0-9]{0,2})$/.test(each) && Number(each) < 256)
  ) {
    return null;
  }
  return parts.reduce((value, each) => (value << 8n) + BigInt(each), 0n);
}

/** One with a scope is none: it leads to a network of this machine. */
function readV6(text: string): bigint | null {
  if (!text.includes(":") || !URL.canParse(`http://[${text}]/`)) return null;
  const [left = "", right] = new URL(`http://[${text}]/`).hostname.slice(1, -1).split("::");
  const head = groups(left);
  const tail = groups(right ?? "");
  const zeros = right === undefined ? [] : Array(8 - head.length - tail.length).fill(0n);
  return [...head, ...zeros, ...tail].reduce((value, each) => (value << 16n) + each, 0n);
}

function groups(text: string): bigint[] {
  return text === "" ? [] : text.split(":").map((each) => BigInt(`0x${each}`));
}
