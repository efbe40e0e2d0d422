/**
 * bitsandbytes NF4 and FP4: W = quant_map[q] * absmax[n / blocksize]. Dettmers et al. 2023,
 * https://arxiv.org/abs/2305.14314.
 *
 * The codes are two to a byte, high nibble first, in the order of the weights; the shape stands in the JSON of
 * `weight.quant_state.bitsandbytes__nf4`. Nested: absmax is U8 and stands for
 * nested_quant_map[code] * nested_absmax[block / nested_blocksize] + nested_offset.
 */
import { decodeText, isObject, type JsonObject, parseJson, show } from "../../json.ts";
import type { TensorEntry } from "../checkpoint.ts";
import { companion, type Decoded, described, expectShape, type Layout, refusal, type Stored } from "./contract.ts";
import type { StoredMatrix } from "./matrix.ts";
import { readBytes, readFloats, readScales } from "./read.ts";
import { nibbles, scaleDtype } from "./scale-rows.ts";

const NAME = "bitsandbytes 4 bit";
/** The JSON is a few hundred bytes. */
const MAX_STATE = 64 << 10;
/** Columns below which scales are too many to be held beside the codes. */
const LEAST_GROUP = 8;

interface State {
  readonly shape: readonly number[];
  readonly blocksize: number;
  readonly nestedBlocksize: number;
  readonly nestedOffset: number;
}

const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) > 0;

/** Reads the JSON beside the codes. */
async function stateOf(codes: TensorEntry, entry: TensorEntry, stored: Stored): Promise<State> {
  if (!stored.seekable) {
    throw refusal(
      stored,
      NAME,
      `the shape of ${show(codes.name)} stands in the data of ${show(entry.name)}, which a pipe brings too late`,
      "name the file or folder instead of the pipe",
    );
  }
  if (entry.bytes > MAX_STATE) throw refusal(stored, NAME, `${described(entry)}; expected some JSON`);
  const what = `${stored.ref}: ${show(entry.name)}`;
  const { value } = parseJson(decodeText(await readBytes(entry, 0, entry.bytes), what), what);
  const state: JsonObject = isObject(value) ? value : {};
  const { shape, blocksize, nested_blocksize: nestedBlocksize = 256, nested_offset: nestedOffset = 0 } = state;
  const count = Array.isArray(shape) && shape.every(isSize) ? shape.reduce((a, b) => a * b, 1) : Number.NaN;
  if (
    !isSize(blocksize) ||
    !isSize(nestedBlocksize) ||
    typeof nestedOffset !== "number" ||
    Math.ceil(count / 2) !== codes.bytes
  ) {
    const said = show(JSON.stringify({ shape, blocksize }));
    throw refusal(stored, NAME, `${described(codes)} of ${codes.bytes} bytes does not fit its quant_state ${said}`);
  }
  return { shape: shape as number[], blocksize, nestedBlocksize, nestedOffset };
}

async function find(codes: TensorEntry, stored: Stored): Promise<Decoded> {
  const of = (suffix: string) => `${codes.name}.${suffix}`;
  const kind = ["nf4", "fp4"].find((name) => stored.tensors.has(of(`quant_state.bitsandbytes__${name}`))) ?? "nf4";
  const entry = companion(stored, NAME, codes, of(`quant_state.bitsandbytes__${kind}`), ["U8"]);
  const state = await stateOf(codes, entry, stored);
  const absmax = companion(stored, NAME, codes, of("absmax"), ["F32", "F16", "BF16", "U8"]);
  const map = companion(stored, NAME, codes, of("quant_map"), ["float"]);
  const blocks = Math.ceil((2 * codes.bytes) / state.blocksize);
  const count = state.shape.reduce((a, b) => a * b, 1);
  expectShape(stored, NAME, absmax, [Math.min(blocks, Math.ceil(count / state.blocksize))]);
  expectShape(stored, NAME, map, [16]);
  const nested = absmax.dtype === "U8";
  const scales = nested && companion(stored, NAME, codes, of("nested_absmax"), ["float"]);
  const nestedMap = nested && companion(stored, NAME, codes, of("nested_quant_map"), ["float"]);
  if (scales) expectShape(stored, NAME, scales, [Math.ceil(absmax.shape[0]! / state.nestedBlocksize)]);
  if (nestedMap) expectShape(stored, NAME, nestedMap, [256]);
  const inner = scales && nestedMap ? { scales, map: nestedMap } : undefined;
  return {
    ...{ layout: `bitsandbytes ${kind.toUpperCase()}`, bits: 4, name: codes.name, shape: state.shape },
    group: `blocks of ${state.blocksize}${nested ? ", nested" : ""}`,
    consumes: [codes, absmax, map, entry, inner?.scales, inner?.map].flatMap((tensor) => tensor?.name ?? []),
    decode: decoder(stored, codes, { absmax, map, inner }, state),
    matrix: matrixOf(stored, codes, { absmax, map, inner }, state),
  };
}

interface Companions {
  readonly absmax: TensorEntry;
  readonly map: TensorEntry;
  readonly inner: { scales: TensorEntry; map: TensorEntry } | undefined;
}

function decoder(stored: Stored, codes: TensorEntry, companions: Companions, state: State): Decoded["decode"] {
  const { blocksize } = state;
  return async (into, first) => {
    const from = Math.floor(first / 2);
    const stored4 = await codesOf(codes, from, Math.ceil((first + into.length) / 2) - from);
    const map = await readFloats(companions.map, 0, 16);
    const block = Math.floor(first / blocksize);
    const scales = await scalesOf(
      stored,
      companions,
      state,
      block,
      Math.ceil((first + into.length) / blocksize) - block,
    );
    const odd = first - 2 * from;
    for (let at = 0; at < into.length; ) {
      const own = Math.floor((first + at) / blocksize);
      const stop = Math.min(into.length, (own + 1) * blocksize - first);
      const scale = scales[own - block]!;
      for (; at < stop; at++) {
        const n = at + odd;
        into[at] = map[(stored4[n >> 1]! >> ((~n & 1) << 2)) & 15]! * scale;
      }
    }
  };
}

/** Most columns that divide a row and a block: no group of them lies in two blocks. */
const commonSize = (a: number, b: number): number => (b === 0 ? a : commonSize(b, a % b));

function matrixOf(stored: Stored, codes: TensorEntry, companions: Companions, state: State): StoredMatrix | undefined {
  const { shape, blocksize } = state;
  const columns = shape.at(-1)!;
  const group = commonSize(columns, blocksize);
  const rows = shape.slice(0, -1).reduce((all, side) => all * side, 1);
  if (shape.length < 2 || group < LEAST_GROUP) return undefined;
  return {
    ...{ rows, columns, bits: 4, group, transposed: false, with: "levels", indexed: false },
    scaleDtype: companions.inner ? "F32" : scaleDtype(companions.absmax),
    async read(first, count) {
      const [from, to] = [first * columns, (first + count) * columns];
      const bytes = await codesOf(codes, Math.floor(from / 2), Math.ceil(to / 2) - Math.floor(from / 2));
      const fields = nibbles(bytes, false);
      const block = Math.floor(from / blocksize);
      const absmax = await scalesOf(stored, companions, state, block, Math.ceil(to / blocksize) - block);
      const scales = new Float32Array((to - from) / group);
      for (let g = 0; g < scales.length; g++) scales[g] = absmax[Math.floor((from + g * group) / blocksize) - block]!;
      return {
        ...{ rows: count, columns, bits: 4, group, scales },
        levels: await readFloats(companions.map, 0, 16),
        codes: fields.subarray(from % 2, (from % 2) + to - from),
      };
    },
  };
}

/** Codes may be stored in words of any type; the bytes are the same. */
const codesOf = (codes: TensorEntry, from: number, count: number) => readBytes(codes, from, count);

async function scalesOf(
  stored: Stored,
  { absmax, inner }: Companions,
  { nestedBlocksize, nestedOffset }: State,
  first: number,
  count: number,
): Promise<Float32Array> {
  if (inner === undefined) return readScales(stored, absmax, first, count);
  const codes = await readBytes(absmax, first, count);
  const map = await readFloats(inner.map, 0, 256);
  const block = Math.floor(first / nestedBlocksize);
  const outer = await readScales(stored, inner.scales, block, Math.ceil((first + count) / nestedBlocksize) - block);
  // In f32 step by step, as bitsandbytes computes it.
  return Float32Array.from(codes, (code, k) => {
    return Math.fround(map[code]! * outer[Math.floor((first + k) / nestedBlocksize) - block]!) + nestedOffset;
  });
}

export const layout: Layout = {
  name: NAME,
  methods: ["bitsandbytes"],
  find: (entry, stored) => (stored.tensors.has(`${entry.name}.absmax`) ? find(entry, stored) : undefined),
};
