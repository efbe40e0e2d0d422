/**
 * Heads of domains that go on learning: every head, or the shared one, or their mixture says what a row is, and where
 * it is sure, heads learn that by cross-entropy. Zhang et al., "Domain-Specific Risk Minimization", KDD 2023,
 * https://arxiv.org/abs/2208.08661
 *
 *   p = sum_i w_i p_i, w_i in proportion to H(p_i)^-gamma     (model/blocks/domain-heads.ts)
 *   rows with a largest probability of at least beta teach their own answer, for some steps
 *
 * The model is one of `train --heads per-domain`; what lies below its heads stays as it is.
 */
import { batchKey, type ExampleBatch } from "../../../data/batch.ts";
import { UserError } from "../../../errors.ts";
import { DOMAIN_HEADS, domainHead, domainHeads, mixedHeads } from "../../../model/blocks/domain-heads.ts";
import { ConfigReader } from "../../../model/config.ts";
import type { Model } from "../../../model/model.ts";
import { fillInputs, recordInputs } from "../../../run/batch-programs.ts";
import { Programs } from "../../../run/programs.ts";
import { testTimeMethod } from "../../../run/test-time/contract.ts";
import { Student } from "../../../run/test-time/student.ts";
import { add, mul, scale } from "../../../tensor/ops/elementwise.ts";
import { linear } from "../../../tensor/ops/linear.ts";
import { sum } from "../../../tensor/ops/reduce.ts";
import { logSoftmax } from "../../../tensor/ops/softmax.ts";
import type { Recorder } from "../../../tensor/recorder.ts";
import type { Tensor } from "../../../tensor/tensor.ts";

/** Logits of the heads of all domains and of the shared one, which is the last, (B, K) each. */
function headLogits(rec: Recorder, { parameters }: Model, domains: number, hidden: Tensor): Tensor[] {
  const modules = [...Array.from({ length: domains }, (_, i) => domainHead(i)), "classifier"];
  return modules.map((module) => {
    const bias = parameters.get(`${module}.bias`)!;
    return linear(rec, hidden, rec.parameter(parameters.get(`${module}.weight`)!), { bias: rec.parameter(bias) });
  });
}

function probabilities(logits: ArrayLike<number>): number[] {
  const most = Math.max(...Array.from(logits));
  const e = Array.from(logits, (x) => Math.exp(x - most));
  const total = e.reduce((a, b) => a + b, 0);
  return e.map((x) => x / total);
}

/** What each head says of a batch, and their mixture, by names; programs are kept. */
class Heads {
  readonly #programs: Programs;
  readonly #model: Model;
  readonly #domains: number;
  readonly #gamma: number;

  constructor(model: Model, domains: number, gamma: number) {
    this.#model = model;
    this.#domains = domains;
    this.#gamma = gamma;
    this.#programs = new Programs(model.gpu);
  }

  /** Logits (B, K) of the domains' heads, the shared one and the mixture. */
  async of(batch: ExampleBatch): Promise<{ readonly heads: readonly Float32Array[]; readonly mixture: Float32Array }> {
    const domains = this.#domains;
    const { program } = await this.#programs.get(batchKey(batch), (rec) => {
      const { hidden } = this.#model.record(rec, recordInputs(rec, batch), { statistics: "rows" });
      const heads = headLogits(rec, this.#model, domains, hidden);
      for (const [i, logits] of heads.entries()) rec.output(`head ${i}`, scale(rec, logits, 1));
      rec.output("mixture", mixedHeads(rec, heads.slice(0, domains), this.#gamma));
    });
    fillInputs(program, batch);
    program.run({ seed: 0 });
    const names = Array.from({ length: domains + 1 }, (_, i) => `head ${i}`);
    const [mixture, ...heads] = await Promise.all(["mixture", ...names].map((name) => program.read(name)));
    return { heads: heads.map((values) => Float32Array.from(values)), mixture: Float32Array.from(mixture!) };
  }

  free(): void {
    this.#programs.free();
  }
}

export const method = testTimeMethod({
  name: "drm",
  title: "Heads of domains",
  about: "heads of domains answer by how sure they are, and learn what they are sure of",
  cite: "arXiv:2208.08661",
  options: {
    drm_gamma: {
      type: "number",
      value: "GAMMA",
      help: "power of the entropies in the mixture, negative: the surest head alone; that of the model when left out",
    },
    drm_beta: {
      type: "number >= 0",
      default: 0.75,
      help: "rows with a largest probability of at least this are learnt from; above 1: none",
      value: "BETA",
    },
    drm_steps: { type: "number.integer >= 1", default: 1, help: "steps on a batch", value: "N" },
    drm_teacher: {
      type: "'own' | 'shared' | 'mean' | 'mixture'",
      default: "mixture",
      help: "what says the answer that a head learns: itself, the shared head, the mean of all domains, or the mixture",
    },
  },
  trains: (name) => name.startsWith("classifier.") || name.startsWith("domain_heads."),
  rate: 1e-3,
  check(_, { json }) {
    if (json[DOMAIN_HEADS]) return;
    throw new UserError(
      "drm adapts heads of domains, and the model has one head",
      "bun run train --heads per-domain makes them",
    );
  },
  async begin(setting) {
    const { model, values, classes } = setting;
    const known = domainHeads(new ConfigReader(model.json, "config.json"));
    if (!known) throw new TypeError("the model has no heads of domains");
    const domains = known.domains.length;
    const heads = new Heads(model, domains, values.drm_gamma ?? known.gamma);
    const student = await Student.make(setting, () => ({
      // Numbers of a head hold the weight of each row at its answer.
      loss(rec, { pass, rows, number }) {
        const losses = headLogits(rec, model, domains, pass("x").hidden).map((logits, i) =>
          sum(rec, mul(rec, number(`answers ${i}`, [rows("x"), classes]), logSoftmax(rec, logits))),
        );
        return scale(
          rec,
          losses.reduce((a, b) => add(rec, a, b)),
          -1,
        );
      },
    }));
    let learnt = 0;

    /** Probabilities (K) of every row that teach head `i`. */
    const teaching = (said: Awaited<ReturnType<Heads["of"]>>, i: number, rows: number): number[][] => {
      const each = (logits: Float32Array) =>
        Array.from({ length: rows }, (_, row) => probabilities(logits.subarray(row * classes, (row + 1) * classes)));
      if (values.drm_teacher === "own") return each(said.heads[i]!);
      if (values.drm_teacher === "shared") return each(said.heads[domains]!);
      if (values.drm_teacher === "mixture") return each(said.mixture);
      const all = said.heads.slice(0, domains).map(each);
      return all[0]!.map((p, row) => p.map((_, k) => all.reduce((total, own) => total + own[row]![k]! / domains, 0)));
    };

    return {
      predict: async ({ batch }) => ({ scores: (await heads.of(batch)).mixture }),
      async learn({ batch }) {
        const said = await heads.of(batch);
        const numbers: Record<string, Float32Array> = {};
        let sure = 0;
        for (let i = 0; i <= domains; i++) {
          const taught = teaching(said, i, batch.rows);
          const chosen = taught.map((p) => (Math.max(...p) >= values.drm_beta ? p.indexOf(Math.max(...p)) : -1));
          const count = chosen.filter((answer) => answer >= 0).length;
          const marks = new Float32Array(batch.rows * classes);
          for (const [row, answer] of chosen.entries()) if (answer >= 0) marks[row * classes + answer] = 1 / count;
          numbers[`answers ${i}`] = marks;
          sure += count;
        }
        if (sure === 0) return;
        learnt += sure;
        for (let step = 0; step < values.drm_steps; step++) await student.step({ views: { x: batch }, numbers });
      },
      reset() {
        student.reset();
        learnt = 0;
      },
      tells: () => ({ learnt_answers: learnt }),
      free() {
        heads.free();
        student.free();
      },
    };
  },
});
