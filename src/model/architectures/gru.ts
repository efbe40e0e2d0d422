/**
 * A recurrent language model: an embedding, layers of gated recurrent units, a head. Weights are laid out and named as
 * PyTorch's Embedding, GRU and Linear (`embedding`, `rnn`, `lm_head`). Cho et al., EMNLP 2014,
 * https://arxiv.org/abs/1406.1078
 *
 * With a head for classes in its place ("GruForSequenceClassification" in `architectures`) it classifies texts by the
 * state after their last token.
 */
import { UserError } from "../../errors.ts";
import { gru, MOST_UNITS } from "../../tensor/ops/gru.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Architecture, ParameterSpec } from "../architecture.ts";
import { ConfigReader } from "../config.ts";

export interface GruConfig {
  readonly vocabulary: number;
  readonly embedding: number;
  readonly units: number;
  readonly layers: number;
  readonly positions: number;
  readonly tied: boolean;
}

export const method: Architecture<GruConfig> = {
  name: "gru",
  title: "Gated recurrent units",
  about: "a state in place of attention: layers of gated recurrent units, as PyTorch's GRU",
  cite: "arXiv:1406.1078",
  options: {},
  className: "GruForCausalLM",
  task: "causal-lm",
  tiedHead: (c) =>
    c.tied ? { head: "lm_head.weight", table: "embedding.weight", apart: { ...c, tied: false } } : undefined,

  config(json, where) {
    const c = new ConfigReader(json, where);
    c.only("bidirectional", false);
    const units = c.count("hidden_size");
    if (units > MOST_UNITS)
      throw new UserError(`${where}: hidden_size ${units}; states of ${MOST_UNITS} units are the largest here`);
    const embedding = c.count("embedding_size", units);
    const tied = c.flag("tie_word_embeddings", false);
    if (tied && embedding !== units)
      throw new UserError(
        `${where}: a tied head reads ${embedding} numbers (embedding_size), and states have ${units} (hidden_size)`,
        "make both equal, or set tie_word_embeddings to false",
      );
    return {
      ...{ units, embedding, tied },
      vocabulary: c.count("vocab_size"),
      layers: c.count("num_hidden_layers", 1),
      positions: c.count("max_position_embeddings", 2048),
    };
  },

  implied: (c) => ({
    vocab_size: c.vocabulary,
    embedding_size: c.embedding,
    hidden_size: c.units,
    num_hidden_layers: c.layers,
    max_position_embeddings: c.positions,
    bidirectional: false,
    tie_word_embeddings: c.tied,
  }),

  sizes: (c) => ({
    ...{ layers: c.layers, width: c.units, outputs: c.vocabulary, maxPositions: c.positions },
    recurrent: true,
  }),

  parameters(c) {
    const std = 1 / Math.sqrt(3 * c.units); // the deviation of PyTorch's uniform numbers
    const bias = (name: string): ParameterSpec => ({ name, shape: [3 * c.units], init: "zeros" });
    return [
      { name: "embedding.weight", shape: [c.vocabulary, c.embedding], init: { std: 1 }, table: true },
      ...Array.from({ length: c.layers }, (_, i): ParameterSpec[] => [
        { name: `rnn.weight_ih_l${i}`, shape: [3 * c.units, i > 0 ? c.units : c.embedding], init: { std } },
        { name: `rnn.weight_hh_l${i}`, shape: [3 * c.units, c.units], init: { std }, small: true },
        bias(`rnn.bias_ih_l${i}`),
        bias(`rnn.bias_hh_l${i}`),
      ]).flat(),
      ...(c.tied ? [] : [{ name: "lm_head.weight", shape: [c.vocabulary, c.units], init: { std } } as const]),
    ];
  },

  forward(net, c, inputs) {
    if (!("positions" in inputs)) throw new TypeError("a language model takes token ids");
    const { batch, positions, cache } = inputs;
    let x: Tensor = net.note("hidden.0", net.embed(inputs.ids, "embedding")); // (N, E)
    for (let layer = 0; layer < c.layers; layer++) {
      const into = x;
      const state = cache?.kept(`state.${layer}`, [batch, c.units]);
      x = net.block(() =>
        gru(net.rec, net.project(into, `rnn.weight_ih_l${layer}`, `rnn.bias_ih_l${layer}`), {
          ...{ batch, positions, state },
          weight: net.weight(`rnn.weight_hh_l${layer}`),
          bias: net.weight(`rnn.bias_hh_l${layer}`),
        }),
      );
      x = net.note(`hidden.${layer + 1}`, x);
    }
    return x; // (N, H)
  },

  head: (net, c, hidden) => (c.tied ? net.project(hidden, "embedding.weight") : net.linear(hidden, "lm_head")),
};
