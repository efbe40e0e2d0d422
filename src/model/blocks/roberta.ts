/**
 * RoBERTa with a classification head: BERT without a pooler, whose positions begin behind the token of padding. Liu et
 * al. 2019, https://arxiv.org/abs/1907.11692
 */
import { tanh } from "../../tensor/ops/elementwise.ts";
import type { Architecture } from "../architecture.ts";
import { ConfigReader } from "../config.ts";
import { linearSpecs } from "./decoder.ts";
import { BERT_NAMES, textClassifier } from "./encoder.ts";
import { BERT_KEYS, type EncoderConfig, encoderConfig } from "./encoder-config.ts";

export const roberta = {
  ...textClassifier(
    { ...BERT_NAMES, model: "roberta." },
    {
      modules: ["classifier"],
      specs: (c) => [
        ...linearSpecs("classifier.dense", c.width, c.width, c.std, true),
        ...linearSpecs("classifier.out_proj", c.classes, c.width, c.std, true),
      ],
      logits: (net, first) => net.linear(tanh(net.rec, net.linear(first, "classifier.dense")), "classifier.out_proj"),
    },
    BERT_KEYS,
  ),

  config(json, where): EncoderConfig {
    const c = new ConfigReader(json, where);
    c.only("position_embedding_type", "absolute");
    c.only("is_decoder", false);
    return encoderConfig(c, { keys: BERT_KEYS, positions: 512, padding: 1, afterPadding: true, types: 2 });
  },
} as const satisfies Partial<Architecture<EncoderConfig>>;
