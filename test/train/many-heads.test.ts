/** Contrast under several heads: its formula in float64, its limits, and runs from the shell. */
import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ManyHeads, type ManyHeadsOptions } from "../../src/train/losses/many-heads.ts";
import { dataOf } from "../support/checkpoint-values.ts";
import { runScript } from "../support/command.ts";
import { sharedGpu } from "../support/gpu.ts";
import { checkOp, runOp } from "../support/program.ts";
import { normals } from "../support/random.ts";

const gpu = await sharedGpu();
const [N, C, D] = [6, 4, 3];
const HIDDEN = normals(1, N * C, 1);
const LEARNT = { low: 0.05, high: 2, first: 0.5, prior: 0.1 };

type Weights = ReadonlyMap<string, ArrayLike<number>>;

/** Heads whose pairs have moved from one temperature. */
async function headsOf(options: Partial<ManyHeadsOptions>) {
  const heads = new ManyHeads(gpu, { heads: 2, width: C, outputs: D, temperature: LEARNT, seed: 5, ...options });
  const weights = new Map<string, Float32Array>();
  for (const [i, parameter] of heads.parameters.entries()) {
    if (parameter.name.endsWith("pair.weight")) parameter.write(normals(40 + i, parameter.size, 0.8));
    weights.set(parameter.name, await gpu.readFloats(parameter.buffer, parameter.size));
  }
  return { heads, weights };
}

/** The card's formula in float64. */
function lossOf(hidden: ArrayLike<number>, weights: Weights, options: Pick<ManyHeadsOptions, "heads" | "temperature">) {
  const { heads, temperature } = options;
  const through = (x: readonly number[], w: ArrayLike<number>, b: ArrayLike<number>) =>
    Array.from(b, (bias, r) => x.reduce((sum, v, c) => sum + v * w[r * x.length + c]!, bias));
  const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, v, i) => sum + v * b[i]!, 0);
  let total = 0;
  for (let c = 0; c < heads; c++) {
    const own = (part: string) => weights.get(`amcl.${c}.${part}`)!;
    const z = Array.from({ length: N }, (_, i) => {
      const x = Array.from({ length: C }, (_, j) => hidden[i * C + j]!);
      const inner = through(x, own("in.weight"), own("in.bias")).map((v) => Math.max(0, v));
      const out = through(inner, own("out.weight"), own("out.bias"));
      return out.map((v) => v / Math.sqrt(dot(out, out)));
    });
    const tau = (i: number, j: number) => {
      if (typeof temperature === "number") return temperature;
      const turned = Array.from({ length: D }, (_, k) =>
        z[i]!.reduce((sum, v, l) => sum + v * own("pair.weight")[l * D + k]!, 0),
      );
      const phi = dot(turned, z[j]!) + own("pair.bias")[0]!;
      return temperature.low + (temperature.high - temperature.low) / (1 + Math.exp(-phi));
    };
    for (let i = 0; i < N; i++) {
      let sum = 0;
      for (let j = 0; j < N; j++) if (j !== i) sum += Math.exp(dot(z[i]!, z[j]!) / tau(i, j));
      const other = (i + N / 2) % N;
      total += (Math.log(sum) - dot(z[i]!, z[other]!) / tau(i, other)) / N;
      if (typeof temperature === "number") continue;
      for (let j = 0; j < N; j++)
        if (j !== i)
          total += (temperature.prior / D) * ((D / 2) * Math.log(tau(i, j)) + 1 / tau(i, j)) * (1 / (N * (N - 1)));
    }
  }
  return total;
}

test.each([
  ["with learnt temperatures", { heads: 2, temperature: LEARNT }],
  ["one head at a fixed temperature: SimCLR", { heads: 1, temperature: 0.3 }],
] as const)("agrees with its formula in float64, forward and back, %s", async (_, options) => {
  const { heads, weights } = await headsOf(options);
  const inputs = Object.fromEntries(
    heads.parameters.map(({ name, shape }) => [name, { shape, data: weights.get(name)! }] as const),
  );
  await checkOp(gpu, "amcl", {
    inputs: { hidden: { shape: [N, C], data: HIDDEN }, ...inputs },
    build: (rec, given) =>
      rec.standingIn(
        new Map(heads.parameters.map((p) => [p, given[p.name]!])),
        () => heads.loss(rec, given.hidden!).loss,
      ),
    reference: ({ hidden, ...rest }) => Float64Array.of(lossOf(hidden!, new Map(Object.entries(rest)), options)),
    backward: 3e-5,
  });
  for (const parameter of heads.parameters) parameter.free();
});

test("pairs whose temperatures are all alike are SimCLR's but for the prior, and heads learn different things", async () => {
  const { heads } = await headsOf({ heads: 2 });
  for (const parameter of heads.parameters) {
    if (parameter.name.endsWith("pair.weight")) parameter.write(new Float32Array(parameter.size));
    parameter.trainable = true;
  }
  const weights = new Map<string, Float32Array>();
  for (const { name, buffer, size } of heads.parameters) weights.set(name, await gpu.readFloats(buffer, size));
  const { outputs } = await runOp(gpu, {
    inputs: { hidden: { shape: [N, C], data: HIDDEN } },
    build(rec, { hidden }) {
      const { loss, temperature } = heads.loss(rec, hidden!);
      rec.backward([[loss, rec.constant(Float32Array.of(1), [1], "one")]]);
      return { y: loss, temperature };
    },
  });
  const prior = 2 * (LEARNT.prior / D) * ((D / 2) * Math.log(LEARNT.first) + 1 / LEARNT.first);
  expect(outputs.temperature![0]).toBeCloseTo(LEARNT.first, 5);
  expect(outputs.y![0]! - prior).toBeCloseTo(lossOf(HIDDEN, weights, { heads: 2, temperature: LEARNT.first }), 4);
  const gradient = async (name: string) => {
    const { gradient: buffer, size } = heads.parameters.find((p) => p.name === name)!;
    return gpu.readFloats(buffer, size);
  };
  const [a, b] = [await gradient("amcl.0.in.weight"), await gradient("amcl.1.in.weight")];
  const length = (x: Float32Array) => Math.hypot(...x);
  expect(length(a)).toBeGreaterThan(1e-4);
  const cosine = a.reduce((sum, v, i) => sum + v * b[i]!, 0) / length(a) / length(b);
  expect(Math.abs(cosine)).toBeLessThan(0.95);
  for (const parameter of heads.parameters) parameter.free();
});

test("from the shell: a run that is cut goes on to the byte, and what does not fit is refused", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ingot-amcl-"));
  try {
    const rows = Array.from({ length: 14 }, (_, i) => ({
      x: [...normals(i, 4, 0.2)].map((v) => v + 0.5),
      label: i % 2,
    }));
    writeFileSync(join(folder, "rows.jsonl"), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
    const config = { model_type: "mlp", input_size: 4, hidden_sizes: [6], num_labels: 2 };
    writeFileSync(join(folder, "mlp.json"), JSON.stringify(config));
    const run = (line: string) =>
      runScript("train", `--init mlp.json --data rows.jsonl --loss amcl --batch-size 5 ${line}`.split(" "), folder);
    const good = async (line: string) => {
      const { code, err } = await run(
        `--amcl-width 4 --amcl-heads 2 --schedule constant --save-every 2 --lr 1e-2 ${line}`,
      );
      expect([code, err]).toEqual([0, expect.anything()]);
    };
    await good("--steps 8 -o whole/");
    await good("--steps 4 --state half-state -o half/");
    await good("--steps 8 --state half-state --resume --overwrite -o half/");
    const bytes = (name: string) => dataOf(readFileSync(join(folder, name, "model.safetensors")));
    expect(bytes("half").equals(bytes("whole"))).toBe(true);
    const refused = async (line: string) => {
      const { code, err } = await run(`--steps 1 -o x/ ${line}`);
      expect(code).toBe(2);
      return err;
    };
    expect(await refused("--accumulate 2")).toContain("--accumulate would part them");
    expect(await refused("--amcl-first 3")).toContain("is not between --amcl-low 0.01 and --amcl-high 2");
    expect(await refused("--amcl-views span-mask")).toContain("is of texts");
    expect(await refused("--amcl-range 1,0")).toContain("is no range");
  } finally {
    rmSync(folder, { recursive: true });
  }
});
