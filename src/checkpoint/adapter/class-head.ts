/**
 * An adapter that holds a new head for classes makes a classifier of its language model, as PEFT does where the base is
 * read as one: its config then names the class, and as many labels as the head has rows.
 */
import { decodeText, isObject, type JsonObject, parseJson } from "../../json.ts";
import type { Checkpoint } from "../checkpoint.ts";

const ENDINGS: Readonly<Record<string, string>> = {
  SEQ_CLS: "ForSequenceClassification",
  TOKEN_CLS: "ForTokenClassification",
};

/** Heads that decoders have for classes. */
const HEAD = /(^|\.)(score|classifier)\.weight$/;

const objectIn = ({ files, ref }: Checkpoint, name: string): JsonObject | undefined => {
  const bytes = files.get(name);
  if (bytes === undefined) return undefined;
  const { value } = parseJson(decodeText(bytes, `${name} of ${ref}`), `${name} of ${ref}`);
  return isObject(value) ? value : undefined;
};

/** What changes in the base's config.json; nothing where the base is no language model, or a classifier already. */
export function classChanges(base: Checkpoint, adapter: Checkpoint): JsonObject {
  const ending = ENDINGS[String(objectIn(adapter, "adapter_config.json")?.task_type)];
  const head = [...adapter.tensors.values()].find(({ name }) => HEAD.test(name) && !/lora_/.test(name));
  const config = objectIn(base, "config.json");
  if (ending === undefined || head === undefined || config === undefined) return {};
  const [given = "AutoModelForCausalLM"] = Array.isArray(config.architectures) ? config.architectures : [];
  const stem = /^(.*?)(ForCausalLM|LMHeadModel)$/.exec(String(given))?.[1];
  const isEncoder = [...base.tensors.keys()].some((name) => /(^|\.)(pooler|token_type_embeddings)\./.test(name));
  if (stem === undefined || isEncoder) return {};
  const labels = head.shape[0]!;
  const names = Array.from({ length: labels }, (_, i) => `LABEL_${i}`);
  const known = isObject(config.id2label) && Object.keys(config.id2label).length === labels;
  return {
    architectures: [`${stem}${ending}`],
    num_labels: labels,
    ...(known
      ? {}
      : {
          id2label: Object.fromEntries(names.map((name, i) => [String(i), name])),
          label2id: Object.fromEntries(names.map((name, i) => [name, i])),
        }),
  };
}
