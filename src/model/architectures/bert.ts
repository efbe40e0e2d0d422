/**
 * BERT with a classification head, as Hugging Face's BertForSequenceClassification: a pooler with tanh reads the first
 * token. Devlin et al., NAACL 2019, https://arxiv.org/abs/1810.04805
 */
import { tanh } from "../../tensor/ops/elementwise.ts";
import type { Architecture } from "../architecture.ts";
import { linearSpecs } from "../blocks/decoder.ts";
import { BERT_NAMES, textClassifier } from "../blocks/encoder.ts";
import { BERT_KEYS, type EncoderConfig, encoderConfig } from "../blocks/encoder-config.ts";
import { ConfigReader } from "../config.ts";

const equations = textClassifier(
  { ...BERT_NAMES, model: "bert." },
  {
    modules: ["classifier"],
    specs: (c) => [
      ...linearSpecs("bert.pooler.dense", c.width, c.width, c.std, true).map((spec) => ({ ...spec, pooler: true })),
      ...linearSpecs("classifier", c.classes, c.width, c.std, true),
    ],
    pooled: (net, first) => tanh(net.rec, net.linear(first, "bert.pooler.dense")),
    logits: (net, pooled) => net.linear(pooled, "classifier"),
  },
  BERT_KEYS,
);

export const method: Architecture<EncoderConfig> = {
  name: "bert",
  title: "BERT",
  about: "classifier of texts and pairs of texts: an encoder in which every token sees all others",
  cite: "arXiv:1810.04805",
  options: {},
  className: "BertForSequenceClassification",
  ...equations,

  config(json, where) {
    const c = new ConfigReader(json, where);
    c.only("position_embedding_type", "absolute");
    c.only("is_decoder", false);
    return encoderConfig(c, { keys: BERT_KEYS, positions: 512, padding: 0, types: 2 });
  },
};
