/**
 * A recurrent language model of closed-form continuous-time cells: an embedding, layers of them, a head. A layer before
 * the cell reads input and state together, `backbone_size` wide, and three heads on it say where the state goes:
 *
 *   z = tanh(W [x, s]),  s = t tanh(W_g z) + (1 - t) tanh(W_h z),  t = sigmoid(-(W_f z) time_step)
 *
 * A liquid time-constant cell solved in closed form: Hasani et al., Nature Machine Intelligence 2022,
 * https://arxiv.org/abs/2106.13898. Time between tokens is one number for all. An architecture of our own.
 *
 * With a head for classes in its place ("CfcForSequenceClassification" in `architectures`) it classifies texts by the
 * state after their last token.
 */
import { UserError } from "../../errors.ts";
import { cfc, MOST_INNER, MOST_UNITS } from "../../tensor/ops/cfc.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Architecture, ParameterSpec } from "../architecture.ts";
import { ConfigReader } from "../config.ts";

export interface CfcConfig {
  readonly vocabulary: number;
  readonly embedding: number;
  readonly units: number;
  /** Of the layer that reads input and state. */
  readonly inner: number;
  /** Between two tokens. */
  readonly step: number;
  readonly layers: number;
  readonly positions: number;
  readonly tied: boolean;
}

export const method: Architecture<CfcConfig> = {
  name: "cfc",
  title: "Closed-form liquid cells",
  about: "a state in place of attention: layers of closed-form continuous-time cells",
  cite: "arXiv:2106.13898",
  options: {},
  className: "CfcForCausalLM",
  task: "causal-lm",
  tiedHead: (c) =>
    c.tied ? { head: "lm_head.weight", table: "embedding.weight", apart: { ...c, tied: false } } : undefined,

  config(json, where) {
    const c = new ConfigReader(json, where);
    const units = c.count("hidden_size");
    if (units > MOST_UNITS)
      throw new UserError(`${where}: hidden_size ${units}; states of ${MOST_UNITS} units are the largest here`);
    const inner = c.count("backbone_size", units);
    if (inner > MOST_INNER)
      throw new UserError(`${where}: backbone_size ${inner}; layers of ${MOST_INNER} are the largest here`);
    const embedding = c.count("embedding_size", units);
    const tied = c.flag("tie_word_embeddings", false);
    if (tied && embedding !== units)
      throw new UserError(
        `${where}: a tied head reads ${embedding} numbers (embedding_size), and states have ${units} (hidden_size)`,
        "make both equal, or set tie_word_embeddings to false",
      );
    return {
      ...{ units, inner, embedding, tied },
      step: c.number("time_step", 1, { least: 0, open: true }),
      vocabulary: c.count("vocab_size"),
      layers: c.count("num_hidden_layers", 1),
      positions: c.count("max_position_embeddings", 2048),
    };
  },

  implied: (c) => ({
    vocab_size: c.vocabulary,
    embedding_size: c.embedding,
    hidden_size: c.units,
    backbone_size: c.inner,
    time_step: c.step,
    num_hidden_layers: c.layers,
    max_position_embeddings: c.positions,
    tie_word_embeddings: c.tied,
  }),

  sizes: (c) => ({
    ...{ layers: c.layers, width: c.units, outputs: c.vocabulary, maxPositions: c.positions },
    recurrent: true,
  }),

  parameters(c) {
    const over = (size: number) => ({ std: 1 / Math.sqrt(size) });
    return [
      { name: "embedding.weight", shape: [c.vocabulary, c.embedding], init: { std: 1 }, table: true },
      ...Array.from({ length: c.layers }, (_, i): ParameterSpec[] => {
        const into = i > 0 ? c.units : c.embedding;
        return [
          { name: `cells.${i}.input.weight`, shape: [c.inner, into], init: over(into + c.units) },
          { name: `cells.${i}.input.bias`, shape: [c.inner], init: "zeros" },
          { name: `cells.${i}.state.weight`, shape: [c.inner, c.units], init: over(into + c.units), small: true },
          { name: `cells.${i}.heads.weight`, shape: [3 * c.units, c.inner], init: over(c.inner), small: true },
          { name: `cells.${i}.heads.bias`, shape: [3 * c.units], init: "zeros" },
        ];
      }).flat(),
      ...(c.tied ? [] : [{ name: "lm_head.weight", shape: [c.vocabulary, c.units], init: over(c.units) } as const]),
    ];
  },

  forward(net, c, inputs) {
    if (!("positions" in inputs)) throw new TypeError("a language model takes token ids");
    const { batch, positions, cache } = inputs;
    let x: Tensor = net.note("hidden.0", net.embed(inputs.ids, "embedding")); // (N, E)
    for (let layer = 0; layer < c.layers; layer++) {
      const into = x;
      const state = cache?.kept(`state.${layer}`, [batch, c.units]);
      const cell = `cells.${layer}`;
      x = net.block(() =>
        cfc(net.rec, net.project(into, `${cell}.input.weight`, `${cell}.input.bias`), {
          ...{ batch, positions, state, step: c.step },
          weight: net.weight(`${cell}.state.weight`),
          heads: net.weight(`${cell}.heads.weight`),
          bias: net.weight(`${cell}.heads.bias`),
        }),
      );
      x = net.note(`hidden.${layer + 1}`, x);
    }
    return x; // (N, H)
  },

  head: (net, c, hidden) => (c.tied ? net.project(hidden, "embedding.weight") : net.linear(hidden, "lm_head")),
};
