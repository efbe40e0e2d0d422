/**
 * Quantised checkpoints with damaged companions: each is decoded or refused with a UserError, and every tensor that
 * comes out can be read whole. Damage: tensors dropped, renamed, of another type or shape, flipped bytes, odd configs.
 */
import { afterAll, expect, test } from "bun:test";
import fc from "fast-check";
import { DTYPE_BYTES, type Dtype } from "../../../src/checkpoint/dtype.ts";
import { dequantized } from "../../../src/checkpoint/quantized/dequantize.ts";
import { UserError } from "../../../src/errors.ts";
import { HANG_MS } from "../../support/hang.ts";
import { bytesOf, type Made, make } from "../sample.ts";
import { checkpointOf, everyLayout, random } from "./encode.ts";

const SEED = 20_261;
const ALL = Object.entries(everyLayout(random(9)));
const counts = new Map<string, number>();
const bump = (kind: string) => counts.set(kind, (counts.get(kind) ?? 0) + 1);

const place = fc.nat(2 ** 30 - 1).map((n) => n / 2 ** 30);
const damage = fc.oneof(
  fc.record({ op: fc.constant("drop" as const), at: place }),
  fc.record({ op: fc.constant("rename" as const), at: place, to: place }),
  fc.record({
    op: fc.constant("dtype" as const),
    at: place,
    dtype: fc.constantFrom(...(Object.keys(DTYPE_BYTES) as Dtype[])),
  }),
  fc.record({ op: fc.constant("shape" as const), at: place, shape: fc.array(fc.nat(40), { maxLength: 4 }) }),
  fc.record({ op: fc.constant("side" as const), at: place, axis: fc.nat(3), by: fc.integer({ min: -3, max: 3 }) }),
  fc.record({ op: fc.constant("flip" as const), at: place, byte: place, bit: fc.nat(7) }),
);
type Damage = typeof damage extends fc.Arbitrary<infer T> ? T : never;

const oddValue = fc.constantFrom<unknown>(
  0,
  -1,
  1.5,
  3,
  4,
  1e9,
  2 ** 60,
  null,
  true,
  "",
  "gptq",
  [],
  {},
  [0, 0],
  [1, 1e18],
);
const configEdit = fc.record({
  key: fc.constantFrom("quant_method", "bits", "group_size", "weight_block_size", "config_groups", "version", "format"),
  value: oddValue,
});

function damaged(tensors: readonly Made[], edit: Damage): Made[] {
  const index = Math.floor(edit.at * tensors.length);
  const one = tensors[index];
  if (one === undefined) return [...tensors];
  const put = (tensor: Made) => tensors.map((other, k) => (k === index ? tensor : other));
  switch (edit.op) {
    case "drop":
      return tensors.toSpliced(index, 1);
    case "rename": {
      const other = tensors[Math.floor(edit.to * tensors.length)]!;
      return put({ ...one, name: `${other.name}x`.slice(0, -1 - (index % 2)) }).filter(
        ({ name }, k, all) => all.findIndex((tensor) => tensor.name === name) === k,
      );
    }
    case "dtype":
      return put(make({ [one.name]: [edit.dtype, [...one.shape]] })[0]!);
    case "shape":
      return put(make({ [one.name]: [one.dtype, edit.shape] })[0]!);
    case "side": {
      const shape = one.shape.map((side, axis) => (axis === edit.axis ? Math.max(0, side + edit.by) : side));
      return put(make({ [one.name]: [one.dtype, shape] })[0]!);
    }
    case "flip": {
      const data = one.data.slice();
      const at = Math.floor(edit.byte * data.length);
      if (at < data.length) data[at]! ^= 1 << edit.bit;
      return put({ ...one, data });
    }
  }
}

async function judge(tensors: readonly Made[], config: Record<string, unknown> | undefined): Promise<void> {
  const started = performance.now();
  try {
    const plain = await dequantized(checkpointOf(tensors, config));
    for (const entry of plain.tensors.values()) {
      expect(entry.bytes).toBe(entry.shape.reduce((a, b) => a * b, DTYPE_BYTES[entry.dtype]));
      await bytesOf(entry);
    }
    bump(plain.quantized ? "decoded" : "plain");
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what must not reach a terminal
    if (error.message.length > 2000 || /[\u0000-\u001f\u007f]/.test(error.message)) throw new Error("an unfit message");
    bump(/is quantized \(([^)]*)\)/.exec(error.message)?.[1] ?? "JSON of a quant_state");
  }
  expect(performance.now() - started).toBeLessThan(HANG_MS);
}

test("quantized checkpoints with damaged companions", async () => {
  const edits = fc.array(damage, { minLength: 1, maxLength: 2 });
  const odd = fc.option(configEdit, { freq: 4 });
  await fc.assert(
    fc.asyncProperty(fc.nat(ALL.length - 1), edits, odd, fc.nat(5), async (which, list, edit, keep) => {
      const { tensors, config } = ALL[which]![1];
      const [key, settings] = Object.entries(config)[0]!;
      const changed = edit ? { ...(settings as object), [edit.key]: edit.value } : settings;
      await judge(list.reduce<Made[]>(damaged, [...tensors]), keep === 0 ? undefined : { [key]: changed });
    }),
    { numRuns: process.env.INGOT_TEST_LONG === "1" ? 6000 : 2000, seed: SEED, endOnFailure: false },
  );
  for (const kind of ["decoded", "plain", "GPTQ", "AWQ", "FP8", "MXFP4", "MLX affine", "bitsandbytes 4 bit"]) {
    expect([kind, counts.get(kind) ?? 0]).not.toEqual([kind, 0]);
  }
}, 120_000);

afterAll(() => {
  const rows = [...counts].sort((a, b) => b[1] - a[1]).map(([kind, n]) => `  ${String(n).padStart(6)}  ${kind}`);
  console.error(`fuzz of quantized checkpoints: seed ${SEED}\n${rows.join("\n")}`);
});
