/**
 * Which prompts of a bank a language model takes for alike: by inner products of the means of its last hidden states,
 * of length 1. Mueller et al. 2023, https://arxiv.org/abs/2307.00119
 */
import { type Retrieve, retrieverOf, type Shown } from "../../data/demonstrations/shown.ts";
import { encodeRow, type Sequence } from "../../data/sequences.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { Model } from "../../model/model.ts";
import type { CommandContext } from "../command-context.ts";
import { openModel } from "../open-model.ts";
import { meanStates } from "../scoring/mean-states.ts";

/** Prompts that are read at once. */
const ROWS = 32;

/** A retriever, and what ends it. */
export interface DenseRetriever {
  readonly retrieve: Retrieve;
  free(): void;
}

export type DenseContext = Pick<CommandContext, "signal" | "onExit" | "warn" | "device">;

/** Opens the model and reads the bank's prompts. Throws UserError for a model that reads no texts; `flag` named it. */
export async function openDense(
  context: DenseContext,
  { ref, flag, bank }: { readonly ref: string; readonly flag: string; readonly bank: readonly Shown[] },
): Promise<DenseRetriever> {
  const opened = await openModel(ref, {}, (text) => context.warn(text));
  context.onExit(() => opened.checkpoint.close());
  const { tools } = opened;
  if (!tools?.tokenizer)
    throw new UserError(
      `${flag} ${ref} is no language model with a tokenizer, and prompts are texts`,
      "name bm25, random, or a decoder with its tokenizer.json",
    );
  const { encode, tokenizer } = tools;
  const model = await Model.load(await openGpu({ device: context.device }), opened.checkpoint, { freeze: () => true });
  const settings = { rows: ROWS, pad: tokenizer.pad ?? 0, signal: context.signal };
  const read = (text: string): Sequence =>
    encodeRow(
      { row: { form: "text", text, extra: {} }, place: flag },
      { ...encode, overflow: "truncate", eos: false },
    )[0]!;
  const unit = (state: Float64Array) => {
    const length = Math.sqrt(state.reduce((sum, x) => sum + x * x, 0));
    return length > 0 ? state.map((x) => x / length) : state;
  };
  const states = async (texts: readonly string[]) => (await meanStates(model, texts.map(read), settings)).map(unit);
  const known = await states(bank.map(({ prompt }) => prompt));
  const places = new Map(bank.map(({ prompt }, at) => [prompt, at]));
  return {
    async retrieve(prompt) {
      const at = places.get(prompt);
      const own = at === undefined ? (await states([prompt]))[0]! : known[at]!;
      const scores = known.map((state) => state.reduce((sum, x, c) => sum + x * own[c]!, 0));
      return [...bank.keys()].sort((a, b) => scores[b]! - scores[a]! || a - b);
    },
    free: () => model.free(),
  };
}

/** The retriever that an option names: bm25, random, or a model. */
export async function openRetriever(
  context: DenseContext,
  by: string,
  { flag, bank, seed }: { readonly flag: string; readonly bank: readonly Shown[]; readonly seed: number },
): Promise<DenseRetriever> {
  if (by !== "bm25" && by !== "random") return openDense(context, { ref: by, flag, bank });
  return { retrieve: retrieverOf(by, bank, seed), free: () => {} };
}
