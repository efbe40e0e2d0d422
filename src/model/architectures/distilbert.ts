/**
 * DistilBERT with a classification head, as Hugging Face's DistilBertForSequenceClassification: BERT of half the layers
 * without token types, and a head of two layers. Sanh et al. 2019, https://arxiv.org/abs/1910.01108
 */
import { relu } from "../../tensor/ops/activation.ts";
import type { Architecture } from "../architecture.ts";
import { linearSpecs } from "../blocks/decoder.ts";
import { type EncoderNames, textClassifier } from "../blocks/encoder.ts";
import { type EncoderConfig, type EncoderKeys, encoderConfig } from "../blocks/encoder-config.ts";
import { ConfigReader } from "../config.ts";

const KEYS: EncoderKeys = {
  width: "dim",
  inner: "hidden_dim",
  layers: "n_layers",
  heads: "n_heads",
  activation: "activation",
};

const NAMES: EncoderNames = {
  model: "distilbert.",
  layers: "transformer.layer",
  query: "attention.q_lin",
  key: "attention.k_lin",
  value: "attention.v_lin",
  mixed: "attention.out_lin",
  mixedNorm: "sa_layer_norm",
  up: "ffn.lin1",
  down: "ffn.lin2",
  downNorm: "output_layer_norm",
};

const equations = textClassifier(
  NAMES,
  {
    modules: ["pre_classifier", "classifier"],
    specs: (c) => [
      ...linearSpecs("pre_classifier", c.width, c.width, c.std, true),
      ...linearSpecs("classifier", c.classes, c.width, c.std, true),
    ],
    logits: (net, first) => net.linear(relu(net.rec, net.linear(first, "pre_classifier")), "classifier"),
  },
  KEYS,
);

export const method: Architecture<EncoderConfig> = {
  name: "distilbert",
  title: "DistilBERT",
  about: "BERT of half the layers, without token types and pooler, with a head of two layers",
  cite: "arXiv:1910.01108",
  options: {},
  className: "DistilBertForSequenceClassification",
  ...equations,

  config(json, where) {
    const c = new ConfigReader(json, where);
    // Of tables made of sines, which files hold like others, training would change what must not change.
    c.only("sinusoidal_pos_embds", false);
    return encoderConfig(c, { keys: KEYS, positions: 512, padding: 0 });
  },
};
