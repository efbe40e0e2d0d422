/** XLM-RoBERTa with a classification head, as Hugging Face's XLMRobertaForSequenceClassification: RoBERTa in all. */
import type { Architecture } from "../architecture.ts";
import type { EncoderConfig } from "../blocks/encoder-config.ts";
import { roberta } from "../blocks/roberta.ts";

export const method: Architecture<EncoderConfig> = {
  name: "xlm-roberta",
  title: "XLM-RoBERTa",
  about: "RoBERTa over a vocabulary of many languages",
  cite: "arXiv:1911.02116",
  options: {},
  className: "XLMRobertaForSequenceClassification",
  ...roberta,
};
