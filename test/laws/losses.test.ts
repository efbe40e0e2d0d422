/** The laws that losses of labels claim, and every loss against its formula in float64, with gradients. */
import { describe, expect, test } from "bun:test";
import { bindDefaults } from "../../src/method/bind.ts";
import { claimed } from "../../src/method/laws.ts";
import { loadMethods } from "../../src/method/registry.ts";
import { LABEL_LOSS_LAWS, type LabelLoss, type LabelLossLaw } from "../../src/run/training/label-loss.ts";
import { sharedGpu } from "../support/gpu.ts";
import { checkOp, runOp } from "../support/program.ts";
import { normals } from "../support/random.ts";

const gpu = await sharedGpu();
const [N, V] = [7, 5];
const LABELS = Int32Array.from({ length: N }, (_, i) => (3 * i + 1) % V);
const COUNTS = [100, 50, 20, 5, 1];

type Values = Readonly<Record<string, unknown>>;

/** What a loss gives for logits and labels: of every row, or of the batch. */
const built = (loss: LabelLoss, given: Values = {}, counts = COUNTS) => {
  const { values } = bindDefaults(loss, given);
  const form = loss.rows ?? loss.batch!;
  return { values, form, counts };
};

async function ran(loss: LabelLoss, logits: Float32Array, labels = LABELS, seeded = true) {
  const { values, form, counts } = built(loss);
  const n = labels.length;
  const { outputs, gradients } = await runOp(gpu, {
    inputs: {
      logits: { shape: [n, logits.length / n], data: logits, grad: true },
      targets: { shape: [n], data: labels, dtype: "i32" },
    },
    build(rec, { logits: x, targets }) {
      // Every row has been seen once.
      const before = rec.constant(new Float32Array(n).fill(0.8), [n], "numbers of rows");
      return form(rec, { logits: x!, targets: targets!, values, counts, softened: {}, row: { before, set() {} } });
    },
    ...(seeded ? { seeds: { y: new Float32Array(loss.rows ? n : 1).fill(1) } } : {}),
  });
  return { losses: outputs.y!, gradient: gradients.logits! };
}

const start = normals(1, N * V, 2);
const finite = (values: Float32Array) => values.every((x) => Number.isFinite(x));
/** Logits in which every label is ahead by so much. */
const ahead = (by: number) => start.map((x, i) => x + (i % V === LABELS[Math.floor(i / V)] ? by : 0));

const LAWS: Record<LabelLossLaw, (loss: LabelLoss) => Promise<void>> = {
  async shiftFree(loss) {
    const { losses, gradient } = await ran(loss, start);
    const { losses: moved } = await ran(
      loss,
      start.map((x, i) => x + Math.floor(i / V) - 3),
    );
    for (const [i, x] of moved.entries()) expect(x).toBeCloseTo(losses[i]!, 4);
    for (let row = 0; row < N; row++)
      expect(gradient.slice(row * V, row * V + V).reduce((a, b) => a + b, 0)).toBeCloseTo(0, 5);
  },
  async favours(loss) {
    const { gradient } = await ran(loss, start);
    for (const [i, g] of gradient.entries())
      if (i % V === LABELS[Math.floor(i / V)]) expect(g).toBeLessThan(0);
      else expect(g).toBeGreaterThanOrEqual(0);
  },
  async vanishes(loss) {
    const { losses } = await ran(loss, ahead(50));
    for (const x of losses) expect(Math.abs(x)).toBeLessThan(1e-6);
  },
  async bounded(loss) {
    for (const by of [1e4, -1e4]) {
      const { losses, gradient } = await ran(loss, ahead(by));
      expect([finite(losses), finite(gradient)]).toEqual([true, true]);
    }
  },
  async ownRow(loss) {
    const { losses } = await ran(loss, start);
    const { losses: others } = await ran(
      loss,
      start.map((x, i) => (i < V ? x : -x)),
    );
    expect(others[0]).toBe(losses[0]!);
    expect(others[1]).not.toBe(losses[1]!);
  },
};

const all = (await loadMethods("loss")) as LabelLoss[];
const losses = all.filter(({ errors }) => !errors);

describe.each(losses.map((loss) => [loss.name, loss] as const))("%s", (_, loss) => {
  test.each(claimed(loss.laws).map((law) => [LABEL_LOSS_LAWS[law], law] as const))("%s", async (_, law) =>
    LAWS[law](loss),
  );
});

const softmax = (z: readonly number[]) => {
  const most = Math.max(...z);
  const e = z.map((x) => Math.exp(x - most));
  const sum = e.reduce((a, b) => a + b, 0);
  return e.map((x) => x / sum);
};
const pOf = (z: readonly number[], y: number) => softmax(z)[y]!;
const softplus = (x: number) => Math.log1p(Math.exp(-Math.abs(x))) + Math.max(x, 0);
const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);

/** The options of all losses. */
interface Own {
  readonly focal_gamma: number;
  readonly compsum_tau: number;
  readonly ldr_lambda: number;
  readonly ldr_margin: number;
  readonly ldr_normalise: "none" | "mean-size" | "softplus";
  readonly adjust_tau: number;
  readonly ldam_margin: number;
  readonly ldam_scale: number;
  readonly balance_by: "effective" | "number";
  readonly balance_beta: number;
  readonly any_metric: string;
  readonly any_beta: number;
  readonly any_steepness: number;
  readonly margin_lambda: number;
  readonly margin_over: string;
}

/** Formulas of rows: logits z of the label y. */
const ROWS: Readonly<Record<string, (z: number[], y: number, values: Own) => number>> = {
  ce: (z, y) => -Math.log(pOf(z, y)),
  "decoupled-mixup": (z, y) => -Math.log(pOf(z, y)),
  infonce: (z, y) => -Math.log(pOf(z, y)),
  focal: (z, y, { focal_gamma: g }) => -((1 - pOf(z, y)) ** g) * Math.log(pOf(z, y)),
  compsum: (z, y, { compsum_tau: tau }) =>
    tau === 1 ? -Math.log(pOf(z, y)) : (pOf(z, y) ** (tau - 1) - 1) / (1 - tau),
  ldr: (z, y, { ldr_lambda: lambda, ldr_margin: c, ldr_normalise: how }) => {
    const sizes = { none: z.map(() => 1), "mean-size": z.map(Math.abs), softplus: z.map(softplus) }[how];
    const scores = (how === "softplus" ? sizes : z).map((x) => (x * V) / sum(sizes));
    const terms = scores.map((x, k) => Math.exp((x - scores[y]! + (k === y ? 0 : c)) / lambda));
    return lambda * Math.log(sum(terms) / V);
  },
  "logit-adjust": (z, y, { adjust_tau: tau }) =>
    -Math.log(
      pOf(
        z.map((x, k) => x + tau * Math.log(COUNTS[k]! / sum(COUNTS))),
        y,
      ),
    ),
  ldam: (z, y, { ldam_margin: m, ldam_scale: s }) =>
    -Math.log(
      pOf(
        z.map((x, k) => s * (x - (k === y ? m * (Math.min(...COUNTS) / COUNTS[y]!) ** 0.25 : 0))),
        y,
      ),
    ),
  "class-balanced": (z, y, { balance_by: by, balance_beta: b }) => {
    const raw = COUNTS.map((n) => (by === "number" ? 1 / n : (1 - b) / (1 - b ** n)));
    return (-Math.log(pOf(z, y)) * raw[y]! * V) / sum(raw);
  },
};

const metrics: Readonly<Record<string, (s: { y: number; a: number; ay: number; n: number; b: number }) => number>> = {
  fbeta: ({ y, a, ay, b }) => ((1 + b * b) * ay) / (b * b * y + a),
  accuracy: ({ y, a, ay, n }) => (n - y - a + 2 * ay) / n,
  "balanced-accuracy": ({ y, a, ay, n }) => (ay / y + (n - y - a + ay) / (n - y)) / 2,
  gmean: ({ y, a, ay, n }) => Math.sqrt((ay / y) * ((n - y - a + ay) / (n - y))),
};

/** One less the metric of rows z with labels. */
function anyloss(z: number[][], labels: readonly number[], values: Own): number {
  const v = z[0]!.length;
  const looked = v === 2 ? [1] : Array.from({ length: v }, (_, k) => k);
  const found = looked.map((k) => {
    const a = z.map((row) => 1 / (1 + Math.exp(-values.any_steepness * (softmax(row)[k]! - 0.5))));
    const y = labels.map((label) => (label === k ? 1 : 0));
    const sums = { y: sum(y), a: sum(a), ay: sum(a.map((x, i) => x * y[i]!)), n: z.length, b: values.any_beta };
    return metrics[values.any_metric]!(sums);
  });
  return 1 - sum(found) / looked.length;
}

/** Cross-entropy, and the logarithm of one more than the squares of all probabilities. */
function marginLog(
  z: number[][],
  labels: readonly number[],
  { margin_lambda: lambda, margin_over: over }: Own,
): number {
  const squares = z.map((row) => sum(softmax(row).map((p) => p * p)));
  const penalty = over === "batch" ? Math.log1p(sum(squares)) : sum(squares.map((x) => Math.log1p(x))) / z.length;
  return sum(z.map((row, i) => -Math.log(pOf(row, labels[i]!)))) / z.length + lambda * penalty;
}

/** Losses of whole batches. */
const WHOLE: Readonly<Record<string, typeof anyloss>> = { anyloss, "margin-log": marginLog };

const SETTINGS: Readonly<Record<string, readonly Values[]>> = {
  focal: [{}, { focal_gamma: 0 }, { focal_gamma: 0.5 }],
  compsum: [0, 0.5, 1, 1.5, 2, 3].map((compsum_tau) => ({ compsum_tau })),
  ldr: [{}, { ldr_lambda: 0.2, ldr_margin: 1, ldr_normalise: "mean-size" }, { ldr_normalise: "none", ldr_lambda: 4 }],
  "logit-adjust": [{}, { adjust_tau: 2 }],
  ldam: [{ ldam_scale: 2 }, { ldam_margin: 0, ldam_scale: 1 }],
  "class-balanced": [{}, { balance_by: "number" }, { balance_beta: 0.9 }],
  anyloss: Object.keys(metrics).map((any_metric) => ({ any_metric, any_steepness: 5, any_beta: 2 })),
  "margin-log": [{}, { margin_lambda: 0.7 }, { margin_lambda: 0.7, margin_over: "rows" }],
};

const rowsOf = (x: Float64Array, v: number) =>
  Array.from({ length: x.length / v }, (_, row) => [...x.subarray(row * v, row * v + v)]);

describe("agrees with its formula in float64, forward and back", () => {
  const checked = losses.filter(({ name }) => ROWS[name] ?? WHOLE[name]);
  test("every loss of labels has one", () => {
    const without = losses.filter((loss) => (loss.rows ?? loss.batch) && !loss.perRow && !checked.includes(loss));
    expect(without.map(({ name }) => name)).toEqual([]);
  });
  test.each(
    checked.flatMap((loss) => (SETTINGS[loss.name] ?? [{}]).map((values) => [loss.name, values, loss] as const)),
  )("%s %j", async (name, settings, loss) => {
    const { values, form, counts } = built(loss, settings);
    const formula = ROWS[name];
    for (const v of loss.batch ? [2, V] : [V]) {
      const labels = LABELS.map((label) => label % v);
      await checkOp(gpu, name, {
        inputs: {
          logits: { shape: [N, v], data: normals(v, N * v, 1.5) },
          targets: { shape: [N], data: labels, dtype: "i32" },
        },
        build: (rec, { logits, targets }) =>
          form(rec, { logits: logits!, targets: targets!, values, counts, softened: {} }),
        reference: ({ logits }) => {
          const rows = rowsOf(logits!, v);
          return formula
            ? Float64Array.from(rows, (z, i) => formula(z, labels[i]!, values as Own))
            : Float64Array.of(WHOLE[name]!(rows, [...labels], values as Own));
        },
        backward: 2e-5,
      });
    }
  });
});

test("the family of comp-sums is continuous at cross-entropy", async () => {
  const compsum = losses.find(({ name }) => name === "compsum")!;
  const at = async (compsum_tau: number) => {
    const { values, form, counts } = built(compsum, { compsum_tau });
    const { outputs } = await runOp(gpu, {
      inputs: {
        logits: { shape: [N, V], data: start },
        targets: { shape: [N], data: LABELS, dtype: "i32" },
      },
      build: (rec, { logits, targets }) =>
        form(rec, { logits: logits!, targets: targets!, values, counts, softened: {} }),
    });
    return outputs.y!;
  };
  const ce = await at(1);
  for (const tau of [1 - 2e-3, 1 - 1e-4, 1 + 1e-4, 1 + 2e-3])
    for (const [i, x] of (await at(tau)).entries())
      expect(Math.abs(x / ce[i]! - 1)).toBeLessThan(Math.abs(tau - 1) * (1 + ce[i]!) + 2e-4);
});

test("rows without a label count nothing and take no gradient", async () => {
  const labels = LABELS.map((label, i) => (i === 2 ? -100 : label));
  for (const loss of losses.filter(({ rows }) => rows)) {
    const { losses: found, gradient } = await ran(loss, start, labels);
    expect([loss.name, Number.isFinite(found[2])]).toEqual([loss.name, true]);
    for (const g of gradient.slice(2 * V, 3 * V)) expect([loss.name, Math.abs(g)]).toEqual([loss.name, 0]);
  }
});

/** Formulas of losses of numbers: the errors of a row. */
const ERRORS: Readonly<Record<string, (e: readonly number[]) => number>> = {
  mse: (e) => sum(e.map((x) => x * x)) / e.length,
  mae: (e) => sum(e.map(Math.abs)) / e.length,
  huber: (e) => sum(e.map((x) => (Math.abs(x) <= 1 ? (x * x) / 2 : Math.abs(x) - 0.5))) / e.length,
  "pseudo-huber": (e) => {
    const c = 0.00054 * Math.sqrt(e.length);
    return Math.hypot(...e, c) - c;
  },
};

describe("losses of numbers", () => {
  test("all have a formula here", () => {
    expect(Object.keys(ERRORS).toSorted()).toEqual(
      all.flatMap(({ name, errors }) => (errors ? [name] : [])).toSorted(),
    );
  });

  test.each(Object.entries(ERRORS))(
    "%s is its formula, with gradients; nothing where there is no error",
    async (name, of) => {
      const loss = all.find((one) => one.name === name)!;
      const { values } = bindDefaults(loss, {});
      const [rows, outputs] = [5, 3];
      const data = normals(4, rows * outputs, 1.5);
      const run = (errors: Float32Array) =>
        runOp(gpu, {
          inputs: { errors: { shape: [rows, outputs], data: errors, grad: true } },
          build: (rec, { errors: x }) => loss.errors!(rec, { errors: x!, values }),
          seeds: { y: new Float32Array(rows).fill(1) },
        });
      const { outputs: found, gradients } = await run(data);
      const row = (values: ArrayLike<number>, r: number) =>
        Array.from({ length: outputs }, (_, k) => values[r * outputs + k]!);
      for (let r = 0; r < rows; r++) {
        const e = row(data, r);
        expect(found.y![r]!).toBeCloseTo(of(e), 5);
        for (let k = 0; k < outputs; k++) {
          const moved = (by: number) => of(e.map((x, i) => (i === k ? x + by : x)));
          expect(gradients.errors![r * outputs + k]!).toBeCloseTo((moved(1e-5) - moved(-1e-5)) / 2e-5, 3);
        }
      }
      const none = await run(new Float32Array(rows * outputs));
      for (const x of none.outputs.y!) expect(x).toBeCloseTo(0, 6);
      expect(finite(none.gradients.errors!)).toBe(true);
    },
  );
});
