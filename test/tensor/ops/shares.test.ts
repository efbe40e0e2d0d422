/** Tokens that are shared out by chance: equal parts, whole, without padding; and rows that find their way back. */
import { describe, expect, test } from "bun:test";
import { collect, dispatch } from "../../../src/tensor/ops/moe.ts";
import { randomShares } from "../../../src/tensor/ops/shares.ts";
import { Program, profileOf } from "../../../src/tensor/program.ts";
import { Recorder } from "../../../src/tensor/recorder.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";

covers("moe/share-out");

const gpu = await sharedGpu();
const KEY = "a block";

/** random_bits of wgsl/lib/random.wgsl. */
function bits(index: number, key: number, seed: number): number {
  let h = (index ^ key) >>> 0;
  h = (h ^ (h >>> 17)) >>> 0;
  h = Math.imul(h, 0xed5ad4bb) >>> 0;
  h = (h ^ (h >>> 11)) >>> 0;
  h = (h + seed) >>> 0;
  h = Math.imul(h, 0xac4c1b51) >>> 0;
  h = (h ^ (h >>> 15)) >>> 0;
  h = Math.imul(h, 0x31848bab) >>> 0;
  return (h ^ (h >>> 14)) >>> 0;
}

/** The expert of every token, by a sort. */
function expected(tokens: number, experts: number, seed: number, shares?: Float32Array): number[] {
  const key = Number(BigInt.asUintN(32, BigInt(Bun.hash.xxHash32(KEY))));
  const counting = Array.from({ length: tokens }, (_, i) => i).filter((i) => !shares || shares[i]! > 0);
  const order = counting.map((i) => [bits(i, key, seed), i] as const).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const found = new Array<number>(tokens).fill(experts - 1);
  for (const [rank, [, i]] of order.entries()) found[i] = Math.floor((rank * experts) / counting.length);
  return found;
}

async function sharedOut(tokens: number, experts: number, seed: number, shares?: Float32Array) {
  const rec = new Recorder(profileOf(gpu), { training: true });
  const given = shares && rec.input("shares", [tokens, 1]);
  const plan = randomShares(rec, { tokens, experts, shares: given, key: KEY });
  for (const name of ["slots", "places", "offsets"] as const) rec.output(name, plan[name]);
  const program = await Program.compile(gpu, rec);
  if (shares) program.write("shares", shares);
  program.run({ seed });
  const [slots, places, offsets] = await Promise.all(
    ["slots", "places", "offsets"].map(async (name) => [...(await program.readWords(name))]),
  );
  program.free();
  return { slots: slots!, places: places!, offsets: offsets! };
}

const SIZES = [
  [1, 1],
  [3, 4],
  [64, 4],
  [65, 3],
  [257, 5],
] as const;

describe.each(SIZES)("%d tokens, %d experts", (tokens, experts) => {
  test.each([false, true])("are shared out as a sort of random numbers does; padding: %p", async (padded) => {
    const shares = padded ? Float32Array.from({ length: tokens }, (_, i) => (i % 3 === 1 ? 0 : 0.5)) : undefined;
    const { slots, places, offsets } = await sharedOut(tokens, experts, 7, shares);
    const experts_of = expected(tokens, experts, 7, shares);
    const order = Array.from({ length: tokens }, (_, i) => i).sort((a, b) => experts_of[a]! - experts_of[b]! || a - b);
    expect(slots).toEqual(order);
    expect(places).toEqual(order.map((_, i) => order.indexOf(i)));
    const counting = shares?.filter((share) => share > 0).length ?? tokens;
    const sizes = Array.from({ length: experts }, (_, e) => offsets[e + 1]! - offsets[e]!);
    sizes[experts - 1]! -= tokens - counting;
    expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
  });
});

test("another seed shares them out in another way, the same in the same", async () => {
  const [a, again, b] = [await sharedOut(64, 4, 1), await sharedOut(64, 4, 1), await sharedOut(64, 4, 2)];
  expect(again).toEqual(a);
  expect(b.slots).not.toEqual(a.slots);
});

test("rows that are collected are those that were sent, and gradients go back to their tokens", async () => {
  const [tokens, width] = [9, 5];
  const rec = new Recorder(profileOf(gpu), { training: true });
  const x = rec.watched(rec.input("x", [tokens, width]));
  const plan = randomShares(rec, { tokens, experts: 2, key: KEY });
  const y = collect(rec, dispatch(rec, x, plan), plan);
  rec.output("y", y);
  rec.backward([[y, rec.input("dy", [tokens, width])]]);
  const dx = rec.incoming(x)!;
  rec.output("dx", dx);
  const program = await Program.compile(gpu, rec);
  const [values, dy] = [normals(1, tokens * width), normals(2, tokens * width)];
  program.write("x", values);
  program.write("dy", dy);
  program.run({ seed: 3 });
  expect(await program.read("y")).toEqual(values);
  expect(await program.read("dx")).toEqual(dy);
  program.free();
});
