/**
 * AdaNPC: the nearest in a memory of source features vote, and the memory takes in the rows that it was sure of. No
 * gradient. Zhang et al., ICML 2023, https://arxiv.org/abs/2304.12566
 *
 * A row of scores s is taken in with its answer where the largest of softmax(s) is at least beta. Scores are shares of
 * a vote, so that largest is e / (e + K - 1) at most; above 1 nothing is taken in.
 */
import { stackExamples } from "../../../data/batch.ts";
import { UserError } from "../../../errors.ts";
import { NeighbourMemory } from "../../../run/neighbour-memory.ts";
import { testTimeMethod } from "../../../run/test-time/contract.ts";
import { Answers } from "../../../run/test-time/student.ts";

/** The largest share of softmax(scores). */
function sureness(scores: ArrayLike<number>): number {
  const e = Array.from(scores, Math.exp);
  return Math.max(...e) / e.reduce((a, b) => a + b, 0);
}

export const method = testTimeMethod({
  name: "adanpc",
  title: "Non-parametric classifier",
  about: "the nearest in a memory of source features vote, and it takes in rows that it is sure of",
  cite: "arXiv:2304.12566",
  options: {
    adanpc_neighbours: { type: "number.integer >= 1", default: 30, help: "nearest that vote", value: "K" },
    adanpc_temperature: { type: "number > 0", default: 0.1, help: "divides the cosines", value: "T" },
    adanpc_ball: {
      type: "-1 <= number <= 1",
      help: "all of at least this cosine vote, in place of the nearest K",
      value: "COS",
    },
    adanpc_beta: {
      type: "number >= 0",
      default: 0,
      help: "rows whose scores have a softmax of at least this are taken in; above 1: none",
      value: "BETA",
    },
    adanpc_cap: { type: "number.integer >= 1", default: 65_536, help: "most entries; the oldest go first", value: "N" },
  },
  trains: "none",
  check(_, { hasSource }) {
    if (!hasSource)
      throw new UserError("adanpc votes by a memory of source rows", "give labelled ones: --source rows.jsonl");
  },
  async begin({ model, classes, values, source, batchSize, signal }) {
    const answers = new Answers(model, { source: undefined }, "running");
    const featuresOf = async (batch: Parameters<Answers["of"]>[0]) => {
      const { hidden } = (await answers.of(batch, ["source"])).get("source")!;
      const width = hidden.length / batch.rows;
      return Array.from({ length: batch.rows }, (_, row) => hidden.slice(row * width, (row + 1) * width));
    };
    const known: { readonly feature: Float32Array; readonly label: number }[] = [];
    for (const rows of source!.inOrder(batchSize)) {
      signal.throwIfAborted();
      const features = await featuresOf(stackExamples(rows));
      for (const [i, { label }] of rows.entries()) known.push({ feature: features[i]!, label });
    }
    const begun = () => {
      const memory = new NeighbourMemory(classes, {
        ...{ k: values.adanpc_neighbours, temperature: values.adanpc_temperature },
        ...{ ball: values.adanpc_ball, cap: values.adanpc_cap },
      });
      for (const { feature, label } of known) memory.add(feature, label);
      return memory;
    };
    let memory = begun();
    let taken = 0;
    return {
      async predict({ batch }) {
        const features = await featuresOf(batch);
        const scores = Float32Array.from(features.flatMap((feature) => [...memory.scores(feature)]));
        return { scores, features: Float32Array.from(features.flatMap((feature) => [...feature])) };
      },
      async learn({ rows }, { scores, features }) {
        const width = features!.length / rows.length;
        for (let row = 0; row < rows.length; row++) {
          const own = scores.subarray(row * classes, (row + 1) * classes);
          if (sureness(own) < values.adanpc_beta) continue;
          memory.add(features!.subarray(row * width, (row + 1) * width), own.indexOf(Math.max(...own)));
          taken++;
        }
      },
      reset() {
        memory = begun();
        taken = 0;
      },
      tells: () => ({ memory: memory.size, taken_in: taken }),
      free: () => answers.free(),
    };
  },
});
