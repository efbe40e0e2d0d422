/** RoBERTa with a classification head, as Hugging Face's RobertaForSequenceClassification. */
import type { Architecture } from "../architecture.ts";
import type { EncoderConfig } from "../blocks/encoder-config.ts";
import { roberta } from "../blocks/roberta.ts";

export const method: Architecture<EncoderConfig> = {
  name: "roberta",
  title: "RoBERTa",
  about: "BERT without a pooler, with a head of two layers",
  cite: "arXiv:1907.11692",
  options: {},
  className: "RobertaForSequenceClassification",
  ...roberta,
};
