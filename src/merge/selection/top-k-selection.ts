/**
 * Exact selection of the k largest magnitudes of a tensor, without sorting it.
 *
 * A sample brackets the k-th magnitude; one pass counts how the values lie about the bracket and collects the few
 * inside it; the host picks among those. Of equal magnitudes the lower index comes first, so the result is exact and
 * does not depend on the adapter. Should the sample mislead, bisection over the bits of f32 takes over. Passes: two,
 * and part of a third when the cut falls into a run of equal values.
 */
import { LANES, REDUCE_SPAN, spanGroups } from "../../gpu/grid.ts";
import { reduceParts } from "../job/reduce.ts";
import type { TensorInputs } from "../job/tensor-inputs.ts";
import { pick, quickselect } from "./quickselect.ts";
import { ALL, type Cut, NONE, type Ranked, type RankedPart } from "./ranked.ts";

/** Bits above those of every number. */
const LARGEST = 0x7fffffff;

/** From this size on an eighth of the values is looked at before all of them, so that few are left to collect. */
const LARGE = 1 << 18;
const STEP = 8;

/** Samples and candidates cost alike; together they are fewest with about this many samples. */
const sampleSize = (size: number): number =>
  size >= LARGE ? 1 << 13 : Math.min(size, Math.ceil((3 * size) ** (2 / 3)));

/** Candidates of one pass at most: 32 MB of them. */
const MOST_CANDIDATES = 1 << 22;

/** Width of the bracket in standard deviations of the sample's rank: at first, and when that was too narrow. */
const MARGINS = [3, 12];

/** A selection under way. */
interface Search {
  readonly ranked: Ranked;
  readonly top: number;
  low: number;
  high: number;
}

interface Sums {
  /** Values above the upper bound, equal to it, between the bounds, equal to the lower one. */
  above: number;
  high: number;
  between: number;
  low: number;
  /** Counts of every span, part after part. */
  readonly spans: { part: number; span: number; high: number; low: number }[];
}

interface Tally extends Readonly<Sums> {
  /** (bits, index) of the values between, or undefined when there are none or more than fit. */
  readonly candidates: Uint32Array | undefined;
}

/**
 * For each of `wanted` the cut that exactly `top` values are at or above. Selections on the same source share their
 * passes.
 */
export async function topCuts(
  inputs: TensorInputs,
  wanted: readonly { ranked: Ranked; top: number }[],
): Promise<Cut[]> {
  const cuts = wanted.map(({ ranked, top }) => (top <= 0 ? NONE : top >= ranked.size ? ALL : undefined));
  const searches = wanted.map(({ ranked, top }): Search => ({ ranked, top, low: 0, high: LARGEST }));
  const open = searches.filter((_, i) => cuts[i] === undefined);
  const sources = Map.groupBy(open, (search) => search.ranked.source);
  const found = new Map<Search, Cut>();
  await Promise.all(
    [...sources.values()].map(async (group) => {
      let left = group;
      for (const margin of MARGINS) {
        if (left.length === 0) break;
        await bracket(inputs, left, margin);
        if (left[0]!.ranked.size >= LARGE) await narrow(inputs, left, margin);
        const tallies = await tally(inputs, left, 1);
        for (const [i, search] of left.entries()) {
          const cut = await settle(inputs, search, tallies[i]!);
          if (cut) found.set(search, cut);
        }
        left = left.filter((search) => !found.has(search));
      }
      for (const search of left) found.set(search, await bisect(inputs, search));
    }),
  );
  return searches.map((search, i) => cuts[i] ?? found.get(search)!);
}

/** Sets bounds that very likely hold the k-th magnitude, from a sample. */
async function bracket(inputs: TensorInputs, group: readonly Search[], deviations: number): Promise<void> {
  const { ranked } = group[0]!;
  const kernel = await inputs.gpu.kernel("top-k-selection/sample-magnitudes", { flags: ranked.flags });
  const most = sampleSize(ranked.size);
  const room = 4 * (most + ranked.parts); // every part takes at least one
  const samples = group.map(() => inputs.gpu.buffer(room, `${inputs.name} sample`));
  let taken = 0;
  await ranked.each((part) => {
    const count = Math.max(1, Math.round((most * part.length) / ranked.size));
    for (const [i, search] of group.entries()) {
      inputs.gpu.run(kernel, {
        bind: { source: part.source, sample: samples[i]!.buffer },
        params: { n: part.length, pitch: part.pitch, slot: search.ranked.slot, count, offset: taken },
        invocations: count,
      });
    }
    taken += count;
  });
  await Promise.all(
    group.map(async (search, i) => {
      const sample = await inputs.gpu.readWords(samples[i]!.buffer, taken).finally(() => samples[i]!.free());
      // Ascending position of the k-th largest, and some standard deviations of it on either side.
      const share = 1 - (search.top - 0.5) / ranked.size;
      const margin = deviations * Math.sqrt(taken * share * (1 - share)) + 2;
      const below = Math.floor(share * taken - margin);
      const above = Math.ceil(share * taken + margin);
      search.high = above < taken ? quickselect(sample, above) : LARGEST;
      search.low = below >= 0 ? quickselect(sample, below) : 0;
    }),
  );
}

/** Values in a span of `length` that a pass with this step looks at. */
function lookedAt(length: number, step: number): number {
  let values = 0;
  for (let at = 0; at < length; at += 4 * LANES * step) values += Math.min(4 * LANES, length - at);
  return values;
}

/** Tightens the bounds by what an eighth of the values says. */
async function narrow(inputs: TensorInputs, group: readonly Search[], deviations: number): Promise<void> {
  const { size } = group[0]!.ranked;
  const looked = Math.floor(size / (4 * REDUCE_SPAN)) * lookedAt(4 * REDUCE_SPAN, STEP);
  for (const [i, t] of (await tally(inputs, group, STEP)).entries()) {
    const search = group[i]!;
    if (!t.candidates) continue;
    const share = (search.top - 0.5) / size;
    const margin = deviations * Math.sqrt(looked * share * (1 - share)) + 2;
    // Ranks from 0, largest first, among the candidates: those before them are at or above the upper bound.
    const first = Math.floor(share * looked - margin) - t.above - t.high;
    const last = Math.ceil(share * looked + margin) - t.above - t.high;
    if (first >= 0 && first < t.between) search.high = pick(t.candidates, first).bits;
    if (last >= 0 && last < t.between) search.low = pick(t.candidates, last).bits;
  }
}

/** Counts and collects for every search of a group in one pass over all values, or over every step-th 256 of them. */
async function tally(inputs: TensorInputs, group: readonly Search[], step: number): Promise<Tally[]> {
  const { gpu } = inputs;
  const { ranked } = group[0]!;
  const K = group.length;
  const kernel = await gpu.kernel("top-k-selection/count", { flags: ranked.flags, constants: { K } });
  const capacity = Math.min(Math.ceil(ranked.size / 24 / step) + 1024, Math.floor(MOST_CANDIDATES / K));
  using candidates = gpu.buffer(8 * capacity * K, `${inputs.name} candidates`);
  using cursors = gpu.upload(new Uint32Array(K), `${inputs.name} cursors`);
  const limits = group.flatMap(({ ranked: { slot }, low, high }) => [slot, low, high, 0]);
  using bounds = gpu.upload(new Uint32Array(limits), `${inputs.name} bounds`);
  const sums = group.map((): Sums => ({ above: 0, high: 0, between: 0, low: 0, spans: [] }));
  const each = (visit: (part: RankedPart) => void) => ranked.each(visit);
  await reduceParts(gpu, inputs.name, kernel, each, {
    type: "u32",
    count: ({ length }) => K * WIDTH * Math.ceil(Math.ceil(length / 4) / REDUCE_SPAN),
    dispatch: ({ source, length, pitch, start }, counts) => ({
      bind: { source, bounds: bounds.buffer, counts, cursors: cursors.buffer, candidates: candidates.buffer },
      params: { n: length, pitch, start, capacity, step },
      groups: spanGroups(Math.ceil(length / 4), REDUCE_SPAN),
    }),
    fold: (counts, part) => {
      for (const [k, search] of group.entries()) addUp(sums[k]!, counts, { part, search, k, K });
    },
  });
  return Promise.all(
    sums.map(async (sum, k) => {
      const fits = sum.between > 0 && sum.between <= capacity;
      const place = 8 * capacity * k;
      const found = fits ? await gpu.readWords(candidates.buffer, 2 * sum.between, place) : undefined;
      return { ...sum, candidates: found };
    }),
  );
}

/** Counts that a span of one search leaves: four from every lane. */
const WIDTH = 4 * LANES;

/** Adds what one part holds for the k-th of K searches, in all and span by span. */
function addUp(
  sums: Sums,
  counts: Uint32Array,
  { part, search, k, K }: { part: RankedPart; search: Search; k: number; K: number },
): void {
  const zeros = 4 * Math.ceil(part.length / 4) - part.length;
  for (let at = k * WIDTH; at < counts.length; at += K * WIDTH) {
    const span = { part: part.index, span: Math.floor(at / (K * WIDTH)), high: 0, low: 0 };
    for (let lane = at; lane < at + WIDTH; lane += 4) {
      sums.above += counts[lane]!;
      span.high += counts[lane + 1]!;
      sums.between += counts[lane + 2]!;
      span.low += counts[lane + 3]!;
    }
    // Padding at the end of a part was counted as zeros.
    const padding = at + K * WIDTH >= counts.length ? zeros : 0;
    if (search.high === 0) span.high -= padding;
    if (search.low === 0) span.low -= padding;
    sums.high += span.high;
    sums.low += span.low;
    sums.spans.push(span);
  }
}

/** The cut, if the tally decides it. */
async function settle(inputs: TensorInputs, search: Search, t: Tally): Promise<Cut | undefined> {
  const { low, high } = search;
  let rank = search.top - 1 - t.above; // from 0, among those not above
  if (rank < 0) return undefined;
  if (rank < t.high) return { bits: high, index: await locate(inputs, search.ranked, t, "high", high, rank) };
  rank -= t.high;
  if (rank < t.between) return t.candidates && pick(t.candidates, rank);
  rank -= t.between;
  if (low === high || rank >= t.low) return undefined;
  return { bits: low, index: await locate(inputs, search.ranked, t, "low", low, rank) };
}

/** Index of the r-th value with these bits, found in the span that the counts point at. */
async function locate(inputs: TensorInputs, ranked: Ranked, t: Tally, which: "high" | "low", bits: number, r: number) {
  let left = r;
  const place = t.spans.find((span) => {
    if (left < span[which]) return true;
    left -= span[which];
    return false;
  });
  if (!place) throw new Error(`${inputs.name}: selection lost count`);
  const kernel = await inputs.gpu.kernel("top-k-selection/locate", { flags: ranked.flags });
  using found = inputs.gpu.upload(new Uint32Array([0xffffffff]), `${inputs.name} found`);
  await ranked.only(place.part, (part) => {
    const { length: n, pitch, start } = part;
    inputs.gpu.run(kernel, {
      bind: { source: part.source, found: found.buffer },
      params: { n, pitch, slot: ranked.slot, start, span: place.span, bits, r: left },
      groups: [1],
    });
  });
  return (await inputs.gpu.readWords(found.buffer, 1))[0]!;
}

/** Halves the range of bits until one value is left. At most 31 passes; needed only when a sample misleads. */
async function bisect(inputs: TensorInputs, { ranked, top }: Search): Promise<Cut> {
  let low = 0;
  let high = LARGEST;
  while (true) {
    const middle = low + Math.floor((high - low) / 2);
    const [t] = await tally(inputs, [{ ranked, top, low: middle, high: middle }], 1);
    if (top <= t!.above) low = middle + 1;
    else if (top <= t!.above + t!.high) {
      return { bits: middle, index: await locate(inputs, ranked, t!, "high", middle, top - 1 - t!.above) };
    } else high = middle - 1;
  }
}
