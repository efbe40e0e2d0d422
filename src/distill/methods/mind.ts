/**
 * Distillation from several rationales of a question, weighed by what the student can take in now: MIND,
 * capability-aware multi-perspective distillation, 2026, here after its abstract. Groups of --data are perspectives:
 * rows of one prompt are the rationales of a question.
 *
 *   losses   l_k of a question's rationales, per token; s_k <- rho s_k + (1 - rho) l_k their inertia, for each
 *            perspective and each part of the questions by length; d_k = s_k before - s_k
 *   shares   pi = softmax(f(mean state of the prompt, s, d) / tau), f a network of one hidden layer
 *   f        is drawn to pi*_k ~ exp(-(l_k - s_k)^2 / 2 sigma^2), 0 where l_k is beyond --outlier: KL(pi* || pi)
 *   student  sum_k pi_k l_k, and with --distill-weight KL(q || p) to the teacher: --teacher self is the student as it
 *            was
 *
 * Equations of inertia and network are a reconstruction. The guard against forgetting is on the rows that are learnt,
 * not on others. With one perspective, or tau so large that shares are equal, rows weigh alike.
 */
import { UserError } from "../../errors.ts";
import { isObject, type Json } from "../../json.ts";
import type { Options, Values } from "../../method/options.ts";
import { Trained } from "../../run/small-nets/trained.ts";
import { divergence } from "../../tensor/ops/divergence.ts";
import { defineDistillation, EVERY_LAW } from "../contract.ts";
import { type Asked, type Assistant, perspectives } from "../perspectives.ts";

/** Units of the network, and how small its first scores are. */
const [UNITS, FIRST] = [32, 0.01];

const OPTIONS = {
  inertia: { type: "0 <= number < 1", default: 0.9, help: "of losses: what is kept of them in a step", value: "RHO" },
  share_temperature: {
    type: "number > 0",
    default: 1,
    help: "of shares: divides the network's scores; huge: all are equal",
    value: "TAU",
  },
  reach: {
    type: "number > 0",
    default: 0.5,
    help: "how far from its inertia a loss is still near, in nats",
    value: "S",
  },
  outlier: { type: "number > 0", default: 6, help: "loss per token from which on a rationale is left", value: "NATS" },
  buckets: { type: "number.integer >= 1", default: 3, help: "parts of the questions with an inertia each", value: "N" },
  assistant_lr: { type: "number >= 0", default: 0.003, help: "rate of the network", value: "LR" },
} as const satisfies Options;

type MindValues = Values<typeof OPTIONS>;

/** softmax over the entries that are there; 0 elsewhere. */
function shares(scores: ArrayLike<number>, there: readonly boolean[], temperature: number): number[] {
  const most = there.reduce((a, is, k) => (is ? Math.max(a, scores[k]!) : a), Number.NEGATIVE_INFINITY);
  const weights = there.map((is, k) => (is ? Math.exp((scores[k]! - most) / temperature) : 0));
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / sum);
}

/** What the network is drawn to; undefined where every rationale is beyond reach. */
export function targetShares(
  losses: Asked["losses"],
  inertia: readonly (number | null)[],
  { reach, outlier }: Pick<MindValues, "reach" | "outlier">,
): number[] | undefined {
  const weights = losses.map((loss, k) => {
    const s = inertia[k] ?? null;
    if (loss === undefined || s === null || loss >= outlier) return 0;
    return Math.exp(-((loss - s) ** 2) / (2 * reach ** 2));
  });
  const sum = weights.reduce((a, b) => a + b, 0);
  return sum > 0 ? weights.map((weight) => weight / sum) : undefined;
}

interface Inertia {
  /** By part of the questions and perspective; null before the first. */
  s: (number | null)[][];
  d: number[][];
}

/** The network with the inertia of losses. */
export function assistant({
  values,
  width,
  answers,
  seed,
}: {
  readonly values: MindValues;
  readonly width: number;
  readonly answers: number;
  readonly seed: number;
}): Assistant & { readonly inertia: Inertia } {
  const { buckets, share_temperature: tau, inertia: rho } = values;
  const sizes = [width + 2 * answers, UNITS, answers];
  const trained = new Trained({ sizes, lr: values.assistant_lr, last: FIRST }, seed, "mind");
  const rows = <T>(value: T) => Array.from({ length: buckets }, () => new Array<T>(answers).fill(value));
  const inertia: Inertia = { s: rows<number | null>(null), d: rows(0) };

  const follow = (asked: readonly Asked[]) => {
    for (let bucket = 0; bucket < buckets; bucket++)
      for (let k = 0; k < answers; k++) {
        const heard = asked.flatMap((one) => (one.bucket === bucket ? (one.losses[k] ?? []) : []));
        if (heard.length === 0) continue;
        const mean = heard.reduce((a, b) => a + b, 0) / heard.length;
        const before = inertia.s[bucket]![k] ?? null;
        const now = before === null ? mean : rho * before + (1 - rho) * mean;
        inertia.d[bucket]![k] = before === null ? 0 : before - now;
        inertia.s[bucket]![k] = now;
      }
  };

  return {
    inertia,
    weigh(asked) {
      const read = Float64Array.from(
        asked.flatMap(({ state, bucket }) => [
          ...state,
          ...inertia.s[bucket]!.map((s) => s ?? 0),
          ...inertia.d[bucket]!,
        ]),
      );
      const pass = trained.net.forward(read, asked.length);
      const scores = pass.values.at(-1)!;
      const found = asked.map(({ losses }, i) =>
        shares(
          scores.subarray(i * answers, (i + 1) * answers),
          losses.map((loss) => loss !== undefined),
          tau,
        ),
      );
      const slopes = new Float64Array(scores.length);
      for (const [i, { losses, bucket }] of asked.entries()) {
        const target = targetShares(losses, inertia.s[bucket]!, values);
        if (target)
          for (const [k, share] of found[i]!.entries())
            slopes[i * answers + k] = (share - target[k]!) / tau / asked.length;
      }
      trained.descend(pass, slopes);
      follow(asked);
      return found;
    },
    state: () => ({
      ...{ s: inertia.s.map((row): Json => [...row]), d: inertia.d.map((row): Json => [...row]) },
      network: Object.fromEntries(Object.entries(trained.state()).map(([name, x]): [string, Json] => [name, [...x]])),
    }),
    load(state) {
      const { s, d, network } = isObject(state) ? state : {};
      if (!Array.isArray(s) || !Array.isArray(d) || !isObject(network) || s.length !== buckets)
        throw new UserError("the saved state has no inertia of losses");
      const numbers = (row: Json | undefined) => (Array.isArray(row) ? row : []);
      inertia.s = s.map((row) => numbers(row).map((x) => (x === null ? null : Number(x))));
      inertia.d = d.map((row) => numbers(row).map(Number));
      trained.load(
        Object.fromEntries(
          Object.entries(network).map(([name, x]) => [name, Float64Array.from(numbers(x), (value) => Number(value))]),
        ),
      );
    },
  };
}

export const method = defineDistillation({
  name: "mind",
  title: "Rationales in several perspectives",
  about: "cross-entropy of several rationales of each question, weighed by what the student can take in now",
  cite: "MIND 2026",
  laws: EVERY_LAW,
  weights: { distill: 0.1, labels: 1 },
  options: OPTIONS,
  needs: [perspectives<MindValues>(assistant, ({ buckets }) => buckets)],
  rows: (rec, { student, teachers, targets }) =>
    divergence(rec, student, teachers[0]!, targets, { kind: "reverse-kl", temperature: 1 }),
});
