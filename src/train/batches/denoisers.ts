/**
 * `train --denoisers`: a mixture of denoisers over texts, drawn anew for every row and epoch by the seed, and held-out
 * texts with each mode in turn. What a denoiser is stands in data/denoising.ts.
 */
import { type Batch, collate, type TokenBatch } from "../../data/batch.ts";
import { inBatches, loadSequences, type SequenceData } from "../../data/dataset.ts";
import {
  DENOISERS,
  type Denoiser,
  type DenoisingTokens,
  denoise,
  denoisedLabels,
  denoisedSize,
  MODES,
  type Mode,
} from "../../data/denoising.ts";
import type { GroupReference } from "../../data/groups.ts";
import { Random } from "../../data/random.ts";
import type { Sequence } from "../../data/sequences.ts";
import type { Tokenizer } from "../../data/tokenizer.ts";
import { UserError } from "../../errors.ts";
import type { Options, Values } from "../../method/options.ts";
import type { BatchSource, ReadRows } from "../../run/training/batch-source.ts";
import type { HeldOutBatches } from "../../run/training/held-out-objective.ts";
import type { Opened } from "../../run/training/technique.ts";

export const DENOISING = {
  denoisers: {
    type: "string",
    help: "what texts are trained by: R fills small gaps, X large ones, S goes on with them; R=1,S=2 says shares",
    value: "R,S,X",
  },
  sentinels: {
    type: "number.integer >= 1",
    default: 100,
    needs: "denoisers",
    help: "most ids that stand for gaps",
    value: "N",
  },
  sentinels_from: {
    type: "number.integer >= 0",
    needs: "denoisers",
    help: "the first of these ids, behind which are those of the modes R, S and X; tokens <extra_id_0>, ..., [R], [S], [X], or else ids that the tokenizer leaves free, when left out",
    value: "ID",
  },
  mode_tokens: {
    type: "boolean",
    default: true,
    needs: "denoisers",
    help: "a text begins with the token of its mode; --no-mode-tokens: without",
  },
} as const satisfies Options;

type Chosen = Values<typeof DENOISING>;

/** Denoisers with how often each comes, and the ids that they add. */
export interface Mixture {
  readonly denoisers: readonly { readonly mode: Mode; readonly denoiser: Denoiser; readonly share: number }[];
  readonly tokens: DenoisingTokens;
}

const isMode = (name: string): name is Mode => MODES.some((mode) => mode === name);

/** Shares of modes, `R=2,S=1,X=4`; a mode without one has as many as it has denoisers. Throws UserError. */
export function parseDenoisers(text: string): Mixture["denoisers"] {
  const seen = new Set<string>();
  return text.split(",").flatMap((part) => {
    const [name = "", given] = part.trim().split("=");
    const mode = name.toUpperCase();
    if (!isMode(mode))
      throw new UserError(`--denoisers: there is no mode ${name}`, "the modes are R, S and X: --denoisers R,S,X");
    if (seen.has(mode)) throw new UserError(`--denoisers names ${mode} twice`, "name it once, with a share: R=2,S=1");
    seen.add(mode);
    const own = DENOISERS[mode];
    const share = given === undefined ? own.length : Number(given);
    if (given === "" || !(share > 0 && Number.isFinite(share)))
      throw new UserError(`--denoisers: the share of ${mode} is ${given}`, "a share is a number above 0: R=2,S=1");
    return own.map((denoiser) => ({ mode, denoiser, share: share / own.length }));
  });
}

const NAMES: Readonly<Record<Mode, string>> = { R: "[R]", S: "[S]", X: "[X]" };

/** The tokenizer's own tokens for gaps and modes; undefined where it has none for gaps. Throws UserError. */
function namedTokens(tokenizer: Tokenizer, { sentinels: most, mode_tokens: wanted }: Chosen) {
  const sentinels: number[] = [];
  for (let k = 0; k < most; k++) {
    const id = tokenizer.idOf(`<extra_id_${k}>`);
    if (id === undefined) break;
    sentinels.push(id);
  }
  if (sentinels.length === 0) return undefined;
  if (!wanted) return { sentinels };
  const idOf = (mode: Mode) => {
    const id = tokenizer.idOf(NAMES[mode]);
    if (id !== undefined) return id;
    throw new UserError(
      `--denoisers: the tokenizer has <extra_id_0>, and no ${NAMES[mode]}`,
      "bun run merge MODEL --method passthrough --add-special-tokens '[R],[S],[X]' adds them; or --no-mode-tokens",
    );
  };
  return { sentinels, modes: { R: idOf("R"), S: idOf("S"), X: idOf("X") } };
}

/** The ids that denoising adds. Throws UserError where there are none for it. */
export function denoisingTokens(chosen: Chosen, tokenizer: Tokenizer | undefined, vocabulary: number): DenoisingTokens {
  const { sentinels: most, sentinels_from: given, mode_tokens: wanted } = chosen;
  const end = tokenizer?.eos;
  const named = given === undefined && tokenizer ? namedTokens(tokenizer, chosen) : undefined;
  if (named) return { ...named, end };
  const first = given ?? tokenizer?.vocabSize;
  if (first === undefined)
    throw new UserError("--denoisers needs ids for gaps, and rows of ids say none", "give --sentinels-from ID");
  const modes = wanted ? MODES.length : 0;
  const count = given === undefined ? Math.min(most, vocabulary - first - modes) : most;
  if (count < 1 || first + count + modes > vocabulary)
    throw new UserError(
      `--denoisers: ids from ${first} on are for ${modes === 0 ? "gaps" : "gaps and modes"}, and the model's vocabulary is ${vocabulary}`,
      "lower --sentinels, or take a model with a larger vocab_size: bun run merge MODEL --method passthrough --add-special-tokens NAMES",
    );
  const sentinels = Array.from({ length: count }, (_, k) => first + k);
  const [R, S, X] = [0, 1, 2].map((i) => first + count + i);
  return { sentinels, ...(wanted ? { modes: { R: R!, S: S!, X: X! } } : {}), end };
}

/** Throws UserError for a row that no denoiser takes, or that gets too long by one. */
function checkRows(sequences: readonly Sequence[], { denoisers, tokens }: Mixture, positions: number): void {
  for (const { ids, labels, marks, place } of sequences) {
    if (marks || labels.subarray(1).some((label) => label < 0))
      throw new UserError(
        `${place}: --denoisers is for texts, and this row has ${marks ? "marks of tokens" : "a prompt"}`,
        "give rows of text, or of input_ids without labels",
      );
    if (ids.length < 2)
      throw new UserError(`${place}: --denoisers leaves something out of a text, and this is one token`);
    for (const { mode, denoiser } of denoisers) {
      const { tokens: size, sentinels } = denoisedSize(ids.length, denoiser, tokens);
      if (sentinels > tokens.sentinels.length)
        throw new UserError(
          `${place}: ${mode} leaves ${sentinels} gaps in ${ids.length} tokens, and there are ${tokens.sentinels.length} sentinels`,
          "raise --sentinels, or lower --max-length with --overflow split",
        );
      if (positions > 0 && size > positions)
        throw new UserError(
          `${place}: by ${mode} ${ids.length} tokens become ${size}, and the model has ${positions} positions`,
          "lower --max-length, perhaps with --overflow split",
        );
    }
  }
}

/** The text as `denoiser` has it. */
function asTask(sequence: Sequence, mode: Mode, denoiser: Denoiser, tokens: DenoisingTokens, random: Random): Sequence {
  const made = denoise(sequence.ids, mode, denoiser, tokens, random);
  return { ...sequence, ids: made.ids, labels: denoisedLabels(made) };
}

type TokenSource = BatchSource<TokenBatch> & { readonly data: SequenceData };

/** The batches of `source` with a denoiser for each row, drawn by seed, epoch and row. */
export function denoisedBatches(
  source: TokenSource,
  { denoisers, tokens }: Mixture,
  { seed, pad }: { readonly seed: number; readonly pad: number },
): TokenSource {
  const { sequences } = source.data;
  const places = new Map(sequences.map((sequence, i) => [sequence, i]));
  const shares = denoisers.map(({ share }) => share);
  return {
    ...source,
    largest() {
      const longest = sequences.reduce((a, b) => (b.ids.length > a.ids.length ? b : a));
      const sizes = denoisers.map(({ denoiser }) => denoisedSize(longest.ids.length, denoiser, tokens).tokens);
      const { mode, denoiser } = denoisers[sizes.indexOf(Math.max(...sizes))]!;
      const made = asTask(longest, mode, denoiser, tokens, new Random(seed, "largest"));
      return collate(
        Array.from({ length: source.largest().rows }, () => [made]),
        { pad },
      );
    },
    async next() {
      const { batch, epoch } = await source.next();
      const bins = batch.documents.map(({ sequence }) => {
        const random = new Random(seed, "denoiser", epoch, places.get(sequence)!);
        const { mode, denoiser } = denoisers[random.weighted(shares)]!;
        return [asTask(sequence, mode, denoiser, tokens, random)];
      });
      return { batch: collate(bins, { pad }), epoch };
    },
  };
}

/** A group of held-out texts with each mode that is trained. */
async function heldOutBy(
  { denoisers, tokens }: Mixture,
  { name, sequences }: { readonly name: string; readonly sequences: readonly Sequence[] },
  { seed, pad, rows }: { readonly seed: number; readonly pad: number; readonly rows: number },
): Promise<HeldOutBatches<Batch>[]> {
  const groups: HeldOutBatches<Batch>[] = [];
  for (const [mode, own] of Map.groupBy(denoisers, (one) => one.mode)) {
    const made = sequences.map((sequence, i) => {
      const random = new Random(seed, "held-out denoiser", mode, i);
      return [asTask(sequence, mode, random.pick(own).denoiser, tokens, random)];
    });
    const batches: Batch[] = [];
    for await (const bins of inBatches(made, rows)) batches.push(collate(bins, { pad }));
    groups.push({ name: `${name}.${mode}`, rows: sequences.length, batches });
  }
  return groups;
}

/**
 * What `--denoisers` makes of the data: batches with a task for each row, and held-out rows with each mode in turn.
 * Nothing without the option. Throws UserError for options, models and rows that it is not for.
 */
export async function withDenoisers(
  source: ReadRows,
  chosen: Chosen & { readonly pack: boolean; readonly prompt_drop: number; readonly prompt_shuffle: number },
  { tools, sizes, order }: Pick<Opened, "tools" | "sizes" | "order">,
  heldOut: () => readonly GroupReference[],
): Promise<{ readonly source: ReadRows; readonly heldOut?: readonly HeldOutBatches<Batch>[] }> {
  if (chosen.denoisers === undefined) return { source };
  if (!tools || !("data" in source))
    throw new UserError("--denoisers is for language models, and this is a classifier", "leave it out");
  if (chosen.pack) throw new UserError("--pack fills rows, and --denoisers makes them longer", "leave one of them out");
  if (chosen.prompt_drop > 0 || chosen.prompt_shuffle > 0)
    throw new UserError("--prompt-drop and --prompt-shuffle are for rows with prompts, and --denoisers for texts");
  const denoisers = parseDenoisers(chosen.denoisers);
  const mixture = { denoisers, tokens: denoisingTokens(chosen, tools.tokenizer, sizes.outputs) };
  checkRows(source.data.sequences, mixture, sizes.maxPositions);
  const { seed = 0, batchSize: rows } = order;
  const pad = tools.tokenizer?.pad ?? 0;
  const held: HeldOutBatches<Batch>[] = [];
  for (const group of heldOut()) {
    const { sequences } = await loadSequences([group], tools.encode);
    checkRows(sequences, mixture, sizes.maxPositions);
    held.push(...(await heldOutBy(mixture, { name: group.name, sequences }, { seed, pad, rows })));
  }
  const made = denoisedBatches(source, mixture, { seed, pad });
  return { source: made, ...(held.length > 0 ? { heldOut: held } : {}) };
}
