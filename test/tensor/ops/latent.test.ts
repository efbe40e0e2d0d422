/** Attention over a cache of latent vectors against keys and values made of them, in float64. */
import { expect, test } from "bun:test";
import { encodeFloats } from "../../../src/checkpoint/decode.ts";
import { latentAttention } from "../../../src/tensor/ops/latent.ts";
import { Parameter } from "../../../src/tensor/parameter.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { hardware, runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

covers("latent/through-heads", "latent/scores-of", "latent/softmax", "latent/mix-entries");

const gpu = await sharedGpu();

const SHAPES = [
  { heads: 3, rank: 10, still: 6, turning: 4, values: 5, scale: 0.3 },
  { heads: 1, rank: 7, still: 1, turning: 2, values: 9, scale: 1 },
  { heads: 2, rank: 130, still: 64, turning: 32, values: 33, scale: 0.1 },
];

const cases = SHAPES.flatMap((sizes) =>
  (["f32", "bf16"] as const).flatMap((dtype) => [
    { sizes, dtype, software: true },
    { sizes, dtype, software: false },
  ]),
);

test.each(cases)("%p", async ({ sizes, dtype, software }) => {
  const { heads, rank, still, turning, values, scale } = sizes;
  const [batch, t, capacity] = [2, 3, 71];
  const [rows, width] = [batch * t, rank + turning];
  // A row of padding, a first token, one of the middle, and the last that there is room for.
  const positions = Int32Array.of(-1, 0, 5, 70, 33, 34);
  const drawn = normals(1, heads * (still + values) * rank, 0.5);
  // Both dtypes hold what bf16 can.
  const words = new Uint16Array(encodeFloats(drawn, "BF16").buffer);
  const w = Float32Array.from(words, (word) => new Float32Array(Uint32Array.of(word << 16).buffer)[0]!);
  const weight = new Parameter(gpu, "kv_b", [heads * (still + values), rank], dtype, false);
  weight.write(dtype === "bf16" ? words : w);
  const data = {
    q: normals(2, rows * heads * (still + turning)),
    turned: normals(3, rows * heads * turning),
    cache: normals(4, batch * capacity * width),
  };
  const { outputs } = await runOp(gpu, {
    training: false,
    ...(software ? {} : { profile: hardware }),
    inputs: {
      q: { shape: [rows, heads * (still + turning)], data: data.q },
      turned: { shape: [rows, heads * turning], data: data.turned },
      cache: { shape: [batch, capacity, width], data: data.cache },
      positions: { shape: [rows], data: positions, dtype: "i32" },
    },
    build: (rec, { q, turned, cache, positions }) => ({
      y: latentAttention(
        rec,
        { q: q!, turned: turned!, cache: cache!, positions: positions!, weight: rec.parameter(weight) },
        sizes,
        { batch, capacity },
      ),
    }),
  });
  weight.free();

  /** One column of a head's [still, values] of an entry. */
  const made = (entry: number, head: number, column: number) => {
    let sum = 0;
    for (let r = 0; r < rank; r++)
      sum += w[(head * (still + values) + column) * rank + r]! * data.cache[entry * width + r]!;
    return sum;
  };
  for (let row = 0; row < rows; row++)
    for (let head = 0; head < heads; head++) {
      const scores = Array.from({ length: positions[row]! + 1 }, (_, key) => {
        const entry = Math.floor(row / t) * capacity + key;
        let sum = 0;
        for (let i = 0; i < still; i++)
          sum += data.q[(row * heads + head) * (still + turning) + i]! * made(entry, head, i);
        for (let i = 0; i < turning; i++)
          sum += data.turned[(row * heads + head) * turning + i]! * data.cache[entry * width + rank + i]!;
        return scale * sum;
      });
      const most = Math.max(...scores);
      const shares = scores.map((score) => Math.exp(score - most));
      const total = shares.reduce((a, b) => a + b, 0);
      for (let i = 0; i < values; i++) {
        const wanted = shares.reduce((sum, share, key) => {
          const entry = Math.floor(row / t) * capacity + key;
          return sum + (share / total) * made(entry, head, still + i);
        }, 0);
        expect(Math.abs(outputs.y![(row * heads + head) * values + i]! - wanted)).toBeLessThan(2e-5 * Math.sqrt(rank));
      }
    }
});
