/**
 * Discrete key-value bottleneck: the encoder stays, and so do keys that were learnt from rows without labels; of a new
 * head only the values of the keys are trained, so that a row changes the answer to rows that share its keys alone.
 *
 * Träuble et al., ICML 2023, https://arxiv.org/abs/2207.11240. With values for every class their mean is the row of
 * logits, so no decoder follows. A step moves a logit by 1 / codebooks of what it moves the values: learning rates are
 * in the order of the count of codebooks. A momentum moves values that no row of the batch chose.
 */
import { UserError } from "../../../errors.ts";
import {
  hasKeyValueHead,
  KEY_VALUE,
  KEY_VALUE_HEAD,
  KEY_VALUE_MODELS,
  type KeyValueHead,
} from "../../../model/blocks/key-value-head.ts";
import { continualMethod } from "../../continual/contract.ts";
import { learnKeys } from "../../continual/keys.ts";
import { askRows } from "../../continual/outputs.ts";

export const method = continualMethod({
  name: "dkvb",
  title: "Discrete key-value bottleneck",
  about: "a frozen encoder with fixed keys, of which a row changes the values of those nearest to it alone",
  cite: "arXiv:2207.11240",
  options: {
    codebooks: { type: "number.integer >= 1", default: 32, value: "C", help: "heads, each with keys of its own" },
    keys: { type: "number.integer >= 1", default: 128, value: "K", help: "keys of each head; 4096 with many rows" },
    key_size: { type: "number.integer >= 1", default: 8, value: "D", help: "numbers of a key" },
    key_data: {
      type: "string[]",
      value: "FILE",
      help: "rows without labels that keys are learnt from; those of the first task when left out",
    },
    key_epochs: { type: "number.integer >= 0", default: 10, value: "N", help: "passes over them" },
    key_decay: { type: "0 <= number < 1", default: 0.99, value: "X", help: "share of a key's average that is kept" },
  },
  trains: [KEY_VALUE.values],
  config(given, { codebooks, keys, key_size }) {
    if (!KEY_VALUE_MODELS.some((name) => name === given.model_type))
      throw new UserError(
        `dkvb gives a classifier a head of keys and values, and a ${given.model_type} takes none`,
        `it is for ${KEY_VALUE_MODELS.join(" and ")}`,
      );
    return hasKeyValueHead(given) ? given : { ...given, [KEY_VALUE_HEAD]: { codebooks, keys, key_size } };
  },
  async begin(stream) {
    const { model, values, given, resumed, dry } = stream;
    if (resumed) return {};
    if (hasKeyValueHead(given)) {
      stream.info("the keys of the checkpoint stay, with their sizes");
      return {};
    }
    const rows = values.key_data ? await stream.unlabelled(values.key_data) : stream.rows;
    const refs = values.key_data ? rows.of([...rows.tasks.keys()]) : rows.of([0]);
    if (refs.length === 0) throw new UserError("--key-data has no rows", "keys are learnt from rows");
    if (dry) return {};
    const head = model.json[KEY_VALUE_HEAD] as KeyValueHead;
    const features = await askRows({ ...stream, rows }, refs, "features");
    await learnKeys(stream, features, head, { epochs: values.key_epochs, decay: values.key_decay });
    stream.info(`${head.codebooks} heads have learnt ${head.keys} keys each from ${refs.length} rows without labels`);
    return {};
  },
});
