import { principalWeights } from "../../../src/run/among/rules/principal-directions.ts";
import { experimentOf } from "../experiment.ts";
import { normal, randomArray } from "../support.ts";

type Client = (k: number, shared: Float64Array, second: Float64Array, next: () => number) => Float64Array;

const dot = (a: Float64Array, b: Float64Array) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
const cosine = (a: Float64Array, b: Float64Array) => dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
const combined = (rows: readonly Float64Array[], weights: readonly number[]) =>
  rows[0]!.map((_, i) => rows.reduce((sum, row, k) => sum + weights[k]! * row[i]!, 0));

/** The principal aggregate's cosine with the shared direction less that of the mean, over twenty draws. */
function compare(seed: number, client: Client): number {
  let more = 0;
  for (let draw = 0; draw < 20; draw++) {
    const next = normal(1000 * seed + draw);
    const [shared, second] = [randomArray(300, next), randomArray(300, next)];
    const rows = Array.from({ length: 8 }, (_, k) => client(k, shared, second, next).map((x) => x + 0.6 * next()));
    const gram = rows.map((a) => rows.map((b) => dot(a, b)));
    const even = rows.map(() => 1 / 8);
    const principal = cosine(combined(rows, principalWeights(gram, 0.8)), shared);
    more += (principal - cosine(combined(rows, even), shared)) / 20;
  }
  return more;
}

export const experiment = experimentOf({
  title: "`principal-svd` on eight updates with a shared direction and noise",
  about: `Cosine with the shared direction less that of the plain mean, over twenty draws: one client reversed, clients of unequal
amplitude, and clients in two camps along a second direction, where the principal direction is another one.`,
  seeds: [1, 2, 3],
  tested: 1,
  figures: {
    "one client reversed": { above: 0.005 },
    "unequal amplitudes": { above: 0.001 },
    "two camps": { below: 0 },
  },
  run: async (seed) => ({
    "one client reversed": compare(seed, (k, shared) => shared.map((x) => (k === 0 ? -x : x))),
    "unequal amplitudes": compare(seed, (_, shared, __, next) => {
      const amplitude = 0.3 + 1.7 * Math.abs(next());
      return shared.map((x) => amplitude * x);
    }),
    "two camps": compare(seed, (k, shared, second) => shared.map((x, i) => x + (k % 2 ? 1.2 : -1.2) * second[i]!)),
  }),
});
