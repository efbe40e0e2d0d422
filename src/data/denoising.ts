/**
 * Denoisers of texts, of UL2: spans of a text are left out of it and asked for behind it, or its end is.
 *
 *   R, X    [R] w w <0> w w w <1> w   <0> w w <1> w <end>     what is behind the gap is learned
 *   S       [S] w w w w w w           w w w
 *
 * Tay et al., "UL2: Unifying Language Learning Paradigms", ICLR 2023, https://arxiv.org/abs/2205.05131. Of a decoder,
 * input and target are one sequence. S has no sentinel, so that a text that goes on behind its mode token is what was
 * trained.
 */
import type { Random } from "./random.ts";
import { IGNORED } from "./rows.ts";

export const MODES = ["R", "S", "X"] as const;

export type Mode = (typeof MODES)[number];

export interface Denoiser {
  /** Mean tokens of a span. */
  readonly span: number;
  /** Share of the tokens that is left out. */
  readonly rate: number;
  /** Whether it is the end that is left out, as one span. */
  readonly isSuffix?: true;
}

/** The denoisers of each mode: regular, sequential, extreme. */
export const DENOISERS: Readonly<Record<Mode, readonly Denoiser[]>> = {
  R: [
    { span: 3, rate: 0.15 },
    { span: 8, rate: 0.15 },
  ],
  S: [{ span: Number.POSITIVE_INFINITY, rate: 0.25, isSuffix: true }],
  X: [
    { span: 3, rate: 0.5 },
    { span: 8, rate: 0.5 },
    { span: 64, rate: 0.15 },
    { span: 64, rate: 0.5 },
  ],
};

/** Ids that a denoised text has beside its own. */
export interface DenoisingTokens {
  /** What stands at the beginning, by mode; nothing when left out. */
  readonly modes?: Readonly<Record<Mode, number>> | undefined;
  /** What stands for spans, in their order. */
  readonly sentinels: readonly number[];
  /** Ends what is asked for; the sentinel behind the last span's when left out. */
  readonly end?: number | undefined;
}

export interface Span {
  readonly start: number;
  readonly length: number;
}

/** A text with its task: what is learned begins at `start`. */
export interface Denoised {
  readonly ids: Int32Array;
  readonly start: number;
}

/** How many tokens of a text are left out, and in how many spans; a text has two tokens or more. */
export function noiseOf(length: number, { span, rate, isSuffix }: Denoiser): { noise: number; spans: number } {
  const noise = Math.min(length - 1, Math.max(1, Math.round(length * rate)));
  const spans = isSuffix ? 1 : Math.min(Math.max(1, Math.round(noise / span)), noise, length - noise);
  return { noise, spans };
}

/** Tokens of a denoised text, and the sentinels in it. */
export function denoisedSize(
  length: number,
  denoiser: Denoiser,
  { modes, end }: Pick<DenoisingTokens, "modes" | "end">,
): { readonly tokens: number; readonly sentinels: number } {
  const { spans } = noiseOf(length, denoiser);
  const mode = modes === undefined ? 0 : 1;
  if (denoiser.isSuffix) return { tokens: mode + length, sentinels: 0 };
  return { tokens: mode + length + 2 * spans + 1, sentinels: spans + (end === undefined ? 1 : 0) };
}

/** `total` in `count` random parts of one or more, each way alike. */
function parts(total: number, count: number, random: Random): number[] {
  const places = Array.from({ length: total - 1 }, (_, i) => i + 1);
  const cuts = random.shuffled(places).slice(0, count - 1);
  const ends = [...cuts.sort((a, b) => a - b), total];
  return ends.map((end, i) => end - (i === 0 ? 0 : ends[i - 1]!));
}

/** What is left out: kept tokens and spans take turns, and the text ends with a span. */
export function noiseSpans(length: number, denoiser: Denoiser, random: Random): Span[] {
  const { noise, spans } = noiseOf(length, denoiser);
  const [kept, left] = [parts(length - noise, spans, random), parts(noise, spans, random)];
  let at = 0;
  return left.map((size, i) => {
    const start = at + kept[i]!;
    at = start + size;
    return { start, length: size };
  });
}

/** The text with what a denoiser asks of it. Throws RangeError for a text of one token, and for too few sentinels. */
export function denoise(
  ids: Int32Array,
  mode: Mode,
  denoiser: Denoiser,
  { modes, sentinels, end }: DenoisingTokens,
  random: Random,
): Denoised {
  if (ids.length < 2) throw new RangeError("a text of one token has nothing to leave out");
  const needed = denoisedSize(ids.length, denoiser, { modes, end }).sentinels;
  if (needed > sentinels.length) throw new RangeError(`${needed} sentinels, and there are ${sentinels.length}`);
  const input: number[] = modes ? [modes[mode]] : [];
  const target: number[] = [];
  let at = 0;
  const spans = noiseSpans(ids.length, denoiser, random);
  for (const [k, { start, length }] of spans.entries()) {
    const mark = denoiser.isSuffix ? [] : [sentinels[k]!];
    input.push(...ids.subarray(at, start), ...mark);
    at = start + length;
    target.push(...mark, ...ids.subarray(start, at));
  }
  input.push(...ids.subarray(at));
  if (!denoiser.isSuffix) target.push(end ?? sentinels[spans.length]!);
  return { ids: Int32Array.from([...input, ...target]), start: input.length };
}

/** The text that was denoised. The text itself holds no sentinel. */
export function reconstruct({ ids, start }: Denoised, { modes, sentinels }: DenoisingTokens): number[] {
  const places = new Map(sentinels.map((id, k) => [id, k]));
  const [input, target] = [[...ids.subarray(modes ? 1 : 0, start)], [...ids.subarray(start)]];
  if (!input.some((id) => places.has(id))) return [...input, ...target];
  const spans: number[][] = [];
  for (const id of target.slice(0, -1)) {
    const k = places.get(id);
    if (k === undefined) spans.at(-1)!.push(id);
    else spans[k] = [];
  }
  return input.flatMap((id) => {
    const k = places.get(id);
    return k === undefined ? [id] : spans[k]!;
  });
}

/** Labels of a denoised text: those of its task alone count. */
export const denoisedLabels = ({ ids, start }: Denoised): Int32Array => ids.map((id, i) => (i < start ? IGNORED : id));
