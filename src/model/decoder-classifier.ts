/**
 * Decoders with a head that tells classes apart, as the classes `...ForSequenceClassification` and
 * `...ForTokenClassification` of transformers: `score` reads the state of a text's last token, or that of every token.
 * With one label the head gives a number: a reward.
 *
 * Every decoder has these heads by this file alone: its tensors keep their names, and `lm_head` gives way to the head.
 */
import { UserError } from "../errors.ts";
import { embedding } from "../tensor/ops/embedding.ts";
import type { Recorder } from "../tensor/recorder.ts";
import type { Architecture, Inputs, Json, ParameterSpec, TextInputs, TokenInputs } from "./architecture.ts";
import { type Classes, classesOf, namesOf } from "./blocks/classes.ts";
import { linearSpecs } from "./blocks/decoder.ts";
import {
  expandedLogits,
  type HeadExpansion,
  headExpansion,
  headExpansionJson,
  headExpansionParameters,
} from "./blocks/random-expansion.ts";
import { ConfigReader } from "./config.ts";
import { isHead } from "./names.ts";

/** What the head reads: the last token of a text, or every token. */
export type ClassHead = "sequence" | "tokens";

const ENDINGS = { sequence: "ForSequenceClassification", tokens: "ForTokenClassification" } as const;

/** Model types without such a class in transformers; it can read what is saved of them as parts alone. */
const NO_CLASS: Readonly<Record<ClassHead, readonly string[]>> = {
  sequence: ["cohere2", "deepseek", "glm4_moe", "granite", "olmo2", "olmo3", "olmoe"],
  tokens: [
    ...["cohere2", "deepseek", "deepseek_v2", "gemma3_text", "glm4_moe", "granite", "hunyuan_v1_dense"],
    ...["olmo2", "olmo3", "olmoe"],
  ],
};

/** What a config says: of the decoder, and of its head. */
interface Config extends Classes {
  readonly decoder: unknown;
  /** Token that ends no text. */
  readonly padding: number | undefined;
  readonly std: number;
  /** In place of the linear head. */
  readonly expansion: HeadExpansion | undefined;
}

/** Which head `architectures` of a config.json asks for. */
export function classHeadOf({ architectures }: Json): ClassHead | undefined {
  const [first] = Array.isArray(architectures) ? architectures : [];
  if (typeof first !== "string") return undefined;
  return (["sequence", "tokens"] as const).find((head) => first.endsWith(ENDINGS[head]));
}

/** Name of the class of transformers; Gemma 3's decoder has one of its own. */
function classNameOf({ name, className = "" }: Architecture, head: ClassHead): string {
  const stem = name === "gemma3_text" ? "Gemma3Text" : className.replace(/(For\w+|LMHeadModel)$/, "");
  return `${stem}${ENDINGS[head]}`;
}

/** Whether transformers has the class that a decoder with this head is saved as. */
export const isKnownClass = ({ name }: Pick<Architecture, "name">, head: ClassHead): boolean =>
  !NO_CLASS[head].includes(name);

/** The config of a decoder with a head of so many labels, made of that of the language model. */
export function classifierConfig(
  json: Json,
  architecture: Architecture,
  { head, labels, padding }: { readonly head: ClassHead; readonly labels: number; readonly padding?: number },
): Json {
  const names = Array.from({ length: labels }, (_, i) => `LABEL_${i}`);
  return {
    ...json,
    architectures: [classNameOf(architecture, head)],
    num_labels: labels,
    ...namesOf({ classes: labels, labels: Object.fromEntries(names.map((name, i) => [name, i])) }),
    ...(padding === undefined ? {} : { pad_token_id: padding }),
  };
}

/** The decoder with this head. */
export function asClassifier(architecture: Architecture, head: ClassHead): Architecture {
  const module = head === "tokens" ? (architecture.tokenHead ?? "score") : "score";
  const { tiedHead: _, headModules: __, ...decoder } = architecture;
  const configOf = (c: unknown) => c as Config;
  return {
    ...decoder,
    task: head === "sequence" ? "classifier" : "token-classifier",
    className: classNameOf(architecture, head),
    headModules: [module],
    classHead: head,

    config(json, where): Config {
      const c = new ConfigReader(json, where);
      const padding = json.pad_token_id;
      return {
        decoder: architecture.config(json, where),
        ...classesOf(c, { number: head === "sequence" }),
        padding: typeof padding === "number" && Number.isInteger(padding) ? padding : undefined,
        std: c.number("initializer_range", 0.02, { least: 0 }),
        expansion: headExpansion(c),
      };
    },

    implied(c) {
      const config = configOf(c);
      const own = { num_labels: config.classes, ...headExpansionJson(config.expansion), ...namesOf(config) };
      return { ...architecture.implied?.(config.decoder), ...own };
    },

    sizes(c) {
      const { decoder: own, classes, labels } = configOf(c);
      const sizes = architecture.sizes(own);
      return { ...sizes, outputs: classes, text: { vocabulary: sizes.outputs, types: 0, labels } };
    },

    parameters(c) {
      const { decoder: own, classes, std, expansion } = configOf(c);
      const { width } = architecture.sizes(own);
      const added = expansion
        ? headExpansionParameters(expansion, width, classes)
        : linearSpecs(module, classes, width, std, head === "tokens");
      return [
        ...architecture.parameters(own).filter(({ name }) => !isHead(name)),
        ...added.map((spec): ParameterSpec => ({ ...spec, whole: true })),
      ];
    },

    forward(net, c, inputs) {
      const { decoder: own, padding } = configOf(c);
      const texts = tokensOf(inputs);
      const { maxPositions } = architecture.sizes(own);
      const states = architecture.forward(net, own, asTokens(net.rec, texts, maxPositions)); // (N, C)
      if (head === "tokens") return states;
      if (!texts.lasts) throw new TypeError("a head that reads last tokens is told their places");
      return embedding(net.rec, texts.lasts(padding), states); // (batch, C)
    },

    head: (net, c, hidden) => (configOf(c).expansion ? expandedLogits(net, hidden) : net.linear(hidden, module)),
  };
}

function tokensOf(inputs: Inputs): TextInputs | TokenInputs {
  if ("ids" in inputs) return inputs;
  throw new TypeError("a decoder takes token ids");
}

/** Texts as a decoder reads them: from position 0, padded on the right, where no token sees the padding. */
function asTokens(rec: Recorder, inputs: TextInputs | TokenInputs, maxPositions: number): TokenInputs {
  if ("positions" in inputs) return inputs;
  const { batch, length, ids, tasks, tokenShares } = inputs;
  // Padding may reach beyond the last position.
  const places = Int32Array.from({ length: batch * length }, (_, i) => Math.min(i % length, maxPositions - 1));
  const positions = rec.constant(places, [batch * length], "positions");
  return { batch, length, ids, positions, ...(tasks ? { tasks } : {}), ...(tokenShares ? { tokenShares } : {}) };
}

/** Throws UserError: the text part of a model of several parts has no such head here. */
export function refusePart(whole: string, where: string): never {
  throw new UserError(
    `${where}: ${whole} has a head that tells classes apart, which is run of decoders of one part alone`,
    "take a model of text alone",
  );
}
